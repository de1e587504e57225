"""A tensor of a data path as small pictures, and how its sides are found from a position and a channel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MOST_PANES = 16
"""So many small pictures of a tensor are shown at most."""
MOST_NUMBERS = 2**14
"""So many numbers of a side of a pane, or of a tensor without one, are shown at most."""


def panes(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first small pictures of a tensor: (panes, h, w).

    Sides of length 1 are left out; a vector is one row, and all sides before the last two are counted through.
    """
    small = values.reshape([side for side in values.shape if side > 1] or [1])
    flat = small.reshape(1, 1, -1) if small.ndim == 1 else small.reshape(-1, *small.shape[-2:])
    return np.ascontiguousarray(flat[:MOST_PANES, :MOST_NUMBERS, :MOST_NUMBERS], np.float32)


def pane_count(shape: Sequence[int]) -> int:
    """How many small pictures a tensor has."""
    return math.prod([side for side in shape if side > 1][:-2])


def axes(shape: Sequence[int], features: tuple[int, int, int]) -> list[str]:
    """What each side of a tensor counts, told by its length.

    Args:
        features: (C, H, W) of what enters the block. On a map with H = W a single side of that length is taken for the rows.

    Returns:
        For each side "channel", "row" or "column" (also of a coarser map), "position" (row by row), "key" (the second of two
        sides of positions), "channel-row" (the rows of all channels), or "other", for what has no place.
    """
    channels, height, width = features
    positions = height * width
    names = ["other"] * len(shape)
    flat = [place for place, side in enumerate(shape) if side == positions and positions > 1]
    if flat:
        for place, name in zip(flat[-2:], ("position", "key"), strict=False):
            names[place] = name
        if len(flat) == 1 and len(shape) == 2 and flat == [1] and shape[0] == channels:
            names[0] = "channel"
        if len(flat) == 1 and len(shape) >= 2 and flat[0] == len(shape) - 2 and shape[-1] > positions:
            names[-1] = "key"  # with keys outside the map in front
        return names
    if len(shape) >= 3:
        names[-2:] = ["row", "column"]
        names[-3] = "channel" if shape[-3] == channels else "other"
    elif tuple(shape) == (height, width):
        return ["row", "column"]
    elif len(shape) == 2 and shape[0] == channels * height:
        return ["channel-row", "column" if shape[1] == width else "other"]
    elif shape and channels in (shape[0], shape[-1]):
        names[0 if shape[0] == channels else -1] = "channel"
    return names
