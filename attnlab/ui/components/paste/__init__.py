"""A place that takes a picture from the clipboard."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "attnlab_paste",
    html=(_HERE / "paste.html").read_text(encoding="utf-8"),
    css=(_HERE / "paste.css").read_text(encoding="utf-8"),
    js=(_HERE / "paste.js").read_text(encoding="utf-8"),
)


def paste(*, most: int, key: str, on_change: Callable[[], None]) -> bytes | None:
    """The bytes that were pasted last in this session, not yet looked at; `None` before the first.

    Args:
        most: so many bytes are taken; the browser refuses more and says so.
    """
    given = _mount(key=key, data={"limit": most}, default={"pasted": None}, on_pasted_change=on_change).get("pasted")
    return None if given is None else pasted_bytes(given)


def pasted_bytes(text: str) -> bytes:
    """What the browser sent, as bytes. Anything that is no base64 becomes no bytes, which decoding refuses as empty."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
