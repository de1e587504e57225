"""A picture on which a person points at one place, and pictures with places marked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount = mount("pointing")
Place = tuple[float, float]
"""(u, v) in [0, 1], from the left and from the top."""


def pointing(
    picture: NDArray[np.uint8],
    *,
    key: str,
    label: str,
    caption: str = "",
    marks: Sequence[Place] = (),
    pointed: Callable[[Place], None] | None = None,
) -> None:
    """Shows the picture.

    Args:
        picture: uint8 (H, W, 3).
        label: read aloud. caption: below the picture.
        marks: places with a ring around them.
        pointed: called with the place at which a person points; without it nobody can.
    """

    def told() -> None:
        place = (st.session_state.get(key) or {}).get("place")
        if pointed is not None and isinstance(place, list | tuple) and len(place) == 2:
            u, v = (min(max(float(share), 0.0), 1.0) for share in place)
            pointed((u, v))

    height, width = picture.shape[:2]
    flat = np.ascontiguousarray(picture).ravel()
    data = {
        "id": hashlib.blake2b(flat.tobytes(), digest_size=16).hexdigest(),
        "width": width,
        "height": height,
        "open": pointed is not None,
        "marks": [list(place) for place in marks],
        "label": label,
        "caption": caption,
        "bytes": flat,
    }
    _mount(key=key, data=data, default={"place": None}, on_place_change=told)
