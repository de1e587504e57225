"""All measured maps of one network side by side, from the first block to the last, between a random map and the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attnlab.explain.baselines import BASELINES
from attnlab.explain.honesty.comparison import CEILING, MAP, MEASURES, BaselineComparison, title_of
from attnlab.explain.honesty.measure import Honesty
from attnlab.stats.intervals import Interval

BESIDE = ("untrained", "random", CEILING, "centre_prior", "grad_cam")
"""What the maps are read against: the first three are different for each map, the others are the same for all."""
SHOWN = ("pointing", "overlap")
"""The measures that say where a map looks; networks on images without outlines are shown by the others."""


def by_depth(found: Sequence[Honesty], measure: str) -> dict[str, list[Interval | None]]:
    """`MAP` and each of `BESIDE` that was measured -> the mean of each map's images, in the order of the forward."""
    lines = {name: [each.summary(measure, name) for each in found] for name in (MAP, *BESIDE)}
    return {name: line for name, line in lines.items() if any(mean is not None for mean in line)}


def measures_shown(found: Sequence[Honesty]) -> list[str]:
    """The names of the measures by which maps are shown side by side."""
    measured = [name for name in MEASURES if any(name in each.values for each in found)]
    return [name for name in SHOWN if name in measured] or measured


def depth_table(found: Sequence[Honesty], titles: Mapping[str, str]) -> list[tuple[str, list[list[str]]]]:
    """For each measure shown its heading and a table: a row for each map, with what it is read against and beats.

    Args:
        titles: tap -> title.
    """
    tables = []
    for measure in measures_shown(found):
        lines = by_depth(found, measure)
        head = ["", *(title_of(name) for name in lines), "better than"]
        rows = [
            [titles[each.tap], *(in_words(measure, line[at]) for line in lines.values()), beaten(each.comparisons(measure))]
            for at, each in enumerate(found)
        ]
        tables.append((f"{MEASURES[measure].title}: {MEASURES[measure].meaning}", [head, *rows]))
    return tables


def in_words(measure: str, mean: Interval | None) -> str:
    """A mean as it stands in a table: the pointing game in percent, the others as they are."""
    if mean is None:
        return "-"
    return f"{mean.value:.0%}" if measure == "pointing" else f"{mean.value:.3f}"


def beaten(comparisons: Sequence[BaselineComparison]) -> str:
    """The baselines than which a map is better, after Holm's correction."""
    return ", ".join(BASELINES[each.baseline].phrase for each in comparisons if each.verdict) or "none of the baselines"
