"""How much a class has learned: the normalised gain between two tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from attnlab.stats.intervals import Interval

FEWEST = 5
"""Below so many answers on a side a resampled interval would claim more than is known."""


def normalised_gain(
    before: ArrayLike, after: ArrayLike, *, paired: bool, confidence: float = 0.95, resamples: int = 5000, seed: int = 0
) -> Interval | None:
    """What was gained of what could be gained, (after - before) / (1 - before), of the means of a class.

    Hake, "Interactive-engagement versus traditional methods", American Journal of Physics 66, 64 (1998). The interval is a
    percentile bootstrap: over students where each has both values, else over the two sides apart. Resamples in which nothing
    could be gained are left out.

    Args:
        before, after: (n,) and (m,), shares of right answers in [0, 1].
        paired: whether the i-th of both are the same student.

    Returns:
        1 is all that could be gained, 0 nothing, below 0 a loss. `None` where a side is empty, or before all were right. An
        interval without ends (NaN) where a side has fewer than `FEWEST` values.

    Raises:
        ValueError: for paired values of different number.

    >>> normalised_gain([0, 0, 1, 1], [1, 1, 1, 0], paired=True).value
    0.5
    """
    one, other = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if paired and len(one) != len(other):
        raise ValueError(f"{len(one)} values before and {len(other)} after are no pairs")
    if not len(one) or not len(other) or one.mean() >= 1:
        return None
    value = float((other.mean() - one.mean()) / (1 - one.mean()))
    fewest = min(len(one), len(other))
    if fewest < FEWEST:
        return Interval(value, float("nan"), float("nan"), fewest, confidence)
    random = np.random.default_rng(seed)
    rows = random.integers(len(one), size=(resamples, len(one)))
    others = rows if paired else random.integers(len(other), size=(resamples, len(other)))
    start, end = one[rows].mean(axis=1), other[others].mean(axis=1)
    possible = start < 1
    gains = (end[possible] - start[possible]) / (1 - start[possible])
    low, high = np.quantile(gains, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), fewest, confidence)
