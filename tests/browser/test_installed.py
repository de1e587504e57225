"""`attnlab app` of an installed copy, in a folder that holds nothing but the settings of another Streamlit project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Server
from tests.browser.streamlit_server import served
from tests.installed import Installed

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow

PATIENT = 120_000
OTHER_SETTINGS = """[theme.light]
backgroundColor = "#ff0000"
"""


@pytest.fixture(scope="module")
def installed_server(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    cwd = tmp_path_factory.mktemp("other")
    (cwd / ".streamlit").mkdir()
    (cwd / ".streamlit" / "config.toml").write_text(OTHER_SETTINGS)
    installed.home.mkdir(parents=True, exist_ok=True)
    with served([installed.program, "app", "--port"], installed.home / "server.log", installed.environment, cwd) as url:
        yield Server(url, installed.home)


def test_home_shows_the_demo_runs_in_the_colours_of_the_app(installed_server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(installed_server.url)
    expect(page.get_by_role("heading", name="What does a network look at?")).to_be_visible()
    expect(page.locator(".attention-viewer canvas").first).to_be_visible(timeout=PATIENT)
    expect(page.locator("[data-testid=stApp]")).to_have_css("background-color", "rgb(253, 253, 251)")


def test_inspect_shows_a_map_of_a_demo_run_computed_afresh(installed_server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(f"{installed_server.url}/inspect?img=12")
    viewer = page.locator(".attention-viewer").first
    expect(viewer.locator("canvas").first).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert (installed_server.home / "attnlab.db").is_file()
