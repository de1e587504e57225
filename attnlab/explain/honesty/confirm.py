"""Which map of a network finds the object? Chosen on some images and trainings, confirmed on others.

A map that was picked because it looked good on some images must be tested on others, and on other trainings: the maps of one
training say little of the next. So for each setting

    the map is chosen     on validation images, by trainings that take no part in the test
    and it is confirmed   on test images, one training at a time, by tests that are paired over the images

Images of one training share its network, and all trainings see the same images, so the images of several trainings are not
pooled into one test: each training is tested by itself, and the number of those that agree is told. P-values are corrected by
Holm over all settings, trainings, rivals and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch

from attnlab.attention import attention_taps
from attnlab.config import DatasetConfig
from attnlab.data import ImageDataset, Split, load_dataset
from attnlab.explain.baselines import BASELINES, BaselineContext, attention_map, spatial_taps, untrained_twin
from attnlab.explain.ceiling import ceilings
from attnlab.explain.faithfulness import ImageValues, best_overlap, pointing_game
from attnlab.explain.honesty.comparison import BaselineComparison, compare, corrected
from attnlab.explain.honesty.measure import choose_images
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.maps import tap_titles
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import attention_name, dataset_name
from attnlab.runs.showcase import CEILING, MAP, MEASURES, RIVALS, Confirmed, MapFigures, NotMeasured, Showcase, Test, rounded

OBJECTS = {"digits": "digit", "lesions": "lesion"}
"""What the outlines of a data set show; an object elsewhere."""
BATCH = 50

Figures = dict[str, dict[str, ImageValues]]
"""Measure -> `MAP`, rival or `CEILING` -> one value per image."""


def confirm(
    groups: Mapping[str, Mapping[int, RunFolder]],
    *,
    choosing: Sequence[int] = (0, 1),
    confirming: Sequence[int] = (2, 3, 4),
    images: int = 200,
    seed: int = 0,
    dataset_of: Callable[[DatasetConfig], ImageDataset] = load_dataset,
    on_group: Callable[[str], None] | None = None,
) -> Showcase:
    """Chooses a map of each setting and tests it.

    Args:
        groups: as `attnlab.explain.honesty.seeds.seeds_of` gives them. Networks without attention are left out.
        choosing, confirming: seeds; a setting that lacks one of them is named and not measured.
        images: at most so many validation images, and so many test images, drawn by ``seed``.
        dataset_of: loads the images of a setting.
        on_group: called with the name of each setting before it is measured.

    Raises:
        ValueError: when a seed is to choose and to confirm.
    """
    if both := set(choosing) & set(confirming):
        raise ValueError(f"seeds {', '.join(map(str, sorted(both)))} cannot both choose a map and confirm it")
    load = lru_cache(maxsize=1)(lambda text: dataset_of(DatasetConfig.model_validate_json(text)))
    measured: list[Confirmed] = []
    left: list[NotMeasured] = []
    comparisons: list[BaselineComparison] = []
    for group, by_seed in _by_dataset(groups):
        config = next(iter(by_seed.values())).config
        about = {"group": group, "name": attention_name(config), "dataset": dataset_name(config)}
        about["backbone"] = config.model.backbone
        if on_group is not None:
            on_group(" ".join(about.values()))
        missing = [number for number in (*choosing, *confirming) if number not in by_seed]
        first = open_run(next(iter(by_seed.values())).path)
        if not attention_taps(first.model):
            continue
        taps = spatial_taps(first)
        if missing or not taps:
            left.append(NotMeasured(**about, missing=missing if taps else []))
            continue
        data = load(config.dataset.model_dump_json())
        if not (_outlined(data.validation) and _outlined(data.test)):
            left.append(NotMeasured(**about, missing=[], outlined=False))
            continue
        scores = _scores([open_run(by_seed[number].path) for number in choosing], taps, _drawn(data.validation, images, seed))
        tap = max(taps, key=lambda name: scores[name])
        test = _drawn(data.test, images, seed)
        figures = {number: _figures(open_run(by_seed[number].path), taps, test) for number in confirming}
        tests, found = _tested({number: of_run[tap] for number, of_run in figures.items()})
        comparisons += found
        titles = tap_titles([*first.cells, *taps])  # of several heads each has a map, but all have one tap
        maps = [
            MapFigures(tap=name, title=titles[name], score=rounded(scores[name]), means=_means(figures, name)) for name in taps
        ]
        measured.append(
            Confirmed(
                **about,
                object=OBJECTS.get(about["dataset"], "object"),
                accuracies=[_accuracy(by_seed[number]) for number in confirming],
                images=len(test),
                tap=tap,
                maps=maps,
                tests=tests,
            )
        )
    p_values = iter([each.p_holm for each in corrected(comparisons)])
    tested = [
        each.model_copy(update={"tests": [test.model_copy(update={"p": rounded(next(p_values))}) for test in each.tests]})
        for each in measured
    ]
    ordered = sorted(tested, key=lambda each: (each.dataset, not each.finds, -each.chosen.mean("pointing")))
    return Showcase(choosing=list(choosing), confirming=list(confirming), confirmed=ordered, not_measured=left)


def _by_dataset(groups: Mapping[str, Mapping[int, RunFolder]]) -> list[tuple[str, Mapping[int, RunFolder]]]:
    """The settings, those with the same images after each other, so that these are loaded once."""
    return sorted(groups.items(), key=lambda item: next(iter(item[1].values())).config.dataset.model_dump_json())


def _tested(of_map: Mapping[int, Figures]) -> tuple[list[Test], list[BaselineComparison]]:
    """Every comparison of the chosen map, as it is kept and as it is corrected.

    Args:
        of_map: confirming seed -> its figures.
    """
    tests, comparisons = [], []
    for seed, figures in of_map.items():
        for measure in MEASURES:
            for rival in RIVALS:
                found = compare(rival, measure, figures[measure][MAP], figures[measure][rival])
                share, count = rounded(found.share.value), found.share.count
                tests.append(Test(seed=seed, measure=measure, rival=rival, share=share, differing=count, p=found.p_sign))
                comparisons.append(found)
    return tests, comparisons


def _outlined(split: Split) -> bool:
    return split.masks is not None and bool(split.masks.any())


def _drawn(split: Split, count: int, seed: int) -> Split:
    """Images of a split that have an object, drawn from the classes in turn."""
    assert split.masks is not None
    with_object = split.select(split.masks.flatten(1).any(dim=1).nonzero()[:, 0])
    return with_object.select(choose_images(with_object.labels, count, seed))


def _scores(runs: Sequence[OpenRun], taps: Sequence[str], split: Split) -> dict[str, float]:
    """Of each map the mean over the runs of how often it points at the object and how much it overlaps with it."""
    scores = dict.fromkeys(taps, 0.0)
    for run in runs:
        for images, masks in _batches(split):
            for tap in taps:
                maps = attention_map(run, images, tap)
                both = pointing_game(maps.values, masks, maps.cells) + best_overlap(maps.values, masks, maps.cells)
                scores[tap] += float(both.sum()) / (2 * len(split) * len(runs))
    return scores


def _figures(run: OpenRun, taps: Sequence[str], split: Split) -> dict[str, Figures]:
    """Tap -> its figures. A map that is the same everywhere points at its first cell and overlaps as the whole picture does."""
    twin = untrained_twin(run)
    parts: dict[str, dict[str, dict[str, list[ImageValues]]]] = {
        tap: {measure: {name: [] for name in (MAP, *RIVALS, CEILING)} for measure in MEASURES} for tap in taps
    }
    for images, masks in _batches(split):
        for tap in taps:
            context = BaselineContext(run, twin, tap)
            maps = {MAP: attention_map(run, images, tap)}
            maps |= {name: BASELINES[name].make(context, images, torch.zeros(len(images), dtype=torch.long)) for name in RIVALS}
            for name, (values, cells) in maps.items():
                parts[tap]["pointing"][name].append(pointing_game(values, masks, cells).astype(float))
                parts[tap]["overlap"][name].append(best_overlap(values, masks, cells))
            best = ceilings(masks, (maps[MAP].values.shape[1], maps[MAP].values.shape[2]), maps[MAP].cells)
            for measure in MEASURES:
                parts[tap][measure][CEILING].append(np.maximum(best[measure], parts[tap][measure][MAP][-1]))
    return {
        tap: {measure: {name: np.concatenate(values) for name, values in by_name.items()} for measure, by_name in each.items()}
        for tap, each in parts.items()
    }


def _batches(split: Split) -> list[tuple[torch.Tensor, torch.Tensor]]:
    assert split.masks is not None
    return list(zip(split.images.split(BATCH), split.masks.split(BATCH), strict=True))


def _means(figures: Mapping[int, dict[str, Figures]], tap: str) -> dict[str, dict[str, list[float]]]:
    """Measure -> name -> the mean in each confirming training."""
    return {
        measure: {
            name: [rounded(float(of_run[tap][measure][name].mean())) for of_run in figures.values()]
            for name in (MAP, *RIVALS, CEILING)
        }
        for measure in MEASURES
    }


def _accuracy(folder: RunFolder) -> float:
    return rounded(((folder.end() or {}).get("result") or {}).get("test_accuracy", float("nan")))
