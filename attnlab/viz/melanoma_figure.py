"""The figure of the melanoma article "Image Classification with Attention": images, and the maps of each gate over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attnlab.geometry import Cells
from attnlab.viz.overlay import overlay

Picture = NDArray[np.uint8]
OPACITY = 0.4
"""0.6 image + 0.4 colour map, as in the article."""
TILE = 160


def gate_overlays(
    images: Sequence[Picture],
    maps: NDArray[np.floating],
    *,
    bounds: tuple[float, float],
    colours: str = "viridis",
    cells: Cells | None = None,
) -> list[Picture]:
    """Each image with its map drawn over it.

    Args:
        images: uint8 (H, W, 3) each.
        maps: (n, h, w).
        bounds: the weights at the two ends of the colour map, the same for every image, so that images can be compared.
        cells: where the maps lie in the images; `None` stretches them evenly.
    """
    low, high = bounds
    unit = (maps - low) / max(high - low, 1e-9)
    return [
        overlay(image, np.clip(values, 0, 1), colours=colours, opacity=OPACITY, cells=cells)
        for image, values in zip(images, unit, strict=True)
    ]


def contact_sheet(pictures: Sequence[Picture], columns: int = 3, gap: int = 2) -> Picture:
    """Pictures of one size in rows on white; small ones are enlarged by a whole factor, so that they stay sharp."""
    factor = max(1, TILE // pictures[0].shape[0])
    tiles = [
        np.broadcast_to(picture, (*picture.shape[:2], 3)).repeat(factor, axis=0).repeat(factor, axis=1) for picture in pictures
    ]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    tiles = [np.pad(tile, ((gap, gap), (gap, gap), (0, 0)), constant_values=255) for tile in tiles]
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows)
