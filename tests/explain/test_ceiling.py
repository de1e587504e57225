"""The best map of a grid: by hand, against every union of its cells, and never below any map of that grid."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from attnlab.explain.ceiling import ceilings
from attnlab.explain.faithfulness import best_overlap, pointing_game, weight_on_mask
from attnlab.geometry import Cells, picture_cells

QUARTERS = (2, 2)
"""Cells of 2 x 2 pixels on a picture of 4 x 4, centred in pixels 1 and 3 of each side."""


@pytest.mark.parametrize(
    ("pixels", "pointing", "inside", "overlap"),
    [
        # The weights of the upper left cell fall as 1, 3/4, 1/4, 0 along both sides; they sum to 2 x 2.
        ([(1, 1)], 1.0, (3 / 4) ** 2 / 4, 1 / 4),  # one pixel: the cell has four, and no threshold takes it alone
        ([(0, 0), (0, 1), (1, 0)], 0.0, (1 + 3 / 4 + 3 / 4) / 4, 1.0),  # the three highest of the smooth map; 3/4 by the cell
        ([(1, 1), (2, 2)], 1.0, ((3 / 4) ** 2 + (1 / 4) ** 2) / 4, 2 / 8),  # two whole cells; one alone has 1 of 5
    ],
)
def test_by_hand(pixels: list[tuple[int, int]], pointing: float, inside: float, overlap: float) -> None:
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    for row, column in pixels:
        masks[0, row, column] = True
    found = ceilings(masks, QUARTERS)
    assert found["pointing"].tolist() == [pointing]
    assert found["inside"] == pytest.approx([inside])
    assert found["overlap"] == pytest.approx([overlap])


def test_no_object_has_no_ceiling() -> None:
    assert all(np.isnan(values).all() for values in ceilings(torch.zeros(2, 4, 4, dtype=torch.bool), QUARTERS).values())


@pytest.mark.parametrize("cells", [None, picture_cells().after(3).after(3, 3)], ids=["stretched", "where the network looks"])
def test_no_union_of_cells_and_no_map_of_the_grid_does_better(cells: Cells | None) -> None:
    generator = torch.Generator().manual_seed(2)
    masks = torch.rand(5, 12, 12, generator=generator) < 0.2
    masks[0] = False
    masks[0, 3:8, 2:6] = True
    found = ceilings(masks, (3, 3), cells)
    for chosen in product((0.0, 1.0), repeat=9):
        union = torch.tensor(chosen).reshape(3, 3)
        # Each pixel takes the weight of its nearest cell: the cells of both cases are between 3 and 4 pixels wide.
        whole = union.repeat_interleave(4, 0).repeat_interleave(4, 1) if cells is None else _nearest(union)
        assert (best_overlap(whole.expand(5, 12, 12), masks) <= found["overlap"] + 1e-12).all(), chosen
    for _ in range(200):
        maps = torch.rand(5, 3, 3, generator=generator) ** 4
        assert (pointing_game(maps, masks, cells) <= found["pointing"]).all()
        share = masks.double().mean(dim=(1, 2)).numpy()
        assert (weight_on_mask(maps, masks, cells) * share <= found["inside"] + 1e-12).all()


def _nearest(union: torch.Tensor) -> torch.Tensor:
    """Cells centred at 2.5, 5.5 and 8.5, as two convolutions of three pixels without padding, the second strided, have them."""
    at = torch.tensor([min(range(3), key=lambda cell: abs(pixel + 0.5 - (2.5 + 3 * cell))) for pixel in range(12)])
    return union[at][:, at]
