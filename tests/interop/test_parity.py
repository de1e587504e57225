"""Our networks and blocks compute what their references compute: outputs, running statistics and gradients, in float64.

Names and shapes of weights do not show it: a ReLU too many has neither.
"""

import re
from dataclasses import replace

import pytest
from torch import nn

from attnlab.attention import list_attention
from attnlab.models import list_models
from tests.interop.parity import MODES, TOLERANCE, Case, Reference, Size, compare
from tests.interop.parity_cases import cases

CASES = list(cases())
RUNS = [
    pytest.param(
        case,
        size,
        mode,
        id=f"{case.ours}-{size[0]}x{size[1]}-{mode}",
        marks=[pytest.mark.slow] if "five blocks" in case.ours else [],  # VGG16 at its full width
    )
    for case in CASES
    for size in case.sizes
    for mode in MODES
]
WITHOUT_REFERENCE = {"gated_cnn"}  # a composition of this project: the report's network with the article's gates


@pytest.mark.parametrize(("case", "size", "mode"), RUNS)
def test_outputs_statistics_and_gradients_are_those_of_the_reference(case: Case, size: Size, mode: str) -> None:
    difference = compare(case, size, mode)
    assert difference.largest < TOLERANCE, difference


def test_every_variant_and_network_is_compared() -> None:
    compared = {word for case in CASES for word in re.findall(r"\w+", case.ours.replace("report", "small_cnn"))}
    assert {*list_attention(), *list_models()} - WITHOUT_REFERENCE <= compared


def test_a_changed_network_would_be_found() -> None:
    """The same weights with one ReLU more at the end."""
    case = next(case for case in CASES if case.ours == "squeeze_excite, reduction 8")

    def refer(ours: nn.Module) -> Reference:
        reference = case.refer(ours)
        run = reference.run
        reference.run = lambda x, train: run(x, train).relu()
        return reference

    assert compare(replace(case, refer=refer), (8, 8), "evaluation").outputs > 0.1
