"""Is a map of attention better than maps that need no attention? Measured over test images, with intervals.

For the map and for each of `attnlab.explain.baselines`, on the same images:

    deletion, insertion  Petsiuk et al., BMVC 2018 (RISE): area under the predicted class's probability while the pixels with
                         the largest weights are replaced by the mean colour (lower is better), or put into a blurred copy
                         (higher is better)
    pointing             Zhang et al., IJCV 2018: the largest weight lies on the object
    inside               share of the map's weight on the object
    overlap              intersection over union with the object at the best threshold of each image
    twin                 Spearman's rank correlation with the untrained twin's map (Adebayo et al., NeurIPS 2018); the
                         closer to 1, the less of the map was learned

The middle three need masks. Differences are paired: the share of images on which the map does better, among those where
the two differ, with Wilson's interval and the sign test, corrected by Holm for the number of baselines; Wilcoxon's
signed-rank test beside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from attnlab.data import Split, normalise
from attnlab.explain.baselines import BASELINES, BaselineContext, PlacedMaps, attention_map, spatial_taps, untrained_twin
from attnlab.explain.faithfulness import ImageValues, best_overlap, perturbation_curve, pointing_game, weight_on_mask
from attnlab.explain.open_run import OpenRun
from attnlab.stats.intervals import Interval, mean_interval, proportion_interval
from attnlab.stats.ranks import rank_correlation
from attnlab.stats.significance import LEVEL, holm, p_words, sign_test, signed_rank_test
from attnlab.training.seeding import mix

MAP = "map"
"""Key of the measured map beside the names of the baselines."""
BATCH = 25


@dataclass(frozen=True)
class Measure:
    """What is measured of a map, one value per image.

    Attributes:
        title: as a heading. meaning: in a sentence, without a full stop.
        verb: what a good map does, in a sentence that begins with "This map"; without one, sentences begin with the title.
        higher: whether a higher value is better.
    """

    title: str
    meaning: str
    verb: str = ""
    higher: bool = True


MEASURES: dict[str, Measure] = {
    "deletion": Measure(
        "Deletion",
        "probability of the class while the pixels with the largest weights are replaced by the mean colour; lower is better",
        higher=False,
    ),
    "insertion": Measure(
        "Insertion",
        "probability of the class while the pixels with the largest weights are put into a blurred copy; higher is better",
    ),
    "pointing": Measure(
        "Pointing game", "share of images whose largest weight lies on the object", verb="points at the object"
    ),
    "inside": Measure("Weight inside", "share of the weight that lies on the object", verb="keeps its weight on the object"),
    "overlap": Measure(
        "Overlap (IoU)", "overlap with the object at the best threshold of each image", verb="locates the object"
    ),
}


class MeasurementStopped(Exception):
    """The measurement was stopped on request."""


@dataclass(frozen=True)
class BaselineComparison:
    """The map against one baseline by one measure, image by image.

    Attributes:
        baseline, measure: names in `BASELINES` and `MEASURES`.
        share: of the images on which the two differ, the share on which the map is better.
        ties: images on which they do not differ.
        difference: mean of map minus baseline.
        p_sign, p_holm: sign test, and corrected for the baselines of the measure; p_wilcoxon: signed ranks.
    """

    baseline: str
    measure: str
    share: Interval
    ties: int
    difference: Interval
    p_sign: float
    p_wilcoxon: float
    p_holm: float = 1.0

    @property
    def verdict(self) -> bool | None:
        """Whether the map is better (`True`) or worse (`False`) at the level of 5%; `None` where that is inconclusive."""
        return None if self.p_holm >= LEVEL else self.share.value > 0.5

    def sentence(self) -> str:
        """The verdict with its figures, whichever way it goes."""
        measure, other = MEASURES[self.measure], BASELINES[self.baseline].phrase
        if not self.share.count:
            equal = f"This map {measure.verb} exactly as well as" if measure.verb else f"{measure.title}: equal to"
            return f"{equal} {other} on all {self.ties} images."
        if measure.verb:
            better = f"This map {measure.verb} better than {other}"
            worse = f"This map {measure.verb} less well than {other}: it is better"
            unclear = f"Inconclusive: this map {measure.verb} better than {other}"
        else:
            better = f"{measure.title}: better than {other}"
            worse = f"{measure.title}: worse than {other}, better"
            unclear = f"{measure.title}: inconclusive, better than {other}"
        certainty = f"95% interval {self.share.low:.0%} to {self.share.high:.0%}, {p_words(self.p_holm)}"
        images = f"{self.share.count} images ({certainty})"
        if self.ties:
            images = f"the {self.share.count} images on which they differ ({self.ties} ties; {certainty})"
        share = f"{self.share.value:.0%}"
        if self.verdict is None:
            return f"{unclear} on {share} of {images}."
        if self.verdict:
            return f"{better} on {share} of {images}."
        return f"{worse} on {f'only {share}' if self.share.value else 'none'} of {images}."


@dataclass(frozen=True, eq=False)
class Honesty:
    """A finished measurement.

    Attributes:
        run_id, tap: whose map was measured.
        seed: of the choice of images. images: (B,) their indices in the test split.
        values: measure -> `MAP` or baseline -> one value per image (B,), NaN where there is none.
        twin: rank correlation of the map with the untrained twin's, (B,).
    """

    run_id: str
    tap: str
    seed: int
    images: NDArray[np.int64]
    values: dict[str, dict[str, ImageValues]]
    twin: ImageValues

    def summary(self, measure: str, name: str) -> Interval | None:
        """Mean over the images, for `MAP` or a baseline; `None` where no image has a value."""
        values = self.values[measure][name]
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
                if name != MAP and np.isfinite(values[MAP] - other).any()
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
    tap: str | None = None,
    count: int = 200,
    seed: int = 0,
    steps: int = 16,
    baselines: Sequence[str] = tuple(BASELINES),
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Honesty:
    """Measures one map and its baselines on images of a split. The class is the one that the network predicts.

    Args:
        tap: whose map; without one, the last that has positions.
        count, seed: as in `choose_images`.
        steps: of deletion and insertion.
        progress: called with the images done and the images in all.
        should_stop: called before every map.

    Raises:
        ValueError: when the network makes no map with positions, there is no such tap or baseline, or no image.
        MeasurementStopped: once ``should_stop`` returns true.
    """
    taps = spatial_taps(run)
    if not taps:
        raise ValueError(f"the network of {run.folder.name} makes no map with positions; channel gates have none to measure")
    if tap is not None and tap not in taps:
        raise ValueError(f"there is no map with positions at {tap!r}; there is at: {', '.join(taps)}")
    if unknown := set(baselines) - set(BASELINES):
        raise ValueError(f"unknown baselines {', '.join(sorted(unknown))}; known: {', '.join(BASELINES)}")
    chosen = choose_images(split.labels, count, seed)
    if not len(chosen):
        raise ValueError("there is no image to measure maps on")
    context = BaselineContext(run, untrained_twin(run), tap or taps[-1])
    batches: dict[str, dict[str, list[ImageValues]]] = {}
    correlations: list[ImageValues] = []
    for index in chosen.split(BATCH):
        images = split.images[index]
        masks = None if split.masks is None else split.masks[index]
        classes = torch.from_numpy(run.inspect(images).probabilities.argmax(axis=1))
        maps = {MAP: attention_map(run, images, context.tap)}
        for name in baselines:
            _check_stop(should_stop)
            maps[name] = BASELINES[name].make(context, images, classes)
        for name, weights in maps.items():
            _check_stop(should_stop)
            for measure, values in measure_maps(run, images, weights, classes, masks, steps=steps).items():
                batches.setdefault(measure, {}).setdefault(name, []).append(values)
        twin_maps = maps["untrained"] if "untrained" in maps else attention_map(context.twin, images, context.tap)
        correlations.append(rank_correlations(maps[MAP].on(images), twin_maps.on(images)))
        if progress is not None:
            progress(sum(map(len, correlations)), len(chosen))
    joined = {measure: {name: np.concatenate(parts) for name, parts in by_name.items()} for measure, by_name in batches.items()}
    return Honesty(run.folder.name, context.tap, seed, chosen.numpy(), joined, np.concatenate(correlations))


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
    if masks is not None:
        has_object = masks.flatten(1).any(dim=1).numpy()
        share = masks.double().mean(dim=(1, 2)).numpy()
        on_object = {
            "pointing": pointing_game(weights, masks, cells).astype(float),
            "inside": weight_on_mask(weights, masks, cells) * share,
            "overlap": best_overlap(weights, masks, cells),
        }
        values |= {name: np.where(has_object, measured, np.nan) for name, measured in on_object.items()}
    varies = (weights.flatten(1).amax(dim=1) > weights.flatten(1).amin(dim=1)).numpy()
    return {name: np.where(varies, measured, np.nan) for name, measured in values.items()}


def rank_correlations(maps: Tensor, others: Tensor) -> ImageValues:
    """Spearman's rank correlation of each map with the other of its image, both (B, H, W): (B,), NaN where one is constant."""
    return np.array([rank_correlation(one, other) for one, other in zip(maps.numpy(), others.numpy(), strict=True)])


