"""How many runs a difference takes: against Cohen's tables and against simulated runs."""

import numpy as np
import pytest
from scipy import stats

from attnlab.stats.power import needed_runs


@pytest.mark.parametrize(
    ("differences", "tests", "expected"),
    [
        ([0.0, 0.5, 1.0], 1, 10),  # d = 0.5 / 0.5 = 1: Cohen's tables give n = 10
        ([-0.5, 0.5, 1.5], 1, 34),  # d = 0.5 / 1 = 0.5: n = 34
        ([0.5, -0.5, -1.5], 1, 34),  # the sign does not matter
        ([0.2, 0.2, 0.2], 1, None),
        ([-0.1, 0.1, 0.0], 1, None),
    ],
)
def test_seeds_needed_follow_the_power_of_the_paired_t_test(differences: list[float], tests: int, expected: int | None) -> None:
    assert needed_runs(differences, tests) == expected


@pytest.mark.parametrize("effect", [2.0, 5.0, 12.9, 30.0])
@pytest.mark.parametrize("tests", [1, 8])
def test_seeds_needed_for_large_effects_are_those_of_a_simulation(effect: float, tests: int) -> None:
    needed = needed_runs([effect - 0.5**0.5, effect + 0.5**0.5], tests)  # their deviation is 1
    assert needed is not None
    draws = np.random.default_rng(0).normal(effect, 1, (100_000, 8))

    def power(runs: int) -> float:
        return float((stats.ttest_1samp(draws[:, :runs], 0, axis=1).pvalue < 0.05 / tests).mean())

    assert power(needed) > 0.79
    assert needed == 2 or power(needed - 1) < 0.81


def test_more_rows_need_more_seeds() -> None:
    assert needed_runs([0.0, 0.5, 1.0], tests=8) == 17  # the level is then 0.00625
