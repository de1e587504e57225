"""The best that any map on a given grid could reach, by an oracle that sees the mask. No competitor: a line to read others by.

A map of 6 x 6 cells cannot outline a small object, however well its network looks. So a measured figure is read between
what a random map of the same grid reaches and what the best map of that grid would:

    pointing  1 where some cell is centred on the object, else 0
    inside    the largest share of its weight that a single cell has on the object, as maps are laid over the picture; a
              map's share is a mean over its cells, so no map has more
    overlap   the better of two: the best union of whole cells, and each cell weighted by the share of it that the object
              covers, laid over the picture as all maps are, at its best threshold. On grids of a few cells a measured map
              can be better by a hair
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from attnlab.explain.faithfulness import ImageValues, best_overlap
from attnlab.geometry import Cells, Size, centre_pixels, mixing, nearest_cells, picture_cells, stretched


def ceilings(masks: Tensor, grid: Size, cells: Cells | None = None) -> dict[str, ImageValues]:
    """The measures of the oracle's maps, one value per image, (B,); NaN where the mask is empty.

    Args:
        masks: bool (B, H, W).
        grid: (h, w) of the maps.
        cells: where the maps lie; `None` stretches them evenly.
    """
    picture = (masks.shape[1], masks.shape[2])
    where = cells or stretched(grid, picture)
    objects = masks.numpy().astype(np.float64)
    centres = torch.from_numpy(centre_pixels(where, grid, picture)).flatten()
    pointing = masks.flatten(1)[:, centres].any(dim=1).numpy().astype(np.float64)

    rows, columns = mixing(where, grid, picture)
    inside = _share(rows.T @ objects @ columns, rows.sum(axis=0)[:, None] * columns.sum(axis=0)).max(axis=(1, 2))

    row_of, column_of = nearest_cells(where, grid, picture_cells(), picture)
    in_row, in_column = np.eye(grid[0])[row_of[:, 0]], np.eye(grid[1])[column_of[0]]
    sizes = in_row.sum(axis=0)[:, None] * in_column.sum(axis=0)
    covered = _share(in_row.T @ objects @ in_column, sizes)  # (B, h, w), the share of each cell that the object covers
    # The union with the largest overlap takes the cells in the order of this share, so the best threshold finds it.
    whole = best_overlap(torch.from_numpy(covered[:, row_of, column_of]), masks)
    overlap = np.maximum(whole, best_overlap(torch.from_numpy(covered), masks, where))

    has_object = masks.flatten(1).any(dim=1).numpy()
    found = {"pointing": pointing, "inside": inside, "overlap": overlap}
    return {name: np.where(has_object, values, np.nan) for name, values in found.items()}


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part over whole, 0 for cells that reach no pixel."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
