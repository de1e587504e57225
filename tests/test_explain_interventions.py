"""Edits of attention weights against values worked out by hand, and on a real block."""

import math

import pytest
import torch

from attnlab.attention import AttentionMap, MapKind, MapScale, build_attention, edit_attention, record_attention
from attnlab.explain.interventions import at, inverted, off, paint, shuffled, temperature, uniform


def seen(values: object, kind: MapKind, scale: MapScale = MapScale.GATE, grid: tuple[int, int] | None = None) -> AttentionMap:
    tensor = torch.tensor(values, dtype=torch.float32)
    return AttentionMap("tap", kind, scale, tensor, grid or (tensor.shape[-2], tensor.shape[-1]))


SPATIAL = seen([[[[0.2, 0.4], [0.6, 0.8]]]], MapKind.SPATIAL)
CHANNEL = seen([[[[0.1]], [[0.5]], [[0.9]]]], MapKind.CHANNEL)
SOFTMAX = seen([[[[0.1, 0.2], [0.3, 0.4]]]], MapKind.SPATIAL, MapScale.SOFTMAX)
PAIRWISE = seen([[[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]], MapKind.PAIRWISE, MapScale.SOFTMAX, (1, 3))
LOGIT_02 = math.log(0.2 / 0.8)


@pytest.mark.parametrize(
    ("edit", "given", "expected"),
    [
        (off, SPATIAL, [1, 1, 1, 1]),
        (off, SOFTMAX, [0.25, 0.25, 0.25, 0.25]),
        (uniform, SPATIAL, [0.5, 0.5, 0.5, 0.5]),
        (uniform, CHANNEL, [0.5, 0.5, 0.5]),
        (uniform, PAIRWISE, [1 / 3] * 6),
        (inverted, CHANNEL, [0.9, 0.5, 0.1]),
        (inverted, SOFTMAX, [0.4, 0.3, 0.2, 0.1]),
        (inverted, PAIRWISE, [0.7 / 1.4, 0.6 / 1.4, 0.1 / 1.4, 0.25 / 1.25, 0.5 / 1.25, 0.5 / 1.25]),
        (temperature(0.5), SOFTMAX, [0.01 / 0.3, 0.04 / 0.3, 0.09 / 0.3, 0.16 / 0.3]),
        (temperature(1), SOFTMAX, [0.1, 0.2, 0.3, 0.4]),
        (temperature(2), CHANNEL, [1 / (1 + 3), 0.5, 3 / (1 + 3)]),  # logit(0.9) = log 9, half of it log 3
        (temperature(0.5), SPATIAL, [1 / 17, 4 / 13, 9 / 13, 16 / 17]),  # odds squared: 1/16, 4/9, 9/4, 16
        (paint(torch.tensor([[True, False], [False, False]]), 1.0), SPATIAL, [1, 0.4, 0.6, 0.8]),
        (paint(torch.tensor([[True, False], [False, False]]), 0.0), SOFTMAX, [0, 2 / 9, 3 / 9, 4 / 9]),
        # twice the uniform weight is 0.5; the row then sums to 1.4
        (paint(torch.tensor([[True, False], [False, False]]), 2.0), SOFTMAX, [0.5 / 1.4, 0.2 / 1.4, 0.3 / 1.4, 0.4 / 1.4]),
        (paint(torch.tensor([[False, False, True]]), 0.0), PAIRWISE, [1 / 3, 2 / 3, 0, 2 / 3, 1 / 3, 0]),
    ],
)
def test_edits_by_hand(edit: object, given: AttentionMap, expected: list[float]) -> None:
    edited = edit(given)  # type: ignore[operator]
    assert edited.shape == given.values.shape
    torch.testing.assert_close(edited.flatten(), torch.tensor(expected, dtype=torch.float32))


def test_paint_leaves_channels_and_scales_its_region_to_the_map() -> None:
    left = torch.zeros(8, 8, dtype=torch.bool)
    left[:, :4] = True
    assert paint(left, 1.0)(CHANNEL) is None
    edited = paint(left, 1.0)(SPATIAL)
    assert edited is not None
    torch.testing.assert_close(edited.flatten(), torch.tensor([1, 0.4, 1, 0.8]))


def test_painting_everything_with_zero_makes_a_softmax_uniform() -> None:
    edited = paint(torch.ones(2, 2, dtype=torch.bool), 0.0)(SOFTMAX)
    assert edited is not None
    torch.testing.assert_close(edited.flatten(), torch.full((4,), 0.25))


@pytest.mark.parametrize("kind", list(MapKind))
def test_shuffled_keeps_the_weights_of_each_row_and_repeats_with_its_seed(kind: MapKind) -> None:
    shape = {
        MapKind.CHANNEL: (2, 30, 1, 1),
        MapKind.SPATIAL: (2, 1, 5, 6),
        MapKind.ELEMENT: (2, 3, 5, 6),
        MapKind.PAIRWISE: (2, 4, 30),
    }[kind]
    given = AttentionMap("tap", kind, MapScale.GATE, torch.rand(shape), (5, 6))
    edited = shuffled(3)(given)
    assert edited is not None
    rows = (len(edited), -1, 30)
    assert torch.equal(edited.reshape(rows).sort().values, given.values.reshape(rows).sort().values)
    assert not torch.equal(edited, given.values)
    again = shuffled(3)(given)
    assert again is not None and torch.equal(again, edited)
    other = shuffled(4)(given)
    assert other is not None and not torch.equal(other, edited)


def test_shuffled_moves_whole_positions_of_an_element_map() -> None:
    """Channels stay together: what is side by side in one channel before lies at the same place in the others after."""
    values = torch.rand(1, 1, 4, 4).repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1)
    edited = shuffled(0)(AttentionMap("tap", MapKind.ELEMENT, MapScale.GATE, values, (4, 4)))
    assert edited is not None
    torch.testing.assert_close(edited[:, 1], edited[:, 0] * 0.5)
    torch.testing.assert_close(edited[:, 2], edited[:, 0] * 0.25)


def test_wrong_settings_are_refused() -> None:
    region = torch.ones(2, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="positive"):
        temperature(0)
    with pytest.raises(ValueError, match="at least 0"):
        paint(region, -0.1)
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        paint(region, 1.5)(SPATIAL)


def test_edits_act_in_a_network_and_only_where_told() -> None:
    torch.manual_seed(0)
    block = build_attention("eca+cbam_spatial", 4, (6, 6))
    block.eval()
    x = torch.randn(2, 4, 6, 6)
    with record_attention(block) as maps:
        block(x)
    channel, spatial = maps
    with edit_attention(block, off):
        torch.testing.assert_close(block(x), x)
    with edit_attention(block, at([spatial.name], off)):
        torch.testing.assert_close(block(x), x * channel.values)
