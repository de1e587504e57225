"""Still pictures of attention as RGB arrays, drawn the way the viewer draws them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attnlab.geometry import Cells, place_map
from attnlab.viz.colour import colourise


def overlay(
    image: NDArray[np.uint8],
    values: NDArray[np.floating],
    *,
    colours: str = "viridis",
    opacity: float = 0.6,
    cells: Cells | None = None,
) -> NDArray[np.uint8]:
    """The image with the map drawn over it, uint8 (H, W, 3).

    Args:
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        values: (h, w) in [0, 1].
        opacity: of the map, in [0, 1].
        cells: where the map lies in the image, in its pixels; `None` stretches it evenly.
    """
    if image.ndim == 2:
        image = image[:, :, None]
    below = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32)
    above = colourise(place_map(values, cells, (image.shape[0], image.shape[1])), colours)
    return np.rint(below * (1 - opacity) + above * opacity).astype(np.uint8)


def own_range_overlay(image: NDArray[np.uint8], values: NDArray[np.floating], side: int = 144) -> NDArray[np.uint8]:
    """The image, enlarged to at least ``side`` pixels, with the map stretched to its own range; a flat one is drawn as 0."""
    low, span = float(values.min()), float(np.ptp(values))
    factor = max(1, -(-side // max(image.shape[:2])))
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    return overlay(large, (values - low) / span if span else np.zeros_like(values), opacity=0.7)


def thumbnails(images: NDArray[np.uint8], side: int = 72) -> NDArray[np.uint8]:
    """The central square of each image, as uint8 (n, side, side, 3).

    Images are shrunk by area means and enlarged by repeating pixels.

    Args:
        images: uint8 (n, C, H, W) with C = 1 or 3.
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
