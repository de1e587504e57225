"""The place that takes a picture from the clipboard: what it sends, and what it refuses in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.streamlit_server import serve

if TYPE_CHECKING:
    from playwright.sync_api import Page

SCRIPT = """
import streamlit as st
from attnlab.ui.components.paste import paste
content = paste(most=10_000_000, key="p", on_change=lambda: None)
st.text("nothing yet" if content is None else f"got {list(content)}")
"""
PASTE = """([bytes, size, kind]) => {
  const held = new DataTransfer();
  if (kind) held.items.add(new File([new Uint8Array(size ?? bytes)], "a.png", { type: kind }));
  else held.items.add("words", "text/plain");
  document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: held, bubbles: true, composed: true }));
}"""


def test_the_clipboards_bytes_arrive_as_they_are(page: Page, tmp_path: Path) -> None:
    script = tmp_path / "page.py"
    script.write_text(SCRIPT)
    with serve(script, tmp_path / "server.log") as url:
        page.goto(url)
        page.locator(".paste button").wait_for(timeout=60_000)
        message = page.locator(".paste .message")
        page.evaluate(PASTE, [None, None, None])
        assert message.inner_text() == "The clipboard contains no image."
        page.evaluate(PASTE, [[137, 80, 0, 255], None, "image/png"])
        page.get_by_text("got [137, 80, 0, 255]").wait_for(timeout=20_000)
        assert message.inner_text() == ""
        page.evaluate(PASTE, [None, 10_000_001, "image/png"])
        assert message.inner_text() == "This image is 10.0 MB; the limit is 10 MB."
        page.close()  # before its server ends, which it would complain of
