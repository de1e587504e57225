"""A strip of small images of which one or several are chosen, with the prediction under each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount = mount("picker")


@dataclass(frozen=True)
class Thumbnail:
    """One image of the strip.

    Attributes:
        index: what is returned when it is chosen.
        words: under the image.
        title: read aloud, and shown when the pointer rests on it.
        right: whether the words are green or red; `None` for neither.
    """

    index: int
    words: str
    title: str
    right: bool | None = None


def picked_indices(key: str) -> list[int] | None:
    """The images chosen in the strip with this key in this session; `None` before the first choice."""
    picked = (st.session_state.get(key) or {}).get("picked")
    return None if picked is None else [int(index) for index in picked]


def picker(
    thumbnails: Sequence[Thumbnail], pictures: NDArray[np.uint8], *, chosen: Sequence[int], key: str, most: int = 1
) -> None:
    """Shows the strip; `picked_indices` with the same key returns the choice.

    Args:
        pictures: uint8 (n, side, side, 3), one for each thumbnail.
        chosen: indices of the images that are marked.
        most: how many may be chosen at once.

    Raises:
        ValueError: when there is not one square image for each thumbnail.
    """
    count, height, width = pictures.shape[:3]
    if pictures.dtype != np.uint8 or pictures.shape[3:] != (3,) or height != width or count != len(thumbnails):
        raise ValueError(f"{len(thumbnails)} square RGB images needed, got {pictures.dtype} {pictures.shape}")
    items = [asdict(thumbnail) for thumbnail in thumbnails]
    flat = np.ascontiguousarray(pictures).ravel()
    identity = hashlib.blake2b(flat.tobytes() + repr(items).encode(), digest_size=16).hexdigest()
    data = {"id": identity, "items": items, "side": height, "chosen": list(chosen), "most": most, "bytes": flat}
    _mount(key=key, data=data, default={"picked": None}, on_picked_change=lambda: None)
