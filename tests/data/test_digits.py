"""Digits in clutter: the same for the same seed, whole digits under their masks, disjoint handwriting in train and test."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from attnlab.config import DatasetConfig
from attnlab.data import DataError, digits, list_datasets, load_dataset
from attnlab.explain.faithfulness import best_overlap, pointing_game

SMALL = {"train_images": 200, "test_images": 100}


OLD_DRAWING = "fd39ff6d226f82a81e1736ba48a9c0e89cfe0abf28b0d58a152e913cee974ebe"
"""Digest of the recipe that runs from before `digit_size` were trained on."""


def load(**options):
    return load_dataset(DatasetConfig(options=SMALL | options))


@pytest.mark.slow
def test_default_data_set() -> None:
    data = load_dataset(DatasetConfig())
    assert data.shape == (3, 32, 32)
    assert (len(data.train), len(data.validation), len(data.test)) == (5400, 600, 1000)
    assert torch.bincount(data.test.labels).tolist() == [100] * 10
    standard = data.normalise(data.train.images)
    assert standard.mean((0, 2, 3)).abs().max() < 1e-3
    assert (standard.std((0, 2, 3)) - 1).abs().max() < 1e-3
    share = data.train.masks.float().mean()
    assert 0.09 < share < 0.14, "ink of the digit; its box is about a quarter to a half of the picture"


@pytest.mark.parametrize("drawing_seed", [0, 1, 2, 3])
def test_small_digits_have_to_be_searched_for(drawing_seed: int) -> None:
    masks = load(digit_size="small", drawing_seed=drawing_seed, train_images=1000, test_images=10).train.masks
    middle = torch.stack(torch.meshgrid(2 * [torch.arange(32) - 15.5], indexing="ij")).square().sum(dim=0)
    centre = torch.exp(-middle / (2 * 8**2)).expand(len(masks), 32, 32)
    assert pointing_game(centre, masks).mean() <= 0.15, "the middle of the picture is hardly better than any other place"
    generator = torch.Generator().manual_seed(0)
    assert (
        best_overlap(centre, masks).mean() - best_overlap(torch.rand(len(masks), 6, 6, generator=generator), masks).mean() < 0.1
    )


@pytest.mark.parametrize("digit_size", digits.LAYOUTS)
def test_digits_lie_whole_inside_the_picture(digit_size: str) -> None:
    masks = load(digit_size=digit_size, clutter="none").train.masks
    assert masks.flatten(1).any(dim=1).all()
    margin = torch.cat([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], dim=1)
    assert margin.float().mean() < 0.02, "no digit is cut off"


def test_small_digits_lie_in_all_parts_of_the_picture() -> None:
    masks = load(digit_size="small", train_images=2000, test_images=10).train.masks.float()
    tiles = masks.mean(dim=0).reshape(4, 8, 4, 8).mean(dim=(1, 3))
    assert tiles.min() > 0.25 * tiles.mean()


def test_digits_without_a_size_are_drawn_as_they_always_were() -> None:
    without, large = load(), load(digit_size="large")
    assert torch.equal(without.train.images, large.train.images)
    assert without.provenance.digest == large.provenance.digest == OLD_DRAWING
    assert without.train.images.float().mean().item() == pytest.approx(78.06, abs=0.02)
    assert load(digit_size="small").provenance.digest != large.provenance.digest


def test_distractors_are_as_large_as_a_small_digit_and_lie_below_it() -> None:
    alone, among = (load(digit_size="small", clutter=clutter) for clutter in ("none", "heavy"))
    assert among.train.images.float().var(dim=(1, 2, 3)).mean() > 1.5 * alone.train.images.float().var(dim=(1, 2, 3)).mean()
    brightest = among.train.images.amax(1).float() / 255
    assert brightest[among.train.masks].mean() > 0.8, "nothing covers the digit's own ink"


def test_same_seed_same_pictures_and_another_seed_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = load(), load(drawing_seed=1)
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path))  # where nothing has been drawn
    again = load()
    assert torch.equal(one.train.images, again.train.images)
    assert torch.equal(one.test.masks, again.test.masks)
    assert not torch.equal(one.train.images, other.train.images)
    assert one.provenance.digest != other.provenance.digest


def test_train_and_test_show_different_handwriting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path))  # where nothing has been drawn
    seen = []
    draw = digits._draw

    def spy(glyphs, *rest):
        seen.append({glyph.tobytes() for glyph in glyphs})
        return draw(glyphs, *rest)

    monkeypatch.setattr(digits, "_draw", spy)
    load()
    train, test = seen
    assert len(test) > 390
    assert not train & test


def test_masks_lie_on_the_digit() -> None:
    data = load(clutter="none")
    images, masks = data.train.images.float() / 255, data.train.masks
    brightest = images.amax(1)
    assert (brightest[masks].mean() - brightest[~masks].mean()) > 0.35, "ink is brighter than the background"


@pytest.mark.parametrize("size", [16, 48, 96])
def test_any_size(size: int) -> None:
    data = load_dataset(DatasetConfig(image_size=size, options=SMALL))
    assert data.shape == (3, size, size)
    assert data.train.masks.shape[1:] == (size, size)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cluter": "none"}, "no option cluter"),
        ({"clutter": "extreme"}, "none, light, medium, heavy"),
        ({"digit_size": "tiny"}, "small, medium, large"),
        ({"train_images": 3}, "from 10 to 100000"),
        ({"drawing_seed": -1}, "of at least 0"),
    ],
)
def test_bad_options_are_named(options, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load_dataset(DatasetConfig(options=options))


def test_split_is_stored_by_name_and_digest() -> None:
    data = load()
    one, two = data.summary(), load_dataset(DatasetConfig(options=SMALL, split_seed=7)).summary()
    assert one["counts"]["test"] == [10] * 10
    assert np.sum(one["counts"]["train"]) == 180
    assert one["split_digest"]["test"] == two["split_digest"]["test"]
    assert one["split_digest"]["validation"] != two["split_digest"]["validation"]


def test_listing_data_sets_needs_no_torch() -> None:
    code = "import sys, attnlab.data as d; assert 'digits' in d.list_datasets(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert list_datasets()["digits"].defaults == {
        "train_images": 6000,
        "test_images": 1000,
        "digit_size": "large",
        "clutter": "medium",
        "drawing_seed": 0,
    }
