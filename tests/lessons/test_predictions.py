"""Predictions: the peak area of a map, how near a click came, and what comes out of the shipped runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attnlab.geometry import Axis, Cells
from attnlab.lessons import predictions as module
from attnlab.lessons.predictions import ONE, OTHER, SAME, kept, outcome, peak, predictions, score
from attnlab.lessons.toml import FileProblems
from attnlab.viz.guesses import click_map, map_with_peak


def test_the_peak_area_is_whole_cells_that_cover_a_tenth() -> None:
    weights = np.zeros((4, 4))
    weights[1, 2], weights[3, 0] = 2, 1
    at = peak(weights, None, (32, 32))  # a cell covers 64 of 1024 pixels, and two of them an eighth
    assert at.share == 0.125 and at.pixels.sum() == 128
    assert at.pixels[8:16, 16:24].all() and at.pixels[24:, :8].all()
    assert at.highest == (0.625, 0.375)


def test_a_click_is_scored_against_the_map() -> None:
    weights = np.arange(16.0).reshape(4, 4)
    best = score(0.875, 0.875, weights, None, (32, 32))
    assert best.inside and best.distance == 0 and best.above == 15 / 16
    worst = score(0.0, 0.0, weights, None, (32, 32))
    assert not worst.inside and worst.above == 0
    assert worst.distance == pytest.approx(0.875 * 2**0.5)
    assert score(1.0, 1.0, weights, None, (32, 32)).inside, "the edge belongs to the last cell"


def test_a_map_that_covers_a_part_of_the_picture_has_its_peak_there() -> None:
    cells = Cells(Axis(8.0, 8, 8), Axis(8.0, 8, 8))  # two cells each way, from pixel 4 to pixel 20
    weights = np.array([[0.0, 0.0], [0.0, 1.0]])
    at = peak(weights, cells, (32, 32))
    assert at.pixels[12:20, 12:20].all() and at.highest == (0.5, 0.5)
    assert score(0.95, 0.95, weights, cells, (32, 32)).above == 0, "outside the map is below all of it"


@pytest.mark.parametrize("name", [name for name, each in predictions().items() if each.kind != "better"])
def test_what_is_to_be_predicted_is_in_the_shipped_runs(name: str) -> None:
    shown = kept(predictions()[name])
    assert shown.image.dtype == np.uint8 and shown.image.shape[2] == 3
    assert abs(float(shown.probabilities.sum()) - 1) < 0.01 and 0 <= shown.truth < len(shown.classes)
    if predictions()[name].kind == "place":
        assert shown.weights is not None and np.ptp(shown.weights) > 0
        at = peak(shown.weights, shown.cells, shown.image.shape[:2])
        assert 0.1 <= at.share < 0.2 and score(*at.highest, shown.weights, shown.cells, shown.image.shape[:2]).inside
        picture = map_with_peak(shown.image, shown.weights, shown.cells, at.pixels)
        assert (picture == 255).all(axis=2).any(), "the peak area is outlined"


def test_what_is_better_follows_from_the_shipped_seeds() -> None:
    from attnlab.experiments.managers import get_manager, shutdown_all

    records = get_manager().runs()
    shutdown_all()
    found = {name: outcome(each, records).answer for name, each in predictions().items() if each.kind == "better"}
    assert found["better-gates"] == ONE and found["points-self-attention"] == ONE
    assert found["better-cbam"] == OTHER and found["better-self-attention"] == SAME


def test_the_clicks_of_a_class_are_a_map() -> None:
    dark = np.zeros((32, 32, 3), np.uint8)
    drawn = click_map(dark, [(0.25, 0.25), (0.25, 0.25), (0.75, 0.75)]).astype(int)
    size = drawn.shape[0]
    brightness = [drawn[int(v * size), int(u * size)].sum() for u, v in ((0.25, 0.25), (0.75, 0.75), (0.75, 0.25))]
    assert brightness[0] > brightness[1] > brightness[2]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name = "attention-4"', 'name = "spatial-7"', "same name"),
        ('kind = "place"', 'kind = "plaice"', "kind is wrong"),
        ("run = { variant", "ruin = { variant", "no setting ruin"),
    ],
)
def test_a_broken_bank_is_refused_in_sentences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, words: str
) -> None:
    file = tmp_path / "predictions.toml"
    file.write_text(module.BANK.read_text().replace(old, new, 1))
    monkeypatch.setattr(module, "BANK", file)
    with pytest.raises(FileProblems, match=words):
        predictions()
