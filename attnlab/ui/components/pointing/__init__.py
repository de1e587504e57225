"""A picture on which a person points at one place, and pictures with places marked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount = mount("pointing")
Place = tuple[float, float]
"""(u, v) in [0, 1], from the left and from the top."""


def pointing(
    picture: NDArray[np.uint8], *, key: str, label: str, caption: str = "", marks: Sequence[Place] = (), open: bool = False
) -> Place | None:
    """Shows the picture; returns where a person has pointed in this session, `None` before that.

    Args:
        picture: uint8 (H, W, 3).
        label: read aloud. caption: below the picture.
        marks: places with a ring around them.
        open: whether a person may point.
    """
    height, width = picture.shape[:2]
    flat = np.ascontiguousarray(picture).ravel()
    data = {
        "id": hashlib.blake2b(flat.tobytes(), digest_size=16).hexdigest(),
        "width": width,
        "height": height,
        "open": open,
        "marks": [list(place) for place in marks],
        "label": label,
        "caption": caption,
        "bytes": flat,
    }
    told = _mount(key=key, data=data, default={"place": None}, on_place_change=lambda: None).get("place")
    if not (isinstance(told, list | tuple) and len(told) == 2 and all(isinstance(share, int | float) for share in told)):
        return None
    u, v = (min(max(float(share), 0.0), 1.0) for share in told)
    return u, v
