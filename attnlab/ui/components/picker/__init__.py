"""A strip of small pictures of which one or several are chosen, with what the network said under each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "attnlab_picker",
    html=(_HERE / "picker.html").read_text(encoding="utf-8"),
    css=(_HERE / "picker.css").read_text(encoding="utf-8"),
    js=(_HERE / "picker.js").read_text(encoding="utf-8"),
)


@dataclass(frozen=True)
class Thumbnail:
    """One picture of the strip.

    Attributes:
        index: what is returned when it is chosen.
        words: under the picture.
        title: read aloud, and shown when the pointer rests on it.
        right: green or red words; `None` for neither.
    """

    index: int
    words: str
    title: str
    right: bool | None = None


def picked_indices(key: str) -> list[int] | None:
    """What was picked in the strip with this key in this session; `None` before the first time."""
    picked = (st.session_state.get(key) or {}).get("picked")
    return None if picked is None else [int(index) for index in picked]


def picker(
    thumbnails: Sequence[Thumbnail], pictures: NDArray[np.uint8], *, chosen: Sequence[int], key: str, most: int = 1
) -> None:
    """Shows the strip; `picked_indices` with the same key tells what was picked.

    Args:
        pictures: uint8 (n, side, side, 3), one for each thumbnail.
        chosen: indices of the pictures that are marked.
        most: so many may be chosen at once.

    Raises:
        ValueError: when there is not one square picture for each thumbnail.
    """
    count, height, width = pictures.shape[:3]
    if pictures.dtype != np.uint8 or pictures.shape[3:] != (3,) or height != width or count != len(thumbnails):
        raise ValueError(f"{len(thumbnails)} square RGB pictures needed, got {pictures.dtype} {pictures.shape}")
    items = [asdict(thumbnail) for thumbnail in thumbnails]
    flat = np.ascontiguousarray(pictures).ravel()
    identity = hashlib.blake2b(flat.tobytes() + repr(items).encode(), digest_size=16).hexdigest()
    data = {"id": identity, "items": items, "side": height, "chosen": list(chosen), "most": most, "bytes": flat}
    _mount(key=key, data=data, default={"picked": None}, on_picked_change=lambda: None)
