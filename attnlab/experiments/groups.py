"""Groups of runs, and whether one group beats another.

A group is one configuration run with many seeds: mean ± standard deviation (n - 1) of the test accuracy. Two groups on
the same data are compared by a t-test on the differences of runs with equal seeds (they share the split and the order
of the images) where at least three seeds, or all of the smaller group's, are shared; otherwise by Welch's t-test.
P-values of one table are corrected by Holm's step-down method (Holm, 1979), and a group of one run is never called
better or worse. Intervals of a mean are bias-corrected and accelerated bootstrap intervals (Efron, 1987); how many runs
a difference of the size found would take is told by the power of the paired t-test.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from statistics import fmean, stdev

import numpy as np
from scipy import stats

from attnlab.config import RunConfig
from attnlab.runs.records import RunRecord, RunState
from attnlab.stats.significance import holm

LEVEL = 0.05
POWER = 0.8
MOST_RUNS = 10_000
"""More runs than this are not asked for."""

_TINY = 1e-12


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, whatever their seeds.

    Attributes:
        key: as `RunRecord.group`.
        config: of the first run; all agree but for the seed.
        runs: every run, by seed.
    """

    key: str
    config: RunConfig
    runs: tuple[RunRecord, ...]

    @property
    def finished(self) -> tuple[RunRecord, ...]:
        """The runs that have a test result."""
        return tuple(run for run in self.runs if run.state is RunState.FINISHED and run.test_accuracy is not None)

    @property
    def accuracies(self) -> dict[int, float]:
        """Seed -> test accuracy in [0, 1], of the finished runs."""
        return {run.config.seed: run.test_accuracy for run in self.finished if run.test_accuracy is not None}

    @property
    def n(self) -> int:
        return len(self.accuracies)

    @property
    def mean(self) -> float | None:
        return fmean(self.accuracies.values()) if self.n else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation; `None` below two runs."""
        return stdev(self.accuracies.values()) if self.n > 1 else None

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of the mean; `None` below three runs, where it means nothing."""
        return bootstrap_interval(list(self.accuracies.values()))

    @property
    def parameters(self) -> int | None:
        return next((run.parameters for run in self.runs if run.parameters is not None), None)

    @property
    def seconds(self) -> float | None:
        """Mean training time of the finished runs."""
        times = [run.seconds for run in self.finished if run.seconds is not None]
        return fmean(times) if times else None


class Verdict(StrEnum):
    """What may be said of a group against the baseline."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SIGNIFICANT = "not significant"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Summary:
    """What a published table tells of a group: mean and sample standard deviation of n accuracies in [0, 1]."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class Comparison:
    """One group against the baseline.

    Attributes:
        verdict: at the 5 % level, after Holm's correction.
        difference: mean accuracy minus the baseline's (of the paired runs, where paired).
        interval: 95 % confidence interval of the difference, uncorrected.
        p: two-sided, uncorrected. p_holm: corrected for all groups of the table.
        pairs: how many runs were paired by seed; 0 for Welch's test.
        needed: seeds after which a difference of this size would be found four times out of five, at the level that
            Holm's method asks of the smallest p-value; `None` where it cannot be told.
        words: the verdict in a sentence.
    """

    verdict: Verdict
    words: str
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    pairs: int = 0
    needed: int | None = None


def group_runs(records: Iterable[RunRecord]) -> list[Group]:
    """Records by group, in the order in which the groups first appear; within a group by seed."""
    gathered: dict[str, list[RunRecord]] = {}
    for record in records:
        gathered.setdefault(record.group, []).append(record)
    return [Group(key, runs[0].config, tuple(sorted(runs, key=lambda run: run.config.seed))) for key, runs in gathered.items()]


def compare_to_baseline(baseline: Group, groups: Sequence[Group]) -> dict[str, Comparison]:
    """Every group against ``baseline``, by group key. Holm's correction runs over those that can be tested."""
    return {
        group.key: found for group, found in zip(groups, compare_pairs([(baseline, group) for group in groups]), strict=True)
    }


def compare_summaries(baseline: Summary, groups: Sequence[Summary]) -> list[Comparison]:
    """Groups of which only mean and spread are known, each against ``baseline`` by Welch's t-test, corrected after Holm."""
    found = []
    for group in groups:
        test = stats.ttest_ind_from_stats(
            group.mean, group.std, group.n, baseline.mean, baseline.std, baseline.n, equal_var=False
        )
        variances = [each.std**2 / each.n for each in (group, baseline)]
        freedom = sum(variances) ** 2 / sum(
            variance**2 / (each.n - 1) for variance, each in zip(variances, (group, baseline), strict=True)
        )
        half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * sum(variances) ** 0.5
        difference = group.mean - baseline.mean
        found.append(
            Comparison(Verdict.NOT_SIGNIFICANT, "", difference, (difference - half, difference + half), float(test.pvalue))
        )
    corrected = holm([comparison.p for comparison in found if comparison.p is not None])
    return [_judged(comparison, p_holm, None) for comparison, p_holm in zip(found, corrected, strict=True)]


