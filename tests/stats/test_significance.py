"""Tests and their corrections, by hand."""

import pytest

from attnlab.stats.significance import holm


def test_holm_multiplies_the_smallest_most_and_stays_monotone() -> None:
    assert holm([0.03, 0.01, 0.04]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
