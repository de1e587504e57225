"""What was guessed beside what the network does: a map with its peak area outlined, and the clicks of a class as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attnlab.geometry import Cells
from attnlab.viz.overlay import overlay

SIDE = 352
"""Pixels of a picture's width, about: for lines that are finer than the image's own pixels."""
SPREAD = 0.06
"""Standard deviation of the spot that a click makes, in sides of the picture."""
Kind = TypeVar("Kind", bound=np.generic)
LINE = np.array([255, 255, 255], np.uint8)


def map_with_peak(
    image: NDArray[np.uint8], weights: NDArray[np.float64], cells: Cells | None, peak: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The image with the map over it, from its lowest to its highest weight, and a white line around the peak area.

    Args:
        image: uint8 (H, W, 3). weights: (h, w). peak: bool (H, W).

    Returns:
        uint8 (n H, n W, 3), n whole.
    """
    low, span = float(weights.min()), float(np.ptp(weights))
    shares = (weights - low) / span if span else np.zeros_like(weights)
    factor = max(1, SIDE // image.shape[1])
    drawn = _enlarged(overlay(image, shares, cells=cells, opacity=0.6), factor)
    inside = _enlarged(peak, factor)
    edge = np.zeros_like(inside)
    padded = np.pad(inside, 2)
    for down, right in ((0, 2), (4, 2), (2, 0), (2, 4)):
        edge |= inside & ~padded[down : down + inside.shape[0], right : right + inside.shape[1]]
    drawn[edge] = LINE
    return drawn


def click_map(image: NDArray[np.uint8], clicks: Sequence[tuple[float, float]]) -> NDArray[np.uint8]:
    """The image with one soft spot for each click, as a map from no click to the most.

    Args:
        image: uint8 (H, W, 3). clicks: (u, v) in [0, 1].
    """
    factor = max(1, SIDE // image.shape[1])
    large = _enlarged(image, factor)
    rows, columns = (np.arange(length) + 0.5 for length in large.shape[:2])
    spots = np.zeros(large.shape[:2])
    reach = SPREAD * large.shape[1]
    for u, v in clicks:
        vertical = np.exp(-(((rows - v * large.shape[0]) / reach) ** 2) / 2)
        spots += vertical[:, None] * np.exp(-(((columns - u * large.shape[1]) / reach) ** 2) / 2)
    return overlay(large, spots / spots.max() if spots.any() else spots, opacity=0.6)


def _enlarged(values: NDArray[Kind], factor: int) -> NDArray[Kind]:
    return values.repeat(factor, axis=0).repeat(factor, axis=1)
