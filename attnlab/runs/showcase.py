"""What was found of the maps of trained networks, chosen on some images and trainings and confirmed on others: file and words.

`attnlab.explain.honesty.confirm` measures it, ``python -m benchmarks.showcase`` writes it, and the pages say it. A map *finds*
the object only if, in every confirming training, it is better than each of `RIVALS` by each of `MEASURES`, at the level of
`LEVEL` after Holm's correction over everything that was tested. No torch.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, ConfigDict

LEVEL = 0.01
RIVALS = ("untrained", "centre_prior", "random")
"""The maps that need no attention, by their names in `attnlab.explain.baselines`."""
MEASURES = ("pointing", "overlap")
"""The highest weight lies on the object; overlap with it at the best threshold of each image."""
MAP, CEILING = "map", "ceiling"
"""Keys of the map itself, and of the best map of its grid (`attnlab.explain.ceiling`), beside those of the rivals."""
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Record(BaseModel):
    """A frozen part of the file. Unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Test(Record):
    """One comparison in one confirming training, paired over its images.

    Attributes:
        share: of the images on which the two differ, the share on which the map is better.
        differing: how many those are.
        p: sign test, after Holm's correction over all tests of the file.
    """

    __test__ = False  # no test of pytest

    seed: int
    measure: str
    rival: str
    share: float
    differing: int
    p: float

    @property
    def better(self) -> bool:
        return self.p < LEVEL and self.share > 0.5


class MapFigures(Record):
    """The means of one map.

    Attributes:
        title: as shown.
        score: pointing and overlap, averaged, over the validation images of the choosing trainings; the highest is chosen.
        means: measure -> `MAP`, rival or `CEILING` -> the mean in each confirming training, over its test images.
    """

    tap: str
    title: str
    score: float
    means: dict[str, dict[str, list[float]]]

    def mean(self, measure: str, name: str = MAP) -> float:
        """Over the confirming trainings."""
        return fmean(self.means[measure][name])


class Confirmed(Record):
    """One setting: its maps, of which one was chosen, and what was tested of it.

    Attributes:
        group: of the runs, see `attnlab.config.RunConfig.group`. name: of the attention.
        object: what the outlines show, as in a sentence: "digit".
        accuracies: of the confirming trainings on the test images.
        tap: the chosen map.
        maps: all maps with positions, in the order of the forward.
    """

    group: str
    name: str
    dataset: str
    backbone: str
    object: str
    accuracies: list[float]
    images: int
    tap: str
    maps: list[MapFigures]
    tests: list[Test]

    @property
    def chosen(self) -> MapFigures:
        return next(each for each in self.maps if each.tap == self.tap)

    @property
    def trainings(self) -> tuple[int, ...]:
        """The confirming seeds."""
        return tuple(dict.fromkeys(test.seed for test in self.tests))

    @property
    def agreeing(self) -> tuple[int, ...]:
        """The seeds in which the map is better than all rivals by all measures."""
        return tuple(seed for seed in self.trainings if all(test.better for test in self.tests if test.seed == seed))

    @property
    def finds(self) -> bool:
        """Whether all seeds agree."""
        return self.agreeing == self.trainings

    def sentence(self) -> str:
        """How often the map points at the object, beside maps that need no attention."""
        of = {name: f"{self.chosen.mean('pointing', name):.0%}" for name in (MAP, *RIVALS)}
        count = len(self.trainings)
        each = f"of each of {_number(count)} trainings" if count > 1 else "of one training"
        return (
            f"On {self.images} test images {each}, its highest weight lies on the {self.object} in {of[MAP]} (a random map: "
            f"{of['random']}, the middle of the image: {of['centre_prior']}, the untrained network: {of['untrained']})."
        )

    def verdict(self) -> str:
        """Whether that is more than maps need no attention for, in every training."""
        by = f"by this and by its overlap with the {self.object}"
        if self.finds:
            return f"It is better than all three in every training, {by}."
        if not self.agreeing:
            return f"In no training is it better than all three, {by}."
        some = f"{_number(len(self.agreeing))} of {_number(len(self.trainings))}"
        return f"Only in {some} trainings is it better than all three, {by}."


class NotMeasured(Record):
    """A setting of which nothing was measured.

    Attributes:
        missing: seeds that have no weights.
        outlined: whether it is known where the objects are in its images. Where seeds and outlines are there, it is the maps
            that have no positions.
    """

    group: str
    name: str
    dataset: str
    backbone: str
    missing: list[int]
    outlined: bool = True

    @property
    def silent(self) -> bool:
        """Whether its maps cannot say where."""
        return self.outlined and not self.missing

    def sentence(self) -> str:
        """Why."""
        if self.missing:
            return f"Not measured: seeds {', '.join(map(str, self.missing))} are missing."
        if not self.outlined:
            return "Not measured: its images have no outlines of objects."
        return "Its weights have no positions: one per channel, the same everywhere. They say nothing about where."


class Showcase(Record):
    """All that was measured together, and corrected together.

    Attributes:
        choosing, confirming: seeds.
        confirmed: those that find the object first, by how often they point at it.
    """

    choosing: list[int]
    confirming: list[int]
    confirmed: list[Confirmed]
    not_measured: list[NotMeasured]

    def of(self, group: str) -> Confirmed | None:
        """What was measured of the runs of a group."""
        return next((each for each in self.confirmed if each.group == group), None)


def read_showcase(path: Path) -> Showcase | None:
    """The file, or `None` where there is none, or one of another version."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Showcase:
    return Showcase.model_validate_json(path.read_bytes())


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def rounded(value: float) -> float:
    """Four digits, which are more than any figure here is sure of; p-values keep their size."""
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0
