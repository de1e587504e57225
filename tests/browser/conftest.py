"""Chromium, a page of it, and a server of the app with a home of its own, shared by the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.streamlit_server import ROOT, serve
from tests.conftest import with_drawings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path(os.environ.get("CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a camera that shows a moving picture
    "--use-fake-ui-for-media-stream",  # and that may be used without asking
]


@dataclass(frozen=True)
class Server:
    """The app, at work.

    Attributes:
        url: where it answers.
        home: its ATTNLAB_HOME.
    """

    url: str
    home: Path


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory, drawings: Path) -> Iterator[Server]:
    """The app, in a home in which tests leave the runs they make."""
    home = with_drawings(tmp_path_factory.mktemp("home"), drawings)
    with serve(ROOT / "app.py", home / "server.log", {"ATTNLAB_HOME": str(home)}) as url:
        yield Server(url, home)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A headless browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium at {CHROMIUM}; install it, or name one in CHROMIUM")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A fresh page, whose console has no errors when the test ends."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # Streamlit's own: on a page's address it first looks for the server below that address, and gets a 404.
    assert [text for text in complaints if "404" not in text] == []
