"""What is measured of a map, and how it compares with one baseline, image by image.

    deletion, insertion  Petsiuk et al., BMVC 2018 (RISE): area under the predicted class's probability while the pixels with
                         the largest weights are replaced by the mean colour (lower is better), or put into a blurred copy
                         (higher is better)
    pointing             Zhang et al., IJCV 2018: the largest weight lies on the object
    inside               share of the map's weight on the object
    overlap              intersection over union with the object at the best threshold of each image

The last three need masks. Differences are paired: the share of images on which the map does better, among those where
the two differ, with Wilson's interval and the sign test, corrected by Holm for the number of baselines; Wilcoxon's
signed-rank test beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from attnlab.explain.baselines import BASELINES
from attnlab.explain.faithfulness import ImageValues
from attnlab.runs.showcase import CEILING as CEILING
from attnlab.runs.showcase import MAP as MAP
from attnlab.stats.intervals import Interval, mean_interval, proportion_interval
from attnlab.stats.significance import LEVEL, holm, p_words, sign_test, signed_rank_test

CEILING_MEANING = "what the best map of the same grid would reach, made by looking at the outline of the object"


def title_of(name: str) -> str:
    """What `MAP`, `CEILING` or a baseline is called."""
    return {MAP: "This map", CEILING: "Best map of this grid"}.get(name) or BASELINES[name].title


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
