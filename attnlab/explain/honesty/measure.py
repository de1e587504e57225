"""Is a map of attention better than maps that are there without it? Measured over test images, with intervals.

For the map and for each of `attnlab.explain.baselines`, on the same images:

    deletion, insertion  Petsiuk et al., BMVC 2018 (RISE): area under the predicted class's probability while pixels go to
                         the mean colour (lower is better), or come into a blurred copy (higher is better)
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
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests
from torch import Tensor

from attnlab.data import Split, normalise
from attnlab.explain.baselines import BASELINES, Scene, attention_map, spatial_taps, untrained_twin
from attnlab.explain.faithfulness import (
    Interval,
    best_overlap,
    mean_interval,
    perturbation_curve,
    pointing_game,
    proportion_interval,
    weight_on_mask,
)
from attnlab.explain.open_run import OpenRun
from attnlab.training.seeding import mix

Figures = NDArray[np.float64]
MAP = "map"
"""How the measured map is called among the baselines."""
BATCH = 25
RANDOM = 0.05


@dataclass(frozen=True)
class Measure:
    """One figure an image. ``higher``: more is better; ``masked``: it needs the object's mask."""

    title: str
    meaning: str
    higher: bool = True
    masked: bool = False


MEASURES: dict[str, Measure] = {
    "deletion": Measure(
        "Deletion", "probability that is left while the heaviest pixels go first, to the mean colour; lower is better", False
    ),
    "insertion": Measure("Insertion", "probability while the heaviest pixels come first into a blurred copy; higher is better"),
    "pointing": Measure("Pointing game", "share of images whose heaviest pixel lies on the object", masked=True),
    "inside": Measure("Weight inside", "share of the weight that lies on the object", masked=True),
    "overlap": Measure("Overlap (IoU)", "overlap with the object at the threshold that suits each image best", masked=True),
}


class Stopped(Exception):
    """Who asked for the measurement has asked for its end."""


