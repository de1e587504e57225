"""Groups of runs, and whether one group beats another.

A group is one configuration run with many seeds: mean ± standard deviation (n - 1) of the test accuracy. Two groups on
the same data are compared by a t-test on the differences of runs with equal seeds (they share the split and the order
of the images) where at least three seeds, or all of the smaller group's, are shared; otherwise by Welch's t-test.
P-values of one table are corrected by Holm's method, and a group of one run is never called better or worse. The tests
themselves are in `attnlab.stats`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from statistics import fmean, stdev

from attnlab.config import RunConfig
from attnlab.runs.naming import PLAIN, attention_name
from attnlab.runs.records import RunRecord, RunState
from attnlab.stats.intervals import ROUNDING, bootstrap_interval
from attnlab.stats.power import needed_runs
from attnlab.stats.significance import (
    LEVEL,
    MeanDifference,
    Summary,
    holm,
    paired_t_test,
    welch_test,
    welch_test_of_summaries,
)

NO_SPREAD = "inconclusive: neither group varies, which leaves no spread to judge the difference by"


@dataclass(frozen=True)
class Group:
    """The runs of one configuration, whatever their seeds.

    Attributes:
        key: as `RunRecord.group`.
        config: of the first run; they differ in the seed only.
        runs: all of them, in order of their seeds.
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
        """(low, high) of the mean's 95% bootstrap interval, in [0, 1]; `None` below three runs, where it means nothing."""
        return bootstrap_interval(list(self.accuracies.values()))

    @property
    def parameters(self) -> int | None:
        return next((run.parameters for run in self.runs if run.parameters is not None), None)

    @property
    def seconds(self) -> float | None:
        """Mean training time of the finished runs, in seconds."""
        times = [run.seconds for run in self.finished if run.seconds is not None]
        return fmean(times) if times else None


class Verdict(StrEnum):
    """What can be said of a group against the baseline."""

    BASELINE = "baseline"
    BETTER = "better"
    WORSE = "worse"
    NOT_SIGNIFICANT = "not significant"
    CANNOT_TELL = "inconclusive"


@dataclass(frozen=True)
class GroupComparison:
    """One group against the baseline.

    Attributes:
        verdict: at the level of 5%, after Holm's correction.
        words: the verdict in a sentence.
        difference: mean accuracy minus the baseline's (of the paired runs, where runs are paired), in [-1, 1].
        interval: (low, high) of the difference's 95% confidence interval, not corrected.
        p: two-sided, not corrected. p_holm: corrected for all groups of the table.
        pairs: how many runs were paired by seed; 0 for Welch's test.
        needed: seeds it would take to find a difference of this size, see `attnlab.stats.power.needed_runs`; `None` where
            this is unknown.
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


def plain_group(groups: Iterable[Group]) -> Group | None:
    """The group to compare with: the network without attention, variants or its own; of several the one with most runs."""
    plain = [group for group in groups if group.n and attention_name(group.config) == PLAIN]
    return max(plain, key=lambda group: group.n, default=None)


def compare_to_baseline(baseline: Group, groups: Sequence[Group]) -> dict[str, GroupComparison]:
    """Every group against ``baseline``, by group key. Holm's correction runs over those that can be tested."""
    comparisons = compare_pairs([(baseline, group) for group in groups])
    return {group.key: comparison for group, comparison in zip(groups, comparisons, strict=True)}


def compare_summaries(baseline: Summary, groups: Sequence[Summary]) -> list[GroupComparison]:
    """Groups of which only mean and spread are known, each against ``baseline`` by Welch's t-test.

    Holm's correction runs over those that can be tested.
    """
    comparisons = [_compare_summaries(baseline, group) for group in groups]
    p_values = {index: comparison.p for index, comparison in enumerate(comparisons) if comparison.p is not None}
    for index, p_holm in zip(p_values, holm(list(p_values.values())), strict=True):
        comparisons[index] = _judged(comparisons[index], p_holm, None)
    return comparisons


def compare_pairs(pairs: Sequence[tuple[Group, Group]]) -> list[GroupComparison]:
    """Each (baseline, group), in order. Holm's correction runs over the pairs that can be tested."""
    comparisons = [_compare(baseline, group) for baseline, group in pairs]
    p_values = {index: comparison.p for index, comparison in enumerate(comparisons) if comparison.p is not None}
    for index, p_holm in zip(p_values, holm(list(p_values.values())), strict=True):
        differences = _differences(*pairs[index]) if comparisons[index].pairs else []
        needed = needed_runs(differences, len(p_values)) if differences else None
        comparisons[index] = _judged(comparisons[index], p_holm, needed)
    return comparisons


