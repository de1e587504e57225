"""Are the maps of a network better than maps that need no attention? Measured over test images, with intervals.

For each map, for each of `attnlab.explain.baselines` and for the best map of the same grid (`attnlab.explain.ceiling`), on the
same images: the measures of `attnlab.explain.honesty.comparison`, and

    twin    Spearman's rank correlation with the untrained twin's map (Adebayo et al., NeurIPS 2018); the closer to 1, the less
            of the map was learned

A network is measured as a whole by default, map by map, because which map one looks at decides the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from attnlab.data import Split, normalise
from attnlab.explain.baselines import (
    BASELINES,
    BaselineContext,
    attention_map,
    baselines_of,
    measured_maps,
    untrained_twin,
)
from attnlab.explain.ceiling import ceilings
from attnlab.explain.faithfulness import ImageValues, best_overlap, perturbation_curve, pointing_game, weight_on_mask
from attnlab.explain.honesty.comparison import CEILING, MAP, BaselineComparison, compare, corrected
from attnlab.explain.open_run import OpenRun
from attnlab.explain.placed import PlacedMaps
from attnlab.stats.intervals import Interval, mean_interval, proportion_interval
from attnlab.stats.ranks import rank_correlation
from attnlab.training.seeding import mix

BATCH = 25


class MeasurementStopped(Exception):
    """The measurement was stopped on request."""


@dataclass(frozen=True, eq=False)
class Honesty:
    """A finished measurement.

    Attributes:
        run_id, tap: whose map was measured.
        seed: of the choice of images. images: (B,) their indices in the test split.
        values: measure -> `MAP`, baseline or `CEILING` -> one value per image (B,), NaN where there is none.
        twin: rank correlation of the map with the untrained twin's, (B,).
    """

    run_id: str
    tap: str
    seed: int
    images: NDArray[np.int64]
    values: dict[str, dict[str, ImageValues]]
    twin: ImageValues

    def summary(self, measure: str, name: str) -> Interval | None:
        """Mean over the images, for `MAP`, a baseline or `CEILING`; `None` where there is no value."""
        values = self.values[measure].get(name, np.empty(0))
        finite = values[np.isfinite(values)]
        if not len(finite):
            return None
        return proportion_interval(finite > 0.5) if measure == "pointing" else mean_interval(finite)

    def twin_summary(self) -> Interval | None:
        """Mean rank correlation with the untrained twin; `None` where every map is constant."""
        return mean_interval(self.twin) if np.isfinite(self.twin).any() else None

    def comparisons(self, measure: str) -> list[BaselineComparison]:
        """The map against every baseline, corrected by Holm."""
        values = self.values[measure]
        return corrected(
            [
                compare(name, measure, values[MAP], other)
                for name, other in values.items()
                if name not in (MAP, CEILING) and np.isfinite(values[MAP] - other).any()
            ]
        )

    def sentences(self) -> list[str]:
        """Does the map locate the object (where masks exist), does the prediction depend on it, and was it learned?"""
        measures = [name for name in ("overlap", "deletion") if name in self.values]
        return [*(comparison.sentence() for name in measures for comparison in self.comparisons(name)), self.twin_sentence()]

    def twin_sentence(self) -> str:
        """How much of the map's order was there before training."""
        correlation = self.twin_summary()
        if correlation is None:
            return "This map or the untrained network's is constant on every image, so there are no ranks to compare."
        size = abs(correlation.value)
        amount = "Much" if size > 0.7 else "Part" if size > 0.3 else "Little"
        return (
            f"Rank correlation with the untrained network's map: {correlation.value:.2f} "
            f"(95% interval {correlation.low:.2f} to {correlation.high:.2f}). "
            f"{amount} of this map's order was there before training."
        )

    def to_tree(self) -> dict[str, Any]:
        """Everything, as strict JSON: NaN becomes null. `from_tree` reads it back."""
        return {
            "run_id": self.run_id,
            "tap": self.tap,
            "seed": self.seed,
            "images": self.images.tolist(),
            "values": {
                measure: {name: _to_list(values) for name, values in by_name.items()}
                for measure, by_name in self.values.items()
            },
            "twin": _to_list(self.twin),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Honesty:
        """The measurement that `to_tree` wrote.

        Raises:
            KeyError: when a part is missing.
        """
        values = {
            measure: {name: _to_array(values) for name, values in by_name.items()}
            for measure, by_name in tree["values"].items()
        }
        return cls(tree["run_id"], tree["tap"], tree["seed"], np.array(tree["images"], int), values, _to_array(tree["twin"]))

    def report(self) -> dict[str, Any]:
        """Means, comparisons and sentences as strict JSON, without the values of single images."""
        return {
            "run_id": self.run_id,
            "tap": self.tap,
            "seed": self.seed,
            "images": len(self.images),
            "means": {
                measure: {name: _to_json(self.summary(measure, name)) for name in by_name}
                for measure, by_name in self.values.items()
            },
            "twin_rank_correlation": _to_json(self.twin_summary()),
            "comparisons": [_to_json(comparison) for measure in self.values for comparison in self.comparisons(measure)],
            "sentences": self.sentences(),
        }


def choose_images(labels: Tensor, count: int, seed: int) -> Tensor:
    """Indices of ``count`` images, ascending; all of them where there are fewer.

    They are drawn from the classes in turn, so that each class has its share.

    Args:
        labels: (n,).

    Raises:
        ValueError: for a count below one.
    """
    if count < 1:
        raise ValueError(f"at least one image is needed, got {count}")
    generator = torch.Generator().manual_seed(mix(seed, "honesty"))
    mixed = torch.randperm(len(labels), generator=generator)
    turns = torch.zeros(len(labels), dtype=torch.long)
    for label in labels.unique():
        of_class = labels[mixed] == label
        turns[of_class] = torch.arange(int(of_class.sum()))
    return mixed[turns.argsort(stable=True)][:count].sort().values


def measure_honesty(
    run: OpenRun,
    split: Split,
    *,
    taps: Sequence[str] | None = None,
    count: int = 200,
    seed: int = 0,
    steps: int = 16,
    baselines: Sequence[str] = tuple(BASELINES),
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Honesty, ...]:
    """Measures maps and their baselines on images of a split. The class is the one that the network predicts.

    Args:
        taps: whose maps; without any, all of `attnlab.explain.baselines.measured_maps`. The result is in that order.
        count, seed: as in `choose_images`.
        steps: of deletion and insertion.
        baselines: those that can be made of this network are measured. A map is not compared with itself.
        progress: called with the images done and the images in all.
        should_stop: called before every map.

    Raises:
        ValueError: when the network makes no map with positions, there is no such tap or baseline, or no image.
        MeasurementStopped: once ``should_stop`` returns true.
    """
    known = measured_maps(run)
    if not known:
        raise ValueError(f"the network of {run.folder.name} makes no map with positions; channel gates have none to measure")
    if unknown := [tap for tap in taps or () if tap not in known]:
        raise ValueError(f"there is no map with positions at {unknown[0]!r}; there is at: {', '.join(known)}")
    if strange := set(baselines) - set(BASELINES):
        raise ValueError(f"unknown baselines {', '.join(sorted(strange))}; known: {', '.join(BASELINES)}")
    possible = baselines_of(run)
    baselines = [name for name in baselines if name in possible]
    chosen = choose_images(split.labels, count, seed)
    if not len(chosen):
        raise ValueError("there is no image to measure maps on")
    twin = untrained_twin(run)
    contexts = {tap: BaselineContext(run, twin, tap) for tap in known if not taps or tap in taps}
    parts: dict[str, list[dict[str, dict[str, ImageValues]]]] = {tap: [] for tap in contexts}
    correlations: dict[str, list[ImageValues]] = {tap: [] for tap in contexts}
    done = 0
    for index in chosen.split(BATCH):
        batch = _Batch.of(run, split, index, steps, should_stop)
        shared = batch.figures(
            batch.made(next(iter(contexts.values())), [name for name in baselines if not BASELINES[name].of_tap])
        )
        for tap, context in contexts.items():
            maps = {MAP: attention_map(run, batch.images, tap, batch.classes)}
            maps |= batch.made(context, [name for name in baselines if BASELINES[name].of_tap])
            figures = batch.figures(maps) | {name: values for name, values in shared.items() if name != tap}
            if batch.masks is not None:
                figures[CEILING] = _ceilings(batch.masks, maps[MAP], figures[MAP])
            parts[tap].append({name: figures[name] for name in (MAP, *baselines, CEILING) if name in figures})
            twin_map = maps["untrained"] if "untrained" in maps else attention_map(twin, batch.images, tap, batch.classes)
            correlations[tap].append(rank_correlations(maps[MAP].on(batch.images), twin_map.on(batch.images)))
        done += len(index)
        if progress is not None:
            progress(done, len(chosen))
    return tuple(
        Honesty(run.folder.name, tap, seed, chosen.numpy(), _joined(parts[tap]), np.concatenate(correlations[tap]))
        for tap in contexts
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some images, with what is asked of each map of them."""

    run: OpenRun
    images: Tensor
    masks: Tensor | None
    classes: Tensor
    steps: int
    should_stop: Callable[[], bool] | None

    @classmethod
    def of(cls, run: OpenRun, split: Split, index: Tensor, steps: int, should_stop: Callable[[], bool] | None) -> _Batch:
        images = split.images[index]
        classes = torch.from_numpy(run.inspect(images).probabilities.argmax(axis=1))
        return cls(run, images, None if split.masks is None else split.masks[index], classes, steps, should_stop)

    def made(self, context: BaselineContext, names: Sequence[str]) -> dict[str, PlacedMaps]:
        """The maps of some baselines, by name."""
        maps = {}
        for name in names:
            _check_stop(self.should_stop)
            maps[name] = BASELINES[name].make(context, self.images, self.classes)
        return maps

    def figures(self, maps: dict[str, PlacedMaps]) -> dict[str, dict[str, ImageValues]]:
        """The measures of each map, by its name."""
        found = {}
        for name, placed in maps.items():
            _check_stop(self.should_stop)
            found[name] = measure_maps(self.run, self.images, placed, self.classes, self.masks, steps=self.steps)
        return found


def _joined(parts: Sequence[dict[str, dict[str, ImageValues]]]) -> dict[str, dict[str, ImageValues]]:
    """Measure -> name -> values of all images, from name -> measure -> values of each batch."""
    joined: dict[str, dict[str, ImageValues]] = {}
    for name, by_measure in parts[0].items():
        for measure in by_measure:
            joined.setdefault(measure, {})[name] = np.concatenate([part[name][measure] for part in parts])
    return joined


def _ceilings(masks: Tensor, maps: PlacedMaps, figures: dict[str, ImageValues]) -> dict[str, ImageValues]:
    """What the best map of the grid reaches, never less than the map itself; none for images on which the map has no figure."""
    best = ceilings(masks, (maps.values.shape[1], maps.values.shape[2]), maps.cells)
    return {name: np.maximum(values, figures[name]) for name, values in best.items()}


def measure_maps(
    run: OpenRun, images: Tensor, maps: PlacedMaps, classes: Tensor, masks: Tensor | None, *, steps: int = 16
) -> dict[str, ImageValues]:
    """Every measure of some maps, by name; those that need masks only where there are masks.

    An image whose mask is empty, or whose map is the same everywhere and so ranks no pixel above another, has NaN.

    Args:
        images: uint8 (B, C, H, W). masks: bool (B, H, W).
        classes: (B,) the class whose probability deletion and insertion follow.
    """
    x = normalise(images, run.mean, run.std)
    weights, cells = maps

    def predict(x: Tensor) -> Tensor:
        return run.probabilities(run.model(x))

    values = {
        "deletion": perturbation_curve(predict, x, weights, classes, mode="deletion", steps=steps, cells=cells).auc,
        "insertion": perturbation_curve(predict, x, weights, classes, mode="insertion", steps=steps, cells=cells).auc,
    }
    values = {name: np.where(_varies(weights), measured, np.nan) for name, measured in values.items()}
    return values if masks is None else values | measure_on_object(maps, masks)


def measure_on_object(maps: PlacedMaps, masks: Tensor) -> dict[str, ImageValues]:
    """The measures that need masks, by name. NaN as in `measure_maps`.

    Args:
        masks: bool (B, H, W).
    """
    weights, cells = maps
    told = masks.flatten(1).any(dim=1).numpy() & _varies(weights)
    share = masks.double().mean(dim=(1, 2)).numpy()
    values = {
        "pointing": pointing_game(weights, masks, cells).astype(float),
        "inside": weight_on_mask(weights, masks, cells) * share,
        "overlap": best_overlap(weights, masks, cells),
    }
    return {name: np.where(told, measured, np.nan) for name, measured in values.items()}


def _varies(weights: Tensor) -> NDArray[np.bool_]:
    """Whether each map (B, h, w) ranks one position above another, (B,)."""
    varies: NDArray[np.bool_] = (weights.flatten(1).amax(dim=1) > weights.flatten(1).amin(dim=1)).numpy()
    return varies


def rank_correlations(maps: Tensor, others: Tensor) -> ImageValues:
    """Spearman's rank correlation of each map with the other of its image, both (B, H, W): (B,), NaN where one is constant."""
    return np.array([rank_correlation(one, other) for one, other in zip(maps.numpy(), others.numpy(), strict=True)])


def _check_stop(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise MeasurementStopped


def _to_list(values: ImageValues) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _to_array(values: ArrayLike) -> ImageValues:
    return np.asarray(values, dtype=np.float64)


def _to_json(record: Interval | BaselineComparison | None) -> dict[str, Any] | None:
    """A dataclass as strict JSON: what is not finite becomes null."""
    return None if record is None else _finite(asdict(record))


def _finite(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _finite(value)
        if isinstance(value, dict)
        else None
        if isinstance(value, float) and not math.isfinite(value)
        else value
        for name, value in tree.items()
    }
