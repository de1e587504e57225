"""Tests and their corrections, by hand."""

import pytest

from attnlab.stats.significance import Summary, holm, welch_test_of_summaries


def test_holm_multiplies_the_smallest_most_and_stays_monotone() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("one", "other"), [((0.6, 0.0, 9), (0.5, 0.0, 16)), ((0.6, 0.1, 1), (0.5, 0.1, 16))])
def test_summaries_without_a_spread_have_no_test(one: tuple[float, float, int], other: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="a spread to judge by"):
        welch_test_of_summaries(Summary(*one), Summary(*other))
