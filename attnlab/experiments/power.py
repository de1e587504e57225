"""What a table could have shown: the smallest difference that its seeds find with 80% power."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import stdev

from attnlab.experiments.groups import Group
from attnlab.stats.power import findable_difference, needed_for


@dataclass(frozen=True)
class Power:
    """What this many seeds could have shown, in points of accuracy.

    Attributes:
        seeds: pairs of runs behind a comparison. rows: that were tested.
        spread: standard deviation of the differences between the runs of a pair, pooled over the rows.
        findable: the difference that is found with 80% power after Holm's correction. alone: of one row named beforehand.
        needed: seeds for a difference of one point; `None` above 10,000.
    """

    seeds: int
    rows: int
    spread: float
    findable: float
    alone: float
    needed: int | None


def power_of(compared: Iterable[tuple[Group, Group]]) -> Power | None:
    """The power of the comparisons of a table; `None` before there are pairs of runs to judge by.

    Args:
        compared: the two groups of each comparison. Runs of equal seeds are pairs.
    """
    variances, pairs = [], []
    for one, other in compared:
        shared = sorted(one.accuracies.keys() & other.accuracies.keys())
        if len(shared) > 1:
            pairs.append(len(shared))
            variances.append(stdev(100 * (one.accuracies[seed] - other.accuracies[seed]) for seed in shared) ** 2)
    if not variances:
        return None
    seeds, spread = Counter(pairs).most_common(1)[0][0], math.sqrt(sum(variances) / len(variances))
    corrected, alone = findable_difference(spread, seeds, len(pairs)), findable_difference(spread, seeds)
    assert corrected is not None and alone is not None  # there are at least two pairs
    return Power(seeds, len(pairs), spread, corrected, alone, needed_for(1.0, spread, len(pairs)))


def power_words(found: Power, between: str, none_seen: str) -> str:
    """The power in sentences.

    Args:
        between: what is compared, as "a variant and the plain network".
        none_seen: the table's words where no difference was found.
    """
    rows = f"{found.rows} rows" if found.rows > 1 else "one row"
    seeds = f"{found.needed:,} seeds" if found.needed is not None else "more than 10,000 seeds"
    reach = (
        f"a difference between {between} is found with 80% power if it is above {found.findable:.1f} points, after Holm's "
        f"correction for {rows}"
        if found.findable < 100
        else f"no difference between {between} is found with 80% power after Holm's correction for {rows}, however large"
    )
    return (
        f"With {found.seeds} seeds, {reach}; for a single comparison planned in advance, {found.alone:.1f} points. The "
        f"difference varies by {found.spread:.1f} points (standard deviation) from seed to seed. To find a difference of one "
        f"point among {rows} it would take about {seeds}. So *{none_seen}* does not mean *no difference*."
    )
