"""Hostile names on every page and in the offline page, in a real browser: nothing runs, and no other host is asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pytest

from attnlab.ui.components.offline import offline_page
from attnlab.viz.panels import Panel, layer
from tests.browser.map_page import IMAGE
from tests.browser.streamlit_server import ROOT, serve
from tests.hostile import EVERYTHING, HOST, fill

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PLACES = ("", "train", "inspect", "compare", "league", "reproduce", "search", "melanoma", "open", "classroom", "room")
ROOM = "".join(f"&{name}={quote(EVERYTHING[:500])}" for name in ("room", "hide", "lock", "present"))
SHOWN = ("train", "inspect", "compare", "reproduce")
"""Pages that show at least one of the names as text."""
LOCAL = ("127.0.0.1", "localhost", "", None)
ELEMENTS = f"a[href*='{HOST}'], a[href^='javascript'], img[src*='{HOST}'], img[src='x'], .katex:has-text('{HOST}')"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, small_maps_run: Path) -> Iterator[tuple[str, str]]:
    """Address of a classroom in whose home every name is hostile, and the id of a trained run there."""
    home = tmp_path_factory.mktemp("hostile")
    fill(home, Path(shutil.copytree(small_maps_run, home / "runs" / small_maps_run.name)), EVERYTHING)
    variables = {"ATTNLAB_HOME": str(home), "ATTNLAB_MODE": "classroom", "ATTNLAB_TEACHER_TOKEN": "a token for the teacher"}
    with serve(ROOT / "app.py", home / "server.log", variables) as url:
        yield url, small_maps_run.name


@contextmanager
def watched(chromium: Browser) -> Iterator[Page]:
    """A page in which at the end nothing has run, no other host was asked, and no element came from a name."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(90_000)
    foreign: list[str] = []
    page.on("request", lambda request: foreign.append(request.url) if urlsplit(request.url).hostname not in LOCAL else None)
    page.on("dialog", lambda dialog: foreign.append(dialog.message))
    yield page
    assert foreign == []
    assert page.evaluate("window.canary") is None
    assert page.locator(ELEMENTS).count() == 0
    assert page.locator("[data-testid=stException]").count() == 0
    context.close()


@pytest.mark.parametrize("place", PLACES)
def test_no_page_runs_or_loads_what_a_name_holds(place: str, chromium: Browser, hostile: tuple[str, str]) -> None:
    url, run = hostile
    chosen = run if place == "inspect" else EVERYTHING[:1500]
    with watched(chromium) as page:
        page.goto(f"{url}/{place}?run={quote(chosen)}&attention={quote(EVERYTHING[:500])}&img={quote(EVERYTHING[:500])}" + ROOM)
        page.locator("h1").first.wait_for()
        if place in SHOWN:
            page.get_by_text("onerror=", exact=False).first.wait_for(state="attached")
        page.wait_for_timeout(2000)


def test_the_offline_page_shows_names_as_text(chromium: Browser, tmp_path: Path) -> None:
    maps = [layer(EVERYTHING, "spatial", IMAGE[..., 0] / 255, title=EVERYTHING)]
    panels = [Panel(EVERYTHING, IMAGE, maps, EVERYTHING, (EVERYTHING, "b"), [0.5, 0.5], truth=0, run=EVERYTHING)]
    file = tmp_path / "offline.html"
    file.write_text(offline_page(panels, title=EVERYTHING, note=EVERYTHING), encoding="utf-8")
    with watched(chromium) as page:
        page.goto(file.as_uri())
        page.wait_for_selector(".stage canvas")
        assert "onerror=" in page.inner_text("body")
