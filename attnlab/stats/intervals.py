"""Where a mean, a share or a difference lies, with a stated confidence.

Every method is one of the literature: the bias-corrected and accelerated bootstrap for means, Wilson's score interval for
shares, Welch's interval for two independent means, Agresti and Min's for two shares of the same images, and a percentile
bootstrap for the ROC AUC. An interval speaks of what was drawn: images, if the figures are one per image; runs, if they are
one per run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from attnlab.stats.ranks import roc_auc

ROUNDING = 1e-12
"""Accuracies, and their spreads, that differ by less than this differ by rounding only."""
_FEWEST_RUNS = 3
_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies.

    Attributes:
        value: the figure itself, in its own unit.
        low, high: ends of the interval, in the same unit.
        count: observations it rests on.
        confidence: in (0, 1).
    """

    value: float
    low: float
    high: float
    count: int
    confidence: float = 0.95


def mean_interval(values: ArrayLike, *, confidence: float = 0.95, resamples: int = 5000, seed: int = 0) -> Interval:
    """Mean with its bias-corrected and accelerated bootstrap interval (Efron, JASA 82, 1987).

    Args:
        values: (n,), NaNs are left out.
        resamples: bootstrap samples. seed: of their draw.

    Returns:
        In the unit of the values. A single value has an infinite interval; equal values have one of no width.

    Raises:
        ValueError: when no value is left.

    >>> mean_interval([0.25, 0.25, float("nan")])
    Interval(value=0.25, low=0.25, high=0.25, count=2, confidence=0.95)
    >>> mean_interval([0.25]).high
    inf
    """
    sample = np.asarray(values, dtype=np.float64)
    sample = sample[~np.isnan(sample)]
    count = len(sample)
    if not count:
        raise ValueError("no figure to take the mean of")
    mean = float(sample.mean())
    if count == 1:
        return Interval(mean, -np.inf, np.inf, count, confidence)
    if np.ptp(sample) == 0:  # nothing to resample
        return Interval(mean, mean, mean, count, confidence)
    low, high = _bootstrapped(sample.tobytes(), confidence, resamples, seed)
    return Interval(mean, low, high, count, confidence)


@lru_cache(maxsize=1024)  # a page asks for the same ones each time it is drawn, and one takes up to 100 ms
def _bootstrapped(sample: bytes, confidence: float, resamples: int, seed: int) -> tuple[float, float]:
    values = np.frombuffer(sample, np.float64)
    bounds = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=resamples, method="BCa", rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(bounds.low), float(bounds.high)


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """(low, high) of the 95% bootstrap interval of a mean over runs, as `mean_interval` with 9,999 samples.

    Returns:
        `None` below three values, and where they are equal: such an interval would claim more than is known.

    >>> bootstrap_interval([0.5, 0.6]) is None
    True
    """
    if len(values) < _FEWEST_RUNS or max(values) - min(values) < ROUNDING:
        return None
    interval = mean_interval(values, resamples=9999)
    return interval.low, interval.high


def proportion_interval(hits: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Share of hits in [0, 1] with Wilson's score interval (JASA 22, 1927).

    Args:
        hits: (n,), true or false.

    Raises:
        ValueError: when there is nothing to count.

    By hand, for 9 of 10 with z = 1.96: centre (0.9 + z²/20) / (1 + z²/10) = 0.789, half the width 0.193.

    >>> interval = proportion_interval([True] * 9 + [False])
    >>> round(interval.low, 3), interval.value, round(interval.high, 3)
    (0.596, 0.9, 0.982)
    """
    sample = np.asarray(hits, dtype=bool)
    if not len(sample):
        raise ValueError("no trial to take the share of")
    test = stats.binomtest(int(sample.sum()), len(sample))
    bounds = test.proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(sample.mean()), float(bounds.low), float(bounds.high), len(sample), confidence)


def difference_interval(one: ArrayLike, other: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Mean of ``one`` minus mean of ``other``, two independent samples, with Welch's interval (Biometrika 34, 1947).

    Args:
        one, other: (n,) and (m,), NaNs are left out.

    Raises:
        ValueError: when a side has fewer than two values.

    By hand: means 2 and 5, variances 1 and 4, so the standard error is sqrt(1/3 + 4/3) = 1.291 with 2.94 degrees of
    freedom, for which t = 3.22.

    >>> interval = difference_interval([1, 2, 3], [3, 5, 7])
    >>> interval.value, round(interval.low, 1), round(interval.high, 1)
    (-3.0, -7.2, 1.2)
    """
    first, second = (np.asarray(side, dtype=np.float64) for side in (one, other))
    first, second = first[~np.isnan(first)], second[~np.isnan(second)]
    if min(len(first), len(second)) < 2:
        raise ValueError("a difference of means needs two figures on each side")
    bounds = stats.ttest_ind(first, second, equal_var=False).confidence_interval(confidence)
    difference = float(first.mean() - second.mean())
    return Interval(difference, float(bounds.low), float(bounds.high), len(first) + len(second), confidence)


def paired_interval(gained: int, lost: int, n: int) -> Interval:
    """(gained - lost) / n, the difference of two shares of the same n images, with a 95% interval.

    Agresti and Min, "Simple improved confidence intervals for comparing matched proportions", Statistics in Medicine 24,
    2005: a Wald interval after half an image is added to each of the four cells, so that it has a width even where nothing
    changed.

    Args:
        gained, lost: images that are right only after, and only before.

    Raises:
        ValueError: when the counts are not those of n pairs.

    By hand, where nothing changed in 98 pairs: 0 ± 1.96 sqrt(1/100) / sqrt(100).

    >>> interval = paired_interval(0, 0, 98)
    >>> interval.value, round(interval.low, 4), round(interval.high, 4)
    (0.0, -0.0196, 0.0196)
    """
    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ValueError(f"gained {gained} and lost {lost} are not counts out of {n} pairs")
    pairs = n + 2
    middle = (gained - lost) / pairs
    reach = _Z * np.sqrt((gained + lost + 1) / pairs - middle**2) / np.sqrt(pairs)
    return Interval((gained - lost) / n, max(-1.0, float(middle - reach)), min(1.0, float(middle + reach)), n)


def auc_interval(
    labels: NDArray[np.int64], scores: NDArray[np.float32], *, confidence: float = 0.95, resamples: int = 2000
) -> tuple[float, float] | None:
    """(low, high) of the percentile bootstrap interval of the ROC AUC over images (Efron, Annals of Statistics 7, 1979).

    A resample without both classes has no AUC and is left out.

    Args:
        labels: (n,) of 0 and 1. scores: (n,), larger for class 1.

    Returns:
        `None` where there is no AUC, see `attnlab.stats.ranks.roc_auc`.

    >>> auc_interval(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9], np.float32))
    (1.0, 1.0)
    """
    if roc_auc(labels, scores) is None:
        return None
    values, place = np.unique(scores, return_inverse=True)

    def area(index: NDArray[np.int64]) -> float:
        """Share of the pairs of a resample, one image of each class, that are ranked rightly; a tie is half a pair.

        It is `roc_auc` of the resample, without checking the same scores again two thousand times.
        """
        positive, negative = (np.bincount(place[index[labels[index] == label]], minlength=len(values)) for label in (1, 0))
        pairs = positive.sum() * negative.sum()
        if not pairs:
            return np.nan
        return float(positive @ (np.cumsum(negative) - negative / 2) / pairs)

    rng = np.random.default_rng(0)
    areas = [area(rng.integers(len(labels), size=len(labels))) for _ in range(resamples)]
    low, high = np.nanquantile(areas, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
