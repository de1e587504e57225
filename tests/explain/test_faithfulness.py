"""Faithfulness figures on maps small enough to count by hand."""

import math

import numpy as np
import pytest
import torch

from attnlab.explain.faithfulness import best_overlap, perturbation_curve, pointing_game, relative_entropy, weight_on_mask
from attnlab.stats.intervals import mean_interval

MASK = torch.tensor([[[True, False], [False, False]]])


@pytest.mark.parametrize(
    ("weights", "ratio", "hit", "overlap"),
    [
        ([[1, 1], [1, 1]], 1.0, True, 1 / 4),  # uniform: any threshold takes all four pixels
        ([[4, 0], [0, 0]], 4.0, True, 1.0),
        ([[0, 4], [2, 2]], 0.0, False, 1 / 4),
        ([[2, 4], [1, 1]], 1.0, False, 1 / 2),  # its two largest weights hold the pixel
    ],
)
def test_maps_against_a_mask_by_hand(weights: list[list[float]], ratio: float, hit: bool, overlap: float) -> None:
    maps = torch.tensor([weights])
    assert weight_on_mask(maps, MASK)[0] == pytest.approx(ratio)
    assert pointing_game(maps, MASK)[0] == hit
    assert best_overlap(maps, MASK)[0] == pytest.approx(overlap)


def test_a_small_map_is_brought_to_the_size_of_the_mask() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :, :4] = True
    assert weight_on_mask(torch.tensor([[[1.0, 0.0]]]), masks)[0] > 1.4
    assert weight_on_mask(torch.tensor([[[0.5, 0.5]]]), masks)[0] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="2 maps for 1"):
        weight_on_mask(torch.rand(2, 4, 4), masks)


def test_an_empty_mask_gives_no_figure_and_is_left_out_of_the_mean() -> None:
    ratios = weight_on_mask(torch.ones(2, 2, 2), torch.stack([MASK[0], torch.zeros(2, 2, dtype=torch.bool)]))
    assert math.isnan(ratios[1])
    assert mean_interval(ratios).count == 1


def test_entropy_is_one_for_uniform_and_zero_for_one_position() -> None:
    maps = torch.tensor([[[1.0, 1], [1, 1]], [[0, 0], [7, 0]], [[2, 2], [0, 0]]])
    np.testing.assert_allclose(relative_entropy(maps), [1, 0, 0.5], atol=1e-12)


def first_pixel(x: torch.Tensor) -> torch.Tensor:
    """A network that sees the top left pixel only: probability of class 1 is its value."""
    p = x[:, 0, 0, 0].clamp(0, 1)
    return torch.stack([1 - p, p], dim=1)


@pytest.mark.parametrize("mode", ["deletion", "insertion"])
def test_perturbation_tells_a_faithful_map_from_a_wrong_one(mode: str) -> None:
    x = torch.zeros(2, 1, 4, 4)
    x[:, 0, 0, 0] = 1.0
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 0] = 1.0  # says what the network uses
    maps[1, 1:] = 1.0  # says anything but
    curve = perturbation_curve(first_pixel, x, maps, torch.tensor([1, 1]), mode=mode, steps=16)  # type: ignore[arg-type]
    assert curve.shares[[0, -1]].tolist() == [0, 1]
    faithful, wrong = curve.auc
    if mode == "deletion":
        # Gone with the first pixel: the area is half a step. The other: 12 pixels go first, then the one that matters.
        assert faithful == pytest.approx(0.5 / 16)
        assert wrong == pytest.approx(12.5 / 16)
    else:
        assert curve.probabilities[:, -1].tolist() == [1, 1]
        assert faithful > wrong + 0.5
