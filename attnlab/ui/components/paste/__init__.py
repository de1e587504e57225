"""Takes an image from the clipboard."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from attnlab.ui.components.mount import mount

_mount = mount("paste")


def paste(*, most: int, key: str, on_change: Callable[[], None]) -> bytes | None:
    """The bytes pasted last in this session, not yet decoded; `None` before the first.

    Args:
        most: the browser refuses an image of more bytes, with a message.
    """
    content = _mount(key=key, data={"limit": most}, default={"pasted": None}, on_pasted_change=on_change).get("pasted")
    return None if content is None else pasted_bytes(content)


def pasted_bytes(text: str) -> bytes:
    """The browser's message as bytes. Text that is not base64 becomes no bytes, which decoding refuses as empty."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