@dataclass(frozen=True)
class Comparison:
    """The map against one baseline by one measure, image by image.

    Attributes:
        share: of the images on which the two differ, those where the map does better.
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
        """Better, worse, or (`None`) not to be told."""
        return None if self.p_holm >= RANDOM else self.share.value > 0.5

    def sentence(self) -> str:
        """In words, also when it speaks against the map."""
        what = {
            "overlap": "finds the object",
            "inside": "keeps its weight on the object",
            "pointing": "points at the object",
            "deletion": "names pixels the prediction loses most by",
            "insertion": "names pixels the prediction gains most by",
        }[self.measure]
        other = BASELINES[self.baseline].title
        other = other if other == "Grad-CAM" else other.lower()
        other = f"the {other}" if self.baseline in ("untrained", "centre_prior") else other
        if not self.share.count:
            return f"On all {self.ties} images this map and {other} do the same: neither {what} better."
        where = f"{self.share.count} images" + (f" on which they differ ({self.ties} ties)" if self.ties else "")
        sure = f"95 % interval {100 * self.share.low:.0f} to {100 * self.share.high:.0f} %, {p_words(self.p_holm)}"
        on = f"{100 * self.share.value:.0f} % of {where} ({sure})"
        if self.verdict is True:
            return f"This map {what} better than {other} on {on}."
        if self.verdict is False:
            return f"This map does worse than {other}: it {what} better only on {on}."
        return f"It cannot be said that this map {what} better or worse than {other}: better on {on}."


@dataclass(frozen=True, eq=False)
class Honesty:
    """A finished measurement.

    Attributes:
        run_id, tap: what was measured.
        seed: of the choice of images; ``images`` (B,) are their places in the test split.
        values: measure -> map or baseline -> one figure an image (B,), NaN where there is none.
        twin: rank correlation of the map with the untrained twin's, (B,).
    """

    run_id: str
    tap: str
    seed: int
    images: NDArray[np.int64]
    values: dict[str, dict[str, Figures]]
    twin: Figures

    def summary(self, measure: str, name: str) -> Interval | None:
        """Mean and interval; `None` where no image has the figure."""
        return _interval(measure, self.values[measure][name])

    def twin_summary(self) -> Interval | None:
        """Mean rank correlation with the untrained twin; `None` where every map is constant."""
        return mean_interval(self.twin) if np.isfinite(self.twin).any() else None

    def comparisons(self, measure: str) -> list[Comparison]:
        """The map against every baseline."""
        values = self.values[measure]
        found = [
            compare(name, measure, values[MAP], other)
            for name, other in values.items()
            if name != MAP and np.isfinite(values[MAP] - other).any()
        ]
        return with_holm(found)

    def sentences(self) -> list[str]:
        """Whether it finds the object (where masks exist), whether the prediction depends on it, and what was learned."""
        told = [each.sentence() for name in ("overlap", "deletion") if name in self.values for each in self.comparisons(name)]
        return [*told, *filter(None, [self.twin_sentence()])]

    def twin_sentence(self) -> str | None:
        """The sanity check, in words."""
        rank = self.twin_summary()
        if rank is None:
            return "The map or its untrained twin is constant on every image: there are no ranks to compare."
        size = abs(rank.value)
        judged = (
            ("much of its order was there before learning" if size > 0.7 else "part of its order was there before learning")
            if size > 0.3
            else "little of its order was there before learning"
        )
        return (
            f"The ranks of its weights agree with the untrained twin's by {rank.value:.2f} "
            f"(95 % interval {rank.low:.2f} to {rank.high:.2f}): {judged}."
        )

    def to_tree(self) -> dict[str, Any]:
        """Strict JSON: NaN is null."""
        return {
            "run_id": self.run_id,
            "tap": self.tap,
            "seed": self.seed,
            "images": self.images.tolist(),
            "values": {measure: {name: _listed(each) for name, each in row.items()} for measure, row in self.values.items()},
            "twin": _listed(self.twin),
        }

    def told(self) -> dict[str, Any]:
        """Means, comparisons and sentences as strict JSON, for who does not want every image."""
        return {
            "run_id": self.run_id,
            "tap": self.tap,
            "seed": self.seed,
            "images": len(self.images),
            "means": {
                measure: {name: _tree(self.summary(measure, name)) for name in row} for measure, row in self.values.items()
            },
            "twin_rank_correlation": _tree(self.twin_summary()),
            "comparisons": [_finite(asdict(each)) for measure in self.values for each in self.comparisons(measure)],
            "sentences": self.sentences(),
        }

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Honesty:
        """Of what `to_tree` made."""
        values = {measure: {name: _array(each) for name, each in row.items()} for measure, row in tree["values"].items()}
        return cls(tree["run_id"], tree["tap"], tree["seed"], np.array(tree["images"], int), values, _array(tree["twin"]))


def choose_images(labels: Tensor, count: int, seed: int) -> Tensor:
    """Places of ``count`` images, drawn from the classes in turn so that each has its share, ascending; all where fewer are.

    Raises:
        ValueError: for less than one.
    """
    if count < 1:
        raise ValueError(f"at least one image is needed, {count} were asked for")
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
    """Measures one map and its baselines on images of a split. The class followed is the one the network predicts.

    Args:
        tap: whose map; the last one with positions when empty.
        progress: told images done and images in all.

    Raises:
        ValueError: when the network makes no map with positions, there is no such tap or baseline, or no image.
        Stopped: when ``should_stop`` said so.
    """
    places = spatial_taps(run)
    if not places:
        raise ValueError(f"the network of {run.folder.name} makes no map with positions; channel gates have none to measure")
    if tap is not None and tap not in places:
        raise ValueError(f"there is no map with positions at {tap!r}; there is at: {', '.join(places)}")
    if unknown := set(baselines) - set(BASELINES):
        raise ValueError(f"unknown baselines {', '.join(sorted(unknown))}; known: {', '.join(BASELINES)}")
    chosen = choose_images(split.labels, count, seed)
    if not len(chosen):
        raise ValueError("there is no image to measure maps on")
    scene = Scene(run, untrained_twin(run), tap or places[-1])
    parts: dict[str, dict[str, list[Figures]]] = {}
    twins: list[Figures] = []
    for index in chosen.split(BATCH):
        images = split.images[index]
        masks = None if split.masks is None else split.masks[index]
        classes = torch.from_numpy(run.inspect(images).probabilities.argmax(axis=1))
        maps = {MAP: attention_map(run, images, scene.tap)}
        for name in baselines:
            _heed(should_stop)
            maps[name] = BASELINES[name].make(scene, images, classes)
        for name, weights in maps.items():
            _heed(should_stop)
            for measure, figures in image_figures(run, images, weights, classes, masks, steps=steps).items():
                parts.setdefault(measure, {}).setdefault(name, []).append(figures)
        other = maps["untrained"] if "untrained" in maps else attention_map(scene.twin, images, scene.tap)
        twins.append(rank_correlation(maps[MAP], other))
        if progress is not None:
            progress(sum(map(len, twins)), len(chosen))
    values = {measure: {name: np.concatenate(each) for name, each in row.items()} for measure, row in parts.items()}
    return Honesty(run.folder.name, scene.tap, seed, chosen.numpy(), values, np.concatenate(twins))


def image_figures(
    run: OpenRun, images: Tensor, maps: Tensor, classes: Tensor, masks: Tensor | None, *, steps: int = 16
) -> dict[str, Figures]:
    """Every measure of maps (B, H, W) on uint8 images (B, C, H, W); with masks also those that need them.

    An image whose mask is empty, or whose map is the same everywhere, has NaN: such a map puts no pixel before another.
    """
    x = normalise(images, run.mean, run.std)

    def predict(x: Tensor) -> Tensor:
        return run.probabilities(run.model(x))

    ordered = (maps.flatten(1).amax(dim=1) > maps.flatten(1).amin(dim=1)).numpy()
    found = {
        "deletion": perturbation_curve(predict, x, maps, classes, mode="deletion", steps=steps).auc,
        "insertion": perturbation_curve(predict, x, maps, classes, mode="insertion", steps=steps).auc,
    }
    if masks is not None:
        there = masks.flatten(1).any(dim=1).numpy()
        share = masks.double().mean(dim=(1, 2)).numpy()
        on_object = {
            "pointing": pointing_game(maps, masks).astype(float),
            "inside": weight_on_mask(maps, masks) * share,
            "overlap": best_overlap(maps, masks),
        }
        found |= {name: np.where(there, figures, np.nan) for name, figures in on_object.items()}
    return {name: np.where(ordered, figures, np.nan) for name, figures in found.items()}


def rank_correlation(one: Tensor, other: Tensor) -> Figures:
    """Spearman's, of maps (B, H, W) with maps of the same size, (B,); NaN where one is constant."""
    found = []
    for a, b in zip(one.flatten(1).numpy(), other.flatten(1).numpy(), strict=True):
        found.append(float(stats.spearmanr(a, b).statistic) if np.ptp(a) and np.ptp(b) else np.nan)
    return np.array(found)


