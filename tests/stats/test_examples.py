"""The examples in the docstrings of attnlab.stats, which were computed by hand, hold."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["intervals", "ranks", "significance", "power"])
def test_the_examples_hold(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"attnlab.stats.{name}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