def compare_pairs(pairs: Sequence[tuple[Group, Group]]) -> list[Comparison]:
    """Each (baseline, group), in order. Holm's correction runs over the pairs that can be tested."""
    found = [_compare(baseline, group) for baseline, group in pairs]
    tested = [place for place, comparison in enumerate(found) if comparison.p is not None]
    corrected = holm([p for place in tested if (p := found[place].p) is not None])
    for place, p_holm in zip(tested, corrected, strict=True):
        differences = _differences(*pairs[place]) if found[place].pairs else []
        needed = needed_runs(differences, len(tested)) if differences else None
        found[place] = _judged(found[place], p_holm, needed)
    return found


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of at least three values, not all the same; `None` otherwise. The same at every call."""
    if len(values) < 3 or max(values) - min(values) < _TINY:
        return None
    found = stats.bootstrap((list(values),), np.mean, confidence_level=0.95, rng=np.random.default_rng(0)).confidence_interval
    return float(found.low), float(found.high)


def needed_runs(differences: Sequence[float], tests: int = 1) -> int | None:
    """Seeds a paired t-test needs to find a mean difference of the size seen, with power `POWER`.

    Args:
        differences: of the pairs so far, at least two.
        tests: rows of the table; the level is `LEVEL` divided by them.

    Returns:
        `None` where the differences do not vary, or their mean is so small that even `MOST_RUNS` would not do.
    """
    spread = stdev(differences)
    if spread < _TINY:
        return None
    effect, level = abs(fmean(differences)) / spread, LEVEL / tests
    if effect < _TINY or _power(effect, MOST_RUNS, level) < POWER:
        return None
    low, high = 2, MOST_RUNS  # the power grows with the number of runs
    while low < high:
        middle = (low + high) // 2
        if _power(effect, middle, level) < POWER:
            low = middle + 1
        else:
            high = middle
    return low


def _power(effect: float, runs: int, level: float) -> float:
    """Of a paired t-test. Far out scipy's noncentral t is not a number; there it is the mean over the spread's own spread.

    With u distributed as chi of n - 1 degrees of freedom, P(T > t) = E[Phi(effect sqrt(n) - t u / sqrt(n - 1))]; the other
    tail is nothing for such effects.
    """
    from scipy.stats import chi, norm, t
    from statsmodels.stats.power import TTestPower

    power = float(TTestPower().power(effect, runs, level))
    if not math.isnan(power):
        return power
    freedom, far = runs - 1, effect * math.sqrt(runs)
    if freedom > 200:
        return 1.0
    critical = t.isf(level / 2, freedom)
    return float(chi(freedom).expect(lambda u: norm.cdf(far - critical * u / math.sqrt(freedom))))


def _compare(baseline: Group, group: Group) -> Comparison:
    if group.key == baseline.key:
        return Comparison(Verdict.BASELINE, "the baseline")
    if group.config.dataset != baseline.config.dataset:
        return Comparison(Verdict.CANNOT_TELL, "cannot tell: other data or another split than the baseline")
    difference = None if group.mean is None or baseline.mean is None else group.mean - baseline.mean
    if group.n < 2 or baseline.n < 2:
        short = "the baseline has" if baseline.n < 2 else "it has"
        runs = {0: "no finished run", 1: "one run (n=1)"}[min(baseline.n, group.n)]
        return Comparison(Verdict.CANNOT_TELL, f"cannot tell: {short} {runs}; train more seeds", difference)
    paired = _differences(baseline, group)
    if len(paired) >= min(3, group.n, baseline.n):
        return _paired(paired)
    return _welch(list(group.accuracies.values()), list(baseline.accuracies.values()))


def _differences(baseline: Group, group: Group) -> list[float]:
    """Accuracy minus the baseline's, of the seeds that both have."""
    shared = sorted(set(group.accuracies) & set(baseline.accuracies))
    return [group.accuracies[seed] - baseline.accuracies[seed] for seed in shared]


def _paired(differences: Sequence[float]) -> Comparison:
    mean, pairs = fmean(differences), len(differences)
    if stdev(differences) < _TINY:
        if abs(mean) < _TINY:
            return Comparison(Verdict.NOT_SIGNIFICANT, f"the same accuracy in all {pairs} pairs of seeds", 0.0, pairs=pairs)
        words = f"cannot tell: the same difference in all {pairs} pairs of seeds leaves no spread to judge it by"
        return Comparison(Verdict.CANNOT_TELL, words, mean, pairs=pairs)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(0.95)
    return Comparison(
        Verdict.NOT_SIGNIFICANT, "", mean, (float(interval.low), float(interval.high)), float(test.pvalue), pairs=pairs
    )


def _welch(group: Sequence[float], baseline: Sequence[float]) -> Comparison:
    mean = fmean(group) - fmean(baseline)
    if stdev(group) < _TINY and stdev(baseline) < _TINY:
        return Comparison(Verdict.CANNOT_TELL, "cannot tell: neither group varies, which leaves no spread to judge by", mean)
    test = stats.ttest_ind(group, baseline, equal_var=False)
    interval = test.confidence_interval(0.95)
    return Comparison(Verdict.NOT_SIGNIFICANT, "", mean, (float(interval.low), float(interval.high)), float(test.pvalue))


def _judged(comparison: Comparison, p_holm: float, needed: int | None) -> Comparison:
    assert comparison.difference is not None
    verdict = Verdict.NOT_SIGNIFICANT
    if p_holm < LEVEL:
        verdict = Verdict.BETTER if comparison.difference > 0 else Verdict.WORSE
    how = f"paired by seed, {comparison.pairs} pairs" if comparison.pairs else "Welch's t-test"
    words = f"{verdict} ({round(100 * comparison.difference, 1) + 0.0:+.1f} points, p = {p_holm:.2g} after Holm; {how})"
    if verdict is Verdict.NOT_SIGNIFICANT and needed is not None:
        words += f"; about {needed} seeds would be needed"
    return replace(comparison, verdict=verdict, words=words, p_holm=p_holm, needed=needed)
