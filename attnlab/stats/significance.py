"""Is a difference more than chance? All tests are two-sided; p-values of one table are corrected together by `holm`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

LEVEL = 0.05
"""A difference whose corrected p is below this is called significant."""


@dataclass(frozen=True)
class Summary:
    """What a published table says of a group: mean and sample standard deviation (n - 1) of n accuracies in [0, 1]."""

    mean: float
    std: float
    n: int


@dataclass(frozen=True)
class MeanDifference:
    """A difference of means, tested.

    Attributes:
        value: the difference, in the unit of the figures.
        interval: (low, high) of its 95% confidence interval.
        p: two-sided, not corrected for other tests.
    """

    value: float
    interval: tuple[float, float]
    p: float


def paired_t_test(differences: Sequence[float]) -> MeanDifference:
    """Student's paired t-test (Biometrika 6, 1908): is the mean of the differences zero?

    Args:
        differences: (n,) of n pairs, at least two that are not equal.

    By hand: mean 2, deviation 1, so t = 2 sqrt(3) = 3.46 with 2 degrees of freedom; t(0.975, 2) = 4.303.

    >>> test = paired_t_test([1, 2, 3])
    >>> test.value, round(test.interval[0], 2), round(test.interval[1], 2), round(test.p, 4)
    (2.0, -0.48, 4.48, 0.0742)
    """
    test = stats.ttest_1samp(differences, 0.0)
    bounds = test.confidence_interval(0.95)
    return MeanDifference(fmean(differences), (float(bounds.low), float(bounds.high)), float(test.pvalue))


def welch_test(one: Sequence[float], other: Sequence[float]) -> MeanDifference:
    """Welch's t-test (Biometrika 34, 1947): have two independent samples the same mean? Their variances may differ.

    Args:
        one, other: (n,) and (m,), at least two each, not both constant. The difference is ``one`` minus ``other``.

    >>> test = welch_test([1, 2, 3], [3, 5, 7])
    >>> test.value, round(test.interval[0], 1), round(test.interval[1], 1)
    (-3.0, -7.2, 1.2)
    """
    test = stats.ttest_ind(one, other, equal_var=False)
    bounds = test.confidence_interval(0.95)
    return MeanDifference(fmean(one) - fmean(other), (float(bounds.low), float(bounds.high)), float(test.pvalue))


def welch_test_of_summaries(one: Summary, other: Summary) -> MeanDifference:
    """`welch_test` of two groups of which only mean, deviation and size are known; ``one`` minus ``other``.

    By hand: squared errors 0.0001 each, so t = 0.1 / sqrt(0.0002) = 7.07, and t(0.975, 20.87) = 2.08.

    >>> test = welch_test_of_summaries(Summary(0.6, 0.03, 9), Summary(0.5, 0.04, 16))
    >>> round(test.value, 2), round(test.interval[0], 3), round(test.interval[1], 3), test.p < 1e-5
    (0.1, 0.071, 0.129, True)

    Raises:
        ValueError: for groups of fewer than two, or where neither has any deviation: there is no spread to judge by.
    """
    if min(one.n, other.n) < 2 or max(one.std, other.std) <= 0:
        raise ValueError("Welch's test needs two runs in each group, and a spread to judge by in at least one of them")
    test = stats.ttest_ind_from_stats(one.mean, one.std, one.n, other.mean, other.std, other.n, equal_var=False)
    variances = [group.std**2 / group.n for group in (one, other)]
    freedom = sum(variances) ** 2 / sum(
        variance**2 / (group.n - 1) for variance, group in zip(variances, (one, other), strict=True)
    )
    half = float(stats.t.ppf(1 - LEVEL / 2, freedom)) * sum(variances) ** 0.5
    difference = one.mean - other.mean
    return MeanDifference(difference, (difference - half, difference + half), float(test.pvalue))


def sign_test(positive: int, count: int) -> float:
    """P-value of the sign test (Arbuthnott, 1710): are positive and negative differences equally likely?

    Args:
        positive: differences above zero. count: differences that are not zero; without any, p is 1.

    By hand: as extreme as 9 of 10 are 0, 1, 9 and 10, so p = 2 (1 + 10) / 2^10.

    >>> round(sign_test(9, 10), 5)
    0.02148
    """
    return float(stats.binomtest(positive, count).pvalue) if count else 1.0


def mcnemar_test(gained: int, lost: int) -> float:
    """P-value of McNemar's exact test (Psychometrika 12, 1947): did the share of right answers change?

    It is the sign test over the images whose answer changed; without any, p is 1.

    Args:
        gained, lost: images that are right only after, and only before.

    >>> mcnemar_test(1, 1)
    1.0
    """
    return sign_test(gained, gained + lost)


def signed_rank_test(differences: ArrayLike) -> float:
    """P-value of Wilcoxon's signed-rank test (Biometrics Bulletin 1, 1945): do differences lie symmetrically around zero?

    Args:
        differences: (n,), none of them zero.

    By hand: of the 2^3 ways to sign three ranks, two are as extreme as all alike.

    >>> signed_rank_test([1, 2, 3])
    0.25
    """
    return float(stats.wilcoxon(differences).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (Scandinavian Journal of Statistics 6, 1979), in the order of the input.

    The k-th smallest of m p-values is multiplied by m - k + 1, made monotone, and at most 1.

    >>> holm([0.03, 0.01, 0.04])
    [0.06, 0.03, 0.06]
    """
    smallest_first = np.argsort(p_values, kind="stable")
    steps = np.asarray(p_values, np.float64)[smallest_first] * np.arange(len(p_values), 0, -1)
    corrected = np.empty(len(p_values))
    corrected[smallest_first] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(p) for p in corrected]


def p_words(p: float) -> str:
    """A p-value as it stands in a sentence.

    >>> [p_words(p) for p in (0.0004, 0.0123, 0.456)]
    ['p < 0.001', 'p = 0.012', 'p = 0.46']
    """
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"
