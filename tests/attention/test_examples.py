"""The examples in docstrings run as printed."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["attnlab.registry", "attnlab.attention._registry", "attnlab.attention._tap"])
def test_examples_in_docstrings(name: str) -> None:
    outcome = doctest.testmod(import_module(name))
    assert outcome.attempted > 0 and outcome.failed == 0
