"""Choice and confirmation of maps: by which images and trainings, how they are tested, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from attnlab.config import DatasetConfig
from attnlab.data import ImageDataset, Split, load_dataset
from attnlab.explain.baselines import attention_map, spatial_taps
from attnlab.explain.faithfulness import best_overlap, pointing_game
from attnlab.explain.honesty.confirm import confirm
from attnlab.explain.honesty.seeds import seeds_of
from attnlab.explain.open_run import open_run
from attnlab.runs.folder import RunFolder
from attnlab.runs.showcase import MEASURES, RIVALS, Confirmed, NotMeasured, Showcase, read_showcase
from attnlab.stats.significance import holm
from benchmarks.showcase import document
from tests.example_runs import TWO_EPOCHS, trained_run
from tests.example_showcase import SURE, UNSURE
from tests.example_showcase import confirmed as example

SEEDS = (0, 1, 2)
Groups = dict[str, dict[int, RunFolder]]


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Groups:
    """Two settings with three seeds each, one of which has channel gates only, and one that lacks seeds."""
    runs = tmp_path_factory.mktemp("home") / "runs"
    short = TWO_EPOCHS.changed(training__epochs=1, training__batch_size=32)
    for attention, seeds in (("cbam_spatial", SEEDS), ("eca", SEEDS), ("cbam", (1,))):
        for seed in seeds:
            trained_run(short.changed(model__attention=attention, seed=seed), runs)
    return seeds_of([runs.parent])


@pytest.fixture(scope="module")
def found(groups: Groups) -> Showcase:
    return confirmed(groups)


def confirmed(groups: Groups, dataset_of: Callable[[DatasetConfig], ImageDataset] = load_dataset) -> Showcase:
    return confirm(groups, choosing=(0, 1), confirming=(2,), images=20, dataset_of=dataset_of)


def with_other_test(config: DatasetConfig) -> ImageDataset:
    """The same images for training and validation; in the test, the objects are where they were not, and the labels differ."""
    data = load_dataset(config)
    return replace(data, test=_spoiled(data.test))


def with_other_validation(config: DatasetConfig) -> ImageDataset:
    data = load_dataset(config)
    return replace(data, validation=_spoiled(data.validation))


def _spoiled(split: Split) -> Split:
    assert split.masks is not None
    return replace(split, masks=~split.masks, labels=split.labels.roll(1))


@pytest.mark.slow
def test_the_choice_sees_neither_test_images_nor_confirming_trainings(groups: Groups, found: Showcase) -> None:
    (entry,) = found.confirmed
    by_seed = groups[entry.group]
    alone = {entry.group: by_seed}
    (other,) = confirmed(alone, with_other_test).confirmed
    assert other.tap == entry.tap and scores(other) == scores(entry)
    assert other.chosen.means != entry.chosen.means
    assert scores(confirmed(alone, with_other_validation).confirmed[0]) != scores(entry)
    (again,) = confirmed({entry.group: {**by_seed, 2: by_seed[1]}}).confirmed  # another confirming training
    assert again.tap == entry.tap and scores(again) == scores(entry)
    assert again.chosen.means != entry.chosen.means


def scores(entry: Confirmed) -> list[float]:
    return [each.score for each in entry.maps]


def test_no_training_chooses_and_confirms(groups: Groups) -> None:
    with pytest.raises(ValueError, match="seeds 1 cannot both choose a map and confirm it"):
        confirm(groups, choosing=(0, 1), confirming=(1, 2))


def test_scores_means_and_p_values_are_those_of_their_definitions(groups: Groups, found: Showcase) -> None:
    (entry,) = found.confirmed
    folders = groups[entry.group]
    data = load_dataset(folders[0].config.dataset)
    assert data.validation.masks is not None and data.test.masks is not None
    assert len(data.validation) <= 20 < len(data.test) and entry.images == 20

    def both(seed: int, tap: str, split: Split) -> tuple[np.ndarray, np.ndarray]:
        assert split.masks is not None
        maps = attention_map(open_run(folders[seed].path), split.images, tap)
        return pointing_game(maps.values, split.masks, maps.cells), best_overlap(maps.values, split.masks, maps.cells)

    taps = spatial_taps(open_run(folders[0].path))
    assert [each.tap for each in entry.maps] == taps and len(taps) > 1
    for each in entry.maps:
        assert each.score == pytest.approx(np.mean([both(seed, each.tap, data.validation) for seed in (0, 1)]), rel=1e-3)
    assert entry.chosen.score == max(each.score for each in entry.maps)

    assert [(test.measure, test.rival) for test in entry.tests] == list(product(MEASURES, RIVALS))
    raw = [
        stats.binomtest(round(test.share * test.differing), test.differing).pvalue if test.differing else 1.0
        for test in entry.tests
    ]
    assert [test.p for test in entry.tests] == pytest.approx(holm(raw), rel=1e-3)


def test_settings_without_positions_or_without_seeds_are_named(found: Showcase) -> None:
    left = {each.name: each for each in found.not_measured}
    assert left["eca"].missing == [] and "say nothing about where" in left["eca"].sentence()
    assert left["cbam"].sentence() == "Not measured: seeds 0, 2 are missing."


def test_images_without_outlines_are_named(groups: Groups, found: Showcase) -> None:
    def without_masks(config: DatasetConfig) -> ImageDataset:
        data = load_dataset(config)
        return replace(data, test=replace(data.test, masks=None))

    group = found.confirmed[0].group
    (left,) = confirmed({group: groups[group]}, without_masks).not_measured
    assert left.sentence() == "Not measured: its images have no outlines of objects." and not left.silent


def test_the_page_and_the_file_say_the_same(found: Showcase, tmp_path: Path) -> None:
    page = document(found)
    assert found.confirmed[0].sentence() in page and found.confirmed[0].verdict() in page
    assert all(left.sentence() in page for left in found.not_measured)
    assert all(of_map.title in page for of_map in found.confirmed[0].maps)
    path = tmp_path / "showcase.json"
    assert read_showcase(path) is None
    path.write_text(found.model_dump_json())
    assert read_showcase(path) == found
    path.write_text('{"version": "of another time"}')
    assert read_showcase(path) is None


def test_a_map_finds_the_object_only_if_every_test_of_every_training_says_so() -> None:
    sure = example(SURE)
    assert sure.finds and sure.agreeing == (2, 3, 4)
    assert sure.sentence() == (
        "On 200 test images of each of three trainings, its highest weight lies on the digit in 71% (a random map: 4%, the "
        "middle of the image: 9%, the untrained network: 12%)."
    )
    assert sure.verdict() == "It is better than all three in every training, by this and by its overlap with the digit."
    unsure = example({2: 0.0001, 3: 0.0001, 4: 0.011})
    assert not unsure.finds and unsure.agreeing == (2, 3)
    assert unsure.verdict().startswith("Only in two of three trainings is it better than all three")
    once_worse = example({2: 0.0001, 3: 0.0001}, worse=(3, "overlap", "random"))
    assert not once_worse.finds and once_worse.agreeing == (2,)
    assert example(UNSURE).verdict().startswith("In no training is it better than all three")


def test_a_setting_that_lacks_seeds_says_which() -> None:
    lacking = NotMeasured(group="g", name="cbam", dataset="digits", backbone="small_cnn", missing=[3, 4])
    assert lacking.sentence() == "Not measured: seeds 3, 4 are missing."
