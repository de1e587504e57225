"""Still pictures of attention: RGB arrays for pages that show many small ones, drawn the way the viewer draws them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attnlab.viz.colour import colourise


def resize_map(values: NDArray[np.floating], height: int, width: int, *, smooth: bool = True) -> NDArray[np.float32]:
    """A map (h, w) at (height, width): bilinear between pixel centres, edges held, or the nearest weight."""
    values = np.asarray(values, dtype=np.float32)
    rows = (np.arange(height) + 0.5) * values.shape[0] / height - 0.5
    columns = (np.arange(width) + 0.5) * values.shape[1] / width - 0.5
    if not smooth:
        return values[np.rint(rows).astype(int)[:, None], np.rint(columns).astype(int)[None, :]]
    top, bottom, down = _between(rows, values.shape[0])
    left, right, across = _between(columns, values.shape[1])
    upper = values[top[:, None], left] * (1 - across) + values[top[:, None], right] * across
    lower = values[bottom[:, None], left] * (1 - across) + values[bottom[:, None], right] * across
    return (upper * (1 - down[:, None]) + lower * down[:, None]).astype(np.float32)


def overlay(
    image: NDArray[np.uint8],
    values: NDArray[np.floating],
    *,
    colours: str = "viridis",
    opacity: float = 0.6,
    smooth: bool = True,
) -> NDArray[np.uint8]:
    """The image with the map over it, uint8 (H, W, 3).

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        values: (h, w) in [0, 1].
        opacity: share of the map's colour, in [0, 1].
    """
    if image.ndim == 2:
        image = image[:, :, None]
    below = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32)
    above = colourise(resize_map(values, *image.shape[:2], smooth=smooth), colours)
    return np.rint(below * (1 - opacity) + above * opacity).astype(np.uint8)


def thumbnails(images: NDArray[np.uint8], side: int = 72) -> NDArray[np.uint8]:
    """Small square pictures (n, side, side, 3) of uint8 (n, C, H, W), C being 1 or 3: the middle of each.

    Shrinking takes the mean of areas, growing repeats pixels.
    """
    height, width = images.shape[2:]
    small = min(height, width)
    top, left = (height - small) // 2, (width - small) // 2
    square = images[:, :, top : top + small, left : left + small]
    factor = max(1, small // side)
    kept = small // factor * factor
    blocks = square[:, :, :kept, :kept].reshape(*square.shape[:2], kept // factor, factor, kept // factor, factor)
    shrunk = blocks.mean(axis=(3, 5)).round().astype(np.uint8)
    at = np.arange(side) * shrunk.shape[2] // side
    grown = shrunk[:, :, at][:, :, :, at].transpose(0, 2, 3, 1)
    return np.ascontiguousarray(np.broadcast_to(grown, (*grown.shape[:3], 3)))


def _between(at: NDArray[np.floating], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two indices around each position, and how far it is from the first to the second."""
    held = np.clip(at, 0, size - 1)
    low = np.floor(held).astype(np.int64)
    return low, np.minimum(low + 1, size - 1), (held - low).astype(np.float32)
