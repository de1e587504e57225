"""How many runs would a difference take to be found?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, stdev

from scipy.stats import chi, norm, t

from attnlab.stats.intervals import ROUNDING
from attnlab.stats.significance import LEVEL

POWER = 0.8
"""A difference counts as findable when a test finds it with this probability."""
MOST_RUNS = 10_000
"""Where even this many runs would not do, no number is named."""


def needed_runs(differences: Sequence[float], tests: int = 1) -> int | None:
    """Pairs of runs after which a paired t-test finds a mean difference of the size observed, with power `POWER`.

    Args:
        differences: (n,) of the pairs so far, at least two.
        tests: of the table; the level is `LEVEL` divided by them, as Holm's method asks of the smallest p-value.

    Returns:
        `None` where the differences do not vary, or their mean is so small that even `MOST_RUNS` would not do.

    For an effect of one standard deviation Cohen's tables (Statistical Power Analysis, 1988) say 10:

    >>> needed_runs([0.0, 0.5, 1.0])
    10
    """
    return needed_for(abs(fmean(differences)), stdev(differences), tests)


def needed_for(difference: float, spread: float, tests: int = 1) -> int | None:
    """As `needed_runs`, for a mean difference above 0 and a standard deviation of the differences, in the same unit."""
    return None if spread < ROUNDING else _needed(difference / spread, LEVEL / tests)


@lru_cache(maxsize=1024)  # a page asks for the same ones each time it is drawn, and one takes 20 ms
def _needed(effect: float, level: float) -> int | None:
    if effect < ROUNDING or paired_t_power(effect, MOST_RUNS, level) < POWER:
        return None
    low, high = 2, 2  # the power grows with the number of runs
    while high < MOST_RUNS and paired_t_power(effect, high, level) < POWER:
        low, high = high + 1, min(2 * high, MOST_RUNS)
    while low < high:
        middle = (low + high) // 2
        if paired_t_power(effect, middle, level) < POWER:
            low = middle + 1
        else:
            high = middle
    return low


def findable_difference(spread: float, runs: int, tests: int = 1) -> float | None:
    """The smallest mean difference that a paired t-test finds with power `POWER`, in the unit of ``spread``.

    Args:
        spread: standard deviation of the differences of the pairs.
        runs: pairs. tests: as in `needed_runs`.

    Returns:
        `None` below two pairs, which no test can judge.

    The inverse of `needed_runs`: with 10 pairs an effect of about one standard deviation is found.

    >>> round(findable_difference(2.0, 10), 1)
    2.0
    """
    return None if runs < 2 else spread * _findable(runs, LEVEL / tests)


@lru_cache(maxsize=256)
def _findable(runs: int, level: float) -> float:
    """The effect, in standard deviations."""
    low, high = 0.0, 1.0
    while paired_t_power(high, runs, level) < POWER:
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if paired_t_power(middle, runs, level) < POWER else (low, middle)
    return high


def paired_t_power(effect: float, runs: int, level: float) -> float:
    """Probability in [0, 1] that a two-sided paired t-test finds an effect.

    Args:
        effect: mean difference over its standard deviation, above 0.
        runs: pairs, at least two.
        level: of the test, in (0, 1).

    For very large effects scipy's noncentral t distribution is not a number. There the power follows from its definition:
    with u distributed as chi of n - 1 degrees of freedom, P(T > t) = E[Phi(effect sqrt(n) - t u / sqrt(n - 1))]; the other
    tail is negligible for such effects.

    >>> paired_t_power(1.0, 9, 0.05) < 0.8 < paired_t_power(1.0, 10, 0.05)
    True
    """
    from statsmodels.stats.power import TTestPower  # half a second, which the first page need not wait for

    power = float(TTestPower().power(effect, runs, level))
    if not math.isnan(power):
        return power
    freedom, far = runs - 1, effect * math.sqrt(runs)
    if freedom > 200:
        return 1.0
    critical = t.isf(level / 2, freedom)
    return float(chi(freedom).expect(lambda u: norm.cdf(far - critical * u / math.sqrt(freedom))))