def compare(baseline: str, measure: str, ours: ImageValues, theirs: ImageValues) -> BaselineComparison:
    """Map against baseline on the images that have both values; not yet corrected for several baselines.

    Args:
        ours, theirs: values of the map and of the baseline, (B,).

    Raises:
        ValueError: when no image has both.
    """
    gain = (ours - theirs)[np.isfinite(ours - theirs)]
    untied = gain[gain != 0]
    better = untied > 0 if MEASURES[measure].higher else untied < 0
    if not len(untied):
        share = Interval(0.5, 0.0, 1.0, 0)
        return BaselineComparison(baseline, measure, share, len(gain), mean_interval(gain), 1.0, 1.0)
    return BaselineComparison(
        baseline,
        measure,
        share=proportion_interval(better),
        ties=len(gain) - len(untied),
        difference=mean_interval(gain),
        p_sign=sign_test(int(better.sum()), len(better)),
        p_wilcoxon=signed_rank_test(untied),
    )


def corrected(comparisons: Sequence[BaselineComparison]) -> list[BaselineComparison]:
    """The comparisons with `p_holm`, their sign tests corrected for each other by Holm's method."""
    p_values = holm([comparison.p_sign for comparison in comparisons])
    return [replace(comparison, p_holm=p) for comparison, p in zip(comparisons, p_values, strict=True)]


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
