"""Digits in clutter: the same for the same seed, whole digits under their masks, disjoint handwriting in train and test."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from attnlab.config import DatasetConfig
from attnlab.data import DataError, digits, list_datasets, load_dataset

SMALL = {"train_images": 200, "test_images": 100}


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


def test_same_seed_same_pictures_and_another_seed_others() -> None:
    one, again, other = load(), load(), load(drawing_seed=1)
    assert torch.equal(one.train.images, again.train.images)
    assert torch.equal(one.test.masks, again.test.masks)
    assert not torch.equal(one.train.images, other.train.images)
    assert one.provenance.digest != other.provenance.digest


def test_train_and_test_show_different_handwriting(monkeypatch: pytest.MonkeyPatch) -> None:
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
        "clutter": "medium",
        "drawing_seed": 0,
    }
