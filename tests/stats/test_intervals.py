"""Intervals against their formulas, by hand."""

import math

import numpy as np
import pytest

from attnlab.stats.intervals import (
    auc_interval,
    bootstrap_interval,
    difference_interval,
    mean_interval,
    paired_interval,
    proportion_interval,
)
from attnlab.stats.ranks import roc_auc


def test_bootstrap_interval_agrees_with_the_normal_one_on_many_figures() -> None:
    figures = np.random.default_rng(1).normal(3, 2, 400)
    interval = mean_interval(figures)
    half = 1.96 * figures.std(ddof=1) / 20
    assert interval.value == pytest.approx(figures.mean())
    assert interval.low == pytest.approx(figures.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(figures.mean() + half, abs=0.03)
    assert mean_interval(figures) == interval


def test_one_figure_says_nothing_of_its_spread() -> None:
    interval = mean_interval([0.4])
    assert (interval.value, interval.low, interval.high, interval.count) == (0.4, -math.inf, math.inf, 1)
    assert (mean_interval([0.4, 0.4]).low, mean_interval([0.4, 0.4]).high) == (0.4, 0.4)
    with pytest.raises(ValueError, match="no figure"):
        mean_interval([math.nan])


def test_wilson_interval_by_the_formula() -> None:
    interval = proportion_interval([True] * 9 + [False])
    z, n, p = 1.959964, 10, 0.9
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert interval.low == pytest.approx(centre - half, abs=1e-5)
    assert interval.high == pytest.approx(centre + half, abs=1e-5)
    assert interval.value == 0.9
    with pytest.raises(ValueError, match="no trial"):
        proportion_interval([])


def test_the_bootstrap_interval_lies_around_the_mean_and_needs_three_values() -> None:
    values = [0.60, 0.62, 0.64, 0.66, 0.68, 0.70, 0.72, 0.74]  # standard error 0.0490 / sqrt(8) = 0.0173
    low, high = bootstrap_interval(values) or (0, 0)
    assert low == pytest.approx(0.67 - 1.96 * 0.0162, abs=0.004)  # the bootstrap divides by n: 0.0458 / sqrt(8)
    assert high == pytest.approx(0.67 + 1.96 * 0.0162, abs=0.004)
    assert bootstrap_interval([0.5, 0.6]) is None
    assert bootstrap_interval([0.5, 0.5, 0.5]) is None


def test_welch_interval_by_hand() -> None:
    """Means 2 and 5, variances 1 and 4, three figures each: standard error sqrt(1/3 + 4/3), 2.94 degrees of freedom."""
    interval = difference_interval(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0]))
    assert interval.value == pytest.approx(-3)
    assert (interval.high - interval.low) / 2 == pytest.approx(3.2178 * (5 / 3) ** 0.5, rel=2e-3)


@pytest.mark.parametrize(
    ("gained", "lost", "n", "low", "high"),
    [
        (0, 0, 98, -0.0196, 0.0196),  # 1.96 * sqrt(1 / 100) / 10
        (5, 15, 98, -0.18765, -0.01235),  # -0.1 -+ 1.96 * sqrt(0.21 - 0.01) / 10
    ],
)
def test_paired_interval_by_hand(gained: int, lost: int, n: int, low: float, high: float) -> None:
    interval = paired_interval(gained, lost, n)
    assert (interval.value, interval.count) == ((gained - lost) / n, n)
    assert (interval.low, interval.high) == (pytest.approx(low, abs=1e-5), pytest.approx(high, abs=1e-5))


def test_the_interval_of_the_auc_is_that_of_the_resampled_aucs() -> None:
    """With ties, and so few images that some resamples hold one class only."""
    rng = np.random.default_rng(4)
    labels, scores = np.array([0, 1, 0, 1, 0, 0, 0]), rng.random(7).round(1).astype(np.float32)
    draws = np.random.default_rng(0)
    resamples = [draws.integers(7, size=7) for _ in range(200)]
    areas = [area for index in resamples if (area := roc_auc(labels[index], scores[index])) is not None]
    assert 100 < len(areas) < 200
    assert auc_interval(labels, scores, confidence=0.8, resamples=200) == pytest.approx(np.quantile(areas, [0.1, 0.9]))
    assert auc_interval(np.zeros(3, np.int64), np.array([0.1, 0.5, 0.9], np.float32)) is None