def _compare(baseline: Group, group: Group) -> GroupComparison:
    """The comparison before Holm's correction: with a p-value, or with the reason why there is none."""
    if group.key == baseline.key:
        return GroupComparison(Verdict.BASELINE, "the baseline")
    if group.config.dataset != baseline.config.dataset:
        return GroupComparison(Verdict.CANNOT_TELL, "inconclusive: other data or another split than the baseline's")
    difference = None if group.mean is None or baseline.mean is None else group.mean - baseline.mean
    if group.n < 2 or baseline.n < 2:
        owner = "the baseline has" if baseline.n < 2 else "it has"
        runs = {0: "no finished run", 1: "only one run (n=1)"}[min(baseline.n, group.n)]
        return GroupComparison(Verdict.CANNOT_TELL, f"inconclusive: {owner} {runs}; train more seeds", difference)
    differences = _differences(baseline, group)
    if len(differences) >= min(3, group.n, baseline.n):
        return _compare_paired(differences)
    return _compare_unpaired(list(group.accuracies.values()), list(baseline.accuracies.values()))


def _differences(baseline: Group, group: Group) -> list[float]:
    """Accuracy minus the baseline's, of the seeds that both have."""
    shared = sorted(set(group.accuracies) & set(baseline.accuracies))
    return [group.accuracies[seed] - baseline.accuracies[seed] for seed in shared]


def _compare_paired(differences: Sequence[float]) -> GroupComparison:
    pairs = len(differences)
    if stdev(differences) < ROUNDING:
        mean = fmean(differences)
        if abs(mean) < ROUNDING:
            return GroupComparison(
                Verdict.NOT_SIGNIFICANT, f"the same accuracy in all {pairs} pairs of seeds", 0.0, pairs=pairs
            )
        words = f"inconclusive: the difference is the same in all {pairs} pairs of seeds, which leaves no spread to judge it by"
        return GroupComparison(Verdict.CANNOT_TELL, words, mean, pairs=pairs)
    return _tested(paired_t_test(differences), pairs)


def _compare_unpaired(group: Sequence[float], baseline: Sequence[float]) -> GroupComparison:
    if stdev(group) < ROUNDING and stdev(baseline) < ROUNDING:
        return GroupComparison(Verdict.CANNOT_TELL, NO_SPREAD, fmean(group) - fmean(baseline))
    return _tested(welch_test(group, baseline))


def _compare_summaries(baseline: Summary, group: Summary) -> GroupComparison:
    difference = group.mean - baseline.mean
    if min(group.n, baseline.n) < 2:
        owner = "the baseline has" if baseline.n < 2 else "it has"
        return GroupComparison(Verdict.CANNOT_TELL, f"inconclusive: {owner} only one run (n=1)", difference)
    if max(group.std, baseline.std) < ROUNDING:
        return GroupComparison(Verdict.CANNOT_TELL, NO_SPREAD, difference)
    return _tested(welch_test_of_summaries(group, baseline))


def _tested(test: MeanDifference, pairs: int = 0) -> GroupComparison:
    """A comparison that waits for Holm's correction."""
    return GroupComparison(Verdict.NOT_SIGNIFICANT, "", test.value, test.interval, test.p, pairs=pairs)


def _judged(comparison: GroupComparison, p_holm: float, needed: int | None) -> GroupComparison:
    assert comparison.difference is not None
    verdict = Verdict.NOT_SIGNIFICANT
    if p_holm < LEVEL:
        verdict = Verdict.BETTER if comparison.difference > 0 else Verdict.WORSE
    test = f"paired by seed, {comparison.pairs} pairs" if comparison.pairs else "Welch's t-test"
    words = f"{verdict} ({round(100 * comparison.difference, 1) + 0.0:+.1f} points, p = {p_holm:.2g} after Holm; {test})"
    if verdict is Verdict.NOT_SIGNIFICANT and needed is not None:
        words += f"; about {needed} seeds would be needed"
    return replace(comparison, verdict=verdict, words=words, p_holm=p_holm, needed=needed)
