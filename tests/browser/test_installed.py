"""`attnlab app` of an installed copy, in a folder that holds nothing but the settings of another Streamlit project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import App, serving
from tests.installed import Installed

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATIENT = 120_000
OTHER_SETTINGS = """[theme.light]
backgroundColor = "#ff0000"
"""


@pytest.fixture(scope="module")
def app(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    cwd = tmp_path_factory.mktemp("other")
    (cwd / ".streamlit").mkdir()
    (cwd / ".streamlit" / "config.toml").write_text(OTHER_SETTINGS)
    installed.home.mkdir(parents=True, exist_ok=True)
    with serving([installed.program, "app", "--port"], installed.home, cwd=cwd, environment=installed.environment) as running:
        yield running


def test_home_shows_the_demo_runs_in_the_colours_of_the_app(app: App, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(app.url)
    expect(page.get_by_role("heading", name="What does a network look at?")).to_be_visible()
    expect(page.locator(".attention-viewer canvas").first).to_be_visible(timeout=PATIENT)
    expect(page.locator("[data-testid=stApp]")).to_have_css("background-color", "rgb(253, 253, 251)")


def test_inspect_shows_a_map_of_a_demo_run_computed_afresh(app: App, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(f"{app.url}/inspect_attention?img=12")
    viewer = page.locator(".attention-viewer").first
    expect(viewer.locator("canvas").first).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert (app.home / "attnlab.db").is_file()