def compare(baseline: str, measure: str, ours: Figures, theirs: Figures) -> Comparison:
    """Paired, on the images that have both figures; not yet corrected for several baselines.

    Raises:
        ValueError: when no image has both.
    """
    gain = (ours - theirs)[np.isfinite(ours - theirs)]
    better = gain[gain != 0] > 0
    better = better if MEASURES[measure].higher else ~better
    if not len(better):
        share = Interval(0.5, 0.0, 1.0, 0)
        return Comparison(baseline, measure, share, len(gain), mean_interval(gain), 1.0, 1.0)
    sign = float(stats.binomtest(int(better.sum()), len(better)).pvalue)
    ranks = float(stats.wilcoxon(gain[gain != 0]).pvalue)
    return Comparison(baseline, measure, proportion_interval(better), int((gain == 0).sum()), mean_interval(gain), sign, ranks)


def with_holm(found: Sequence[Comparison]) -> list[Comparison]:
    """The same with ``p_holm`` filled in."""
    if not found:
        return []
    corrected = multipletests([each.p_sign for each in found], method="holm")[1]
    return [Comparison(**{**vars(each), "p_holm": float(p)}) for each, p in zip(found, corrected, strict=True)]


def p_words(p: float) -> str:
    """A p-value in a sentence."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def _interval(measure: str, figures: Figures) -> Interval | None:
    kept = figures[np.isfinite(figures)]
    if not len(kept):
        return None
    return proportion_interval(kept > 0.5) if measure == "pointing" else mean_interval(kept)


def _heed(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Stopped


def _listed(figures: Figures) -> list[float | None]:
    return [float(each) if math.isfinite(each) else None for each in figures]


def _array(listed: ArrayLike) -> Figures:
    return np.asarray(listed, dtype=np.float64)


def _tree(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else _finite(asdict(interval))


def _finite(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _finite(each) if isinstance(each, dict) else None if isinstance(each, float) and not math.isfinite(each) else each
        for name, each in tree.items()
    }
