"""Operations are counted as attention needs them, not as the fast kernel pads them."""

import pytest

from attnlab.attention import list_attention
from attnlab.config import ModelConfig
from attnlab.explain.cost import count_flops, count_parameters, single_positions
from attnlab.models import ImageShape
from attnlab.training.presets import one_minute


@pytest.mark.parametrize("reduction", [1, 2, 8])
def test_self_attention_costs_its_projections_its_scores_and_its_sums(reduction: int) -> None:
    """By hand, a multiply-add as two: q and k (C to C / r), v (C to C), N x N scores of width C / r, N x N weights of C."""
    plain, config = (
        ModelConfig(),
        ModelConfig(
            attention="self_attention", placement="block_end", attention_options={"self_attention": {"reduction": reduction}}
        ),
    )
    shape = ImageShape(3, 32, 32)
    expected = 0
    for channels, side in ((64, 15), (128, 6)):
        positions, narrow = side * side, channels // reduction
        projections = channels * (2 * narrow + channels) * positions
        expected += 2 * (projections + positions**2 * (narrow + channels))
    assert count_flops(config, shape, 10) - count_flops(plain, shape, 10) == expected


@pytest.mark.parametrize("variant", list_attention())
def test_costs_of_every_variant_are_counted_without_computing(variant: str) -> None:
    """As the form does at every change."""
    network = (one_minute(variant).model, ImageShape(3, 32, 32), 10)
    assert count_parameters(*network) > 0
    assert count_flops(*network) > 0
    assert single_positions(*network) == []
