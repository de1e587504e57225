"""What axe finds on every page, in light and dark and on a phone: nothing serious."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attnlab.ui.shell import ADDRESSES, PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

    from tests.browser.conftest import Server

AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"
SETTLED = """() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton], [data-testid=stSpinner]')"""
FOUND = """async () => (await axe.run({exclude: ['[data-testid=stSidebarNav]']}, {resultTypes: ['violations']})).violations
    .filter(({impact}) => impact === 'serious' || impact === 'critical')
    .flatMap(({id, nodes}) => nodes.map(({target, failureSummary}) => `${id}: ${target.join(' ')}: ${failureSummary}`))"""
# The menu of a phone is left out: Streamlit puts the headings of its sections between the entries of one list.
OF_STREAMLIT = ("stDataFrame", "glideDataEditor", "dvn-scroller", "gdg-")
"""What is inside Streamlit's own table, which draws on a canvas and says its cells in a hidden one."""


SCREEN: ViewportSize = {"width": 1280, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}


def settle(page: Page) -> None:
    page.get_by_role("heading", level=1).wait_for(timeout=60_000)
    page.wait_for_timeout(700)
    page.wait_for_function(SETTLED, timeout=90_000)
    page.wait_for_timeout(700)


def serious_findings(page: Page) -> list[str]:
    """What axe finds on the page as it is; skips the test where axe is not installed."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: npm ci --prefix tests/js")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return [each for each in page.evaluate(FOUND) if not any(name in each for name in OF_STREAMLIT)]


@pytest.mark.slow
def test_axe_finds_nothing_serious_on_any_page(server: Server, chromium: Browser) -> None:
    found: dict[str, list[str]] = {}
    backgrounds = {}
    context = chromium.new_context(viewport=SCREEN, color_scheme="light")
    page = context.new_page()
    for file, title, _ in PAGES:
        address = "" if file == PAGES[0][0] else ADDRESSES.get(file, Path(file).stem)
        page.emulate_media(color_scheme="light")
        page.goto(f"{server.url}/{address}", wait_until="domcontentloaded")
        settle(page)
        for look in ("light", "dark", "phone"):
            if look != "light":
                page.emulate_media(color_scheme="dark")
                page.set_viewport_size(PHONE if look == "phone" else SCREEN)
                page.wait_for_timeout(700)
            backgrounds[look] = page.locator(".stApp").evaluate("(app) => getComputedStyle(app).backgroundColor")
            if serious := serious_findings(page):
                found[f"{title}, {look}"] = serious
        page.set_viewport_size(SCREEN)
        assert backgrounds["light"] != backgrounds["dark"], "the page follows the browser"
    context.close()
    assert found == {}
