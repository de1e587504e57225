"""Operations on attention against values worked out by hand: on a map, in small networks, and over a set of images."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import AttentionMap, MapKind, MapScale, build_attention, edit_attention, record_attention, weight_rows
from attnlab.attention._gates import WeightedReadout
from attnlab.attention._tap import Edit
from attnlab.explain.surgery.effect import accuracy_change, operate, standard_interventions
from attnlab.explain.surgery.operations import (
    OPERATIONS,
    Intervention,
    applicable,
    at,
    blend,
    inverted,
    off,
    operated,
    paint,
    shuffled,
    temperature,
    uniform,
)
from attnlab.geometry import Axis, Cells, picture_cells
from attnlab.maps import neutral_weight

LEAVE = math.nan


def seen(values: object, kind: MapKind, scale: MapScale = MapScale.GATE, grid: tuple[int, int] | None = None) -> AttentionMap:
    tensor = torch.tensor(values, dtype=torch.float32)
    grid = grid or (tensor.shape[-2], tensor.shape[-1])
    return AttentionMap("tap", kind, scale, tensor, grid, neutral=neutral_weight(kind, scale))


def corner(weight: float) -> Edit:
    """Paints the upper left of a 2 x 2 map."""
    return paint(torch.tensor([[weight, LEAVE], [LEAVE, LEAVE]]))


SPATIAL = seen([[[[0.2, 0.4], [0.6, 0.8]]]], MapKind.SPATIAL)
CHANNEL = seen([[[[0.1]], [[0.5]], [[0.9]]]], MapKind.CHANNEL)
FACTOR = seen([[[[-1.0, 0.5], [1.0, 2.0]]]], MapKind.SPATIAL, MapScale.FACTOR)
SOFTMAX = seen([[[[0.1, 0.2], [0.3, 0.4]]]], MapKind.SPATIAL, MapScale.SOFTMAX)
PAIRWISE = seen([[[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]], MapKind.PAIRWISE, MapScale.SOFTMAX, (1, 3))


@pytest.mark.parametrize(
    ("edit", "given", "expected"),
    [
        (off, SPATIAL, [1, 1, 1, 1]),
        (off, SOFTMAX, [0.25, 0.25, 0.25, 0.25]),
        (off, PAIRWISE, [0] * 6),
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
        (corner(1.0), SPATIAL, [1, 0.4, 0.6, 0.8]),
        (corner(0.0), SOFTMAX, [0, 2 / 9, 3 / 9, 4 / 9]),
        (corner(2.0), SOFTMAX, [0.5 / 1.4, 0.2 / 1.4, 0.3 / 1.4, 0.4 / 1.4]),  # twice uniform is 0.5; the row sums to 1.4
        (paint(torch.tensor([[LEAVE, LEAVE, 0.0]])), PAIRWISE, [1 / 3, 2 / 3, 0, 2 / 3, 1 / 3, 0]),
        (paint(torch.tensor([LEAVE, 0.0, 1.0])), CHANNEL, [0.1, 0, 1]),
        (off, FACTOR, [1, 1, 1, 1]),
        (off, replace(SPATIAL, neutral=0.0), [0, 0, 0, 0]),  # of x (1 + a)
        (uniform, FACTOR, [0.625] * 4),
        (inverted, FACTOR, [3, 1.5, 1, 0]),  # mirrored at 1
        (temperature(0.5), FACTOR, [-3, 0, 1, 3]),  # twice as far from 1
        (corner(2.0), FACTOR, [2, 0.5, 1, 2]),
        (blend(0.25, off), SPATIAL, [0.4, 0.55, 0.7, 0.85]),
        (blend(0.5, uniform), SOFTMAX, [0.175, 0.225, 0.275, 0.325]),
    ],
)
def test_edits_by_hand(edit: Edit, given: AttentionMap, expected: list[float]) -> None:
    edited = edit(given)
    assert edited is not None and edited.shape == given.values.shape
    torch.testing.assert_close(edited.flatten(), torch.tensor(expected, dtype=torch.float32))


def test_paint_is_scaled_to_the_map_and_keeps_to_its_kind() -> None:
    left = torch.full((8, 8), LEAVE)
    left[:, :4] = 1.0
    assert paint(left)(CHANNEL) is None
    assert paint(torch.tensor([1.0, LEAVE, LEAVE]))(SPATIAL) is None
    assert paint(torch.tensor([1.0, LEAVE]))(CHANNEL) is None  # of another layer
    edited = paint(left)(SPATIAL)
    assert edited is not None
    torch.testing.assert_close(edited.flatten(), torch.tensor([1, 0.4, 1, 0.8]))


def test_erasing_everything_makes_a_softmax_uniform() -> None:
    edited = paint(torch.zeros(2, 2))(SOFTMAX)
    assert edited is not None
    torch.testing.assert_close(edited.flatten(), torch.full((4,), 0.25))


@pytest.mark.parametrize("given", [SPATIAL, CHANNEL, SOFTMAX, PAIRWISE, FACTOR])
def test_temperature_one_and_strength_zero_change_no_bit(given: AttentionMap) -> None:
    edited = temperature(1)(given)
    assert edited is not None and torch.equal(edited, given.values)
    assert blend(0, off)(given) is None


@pytest.mark.parametrize("kind", list(MapKind))
def test_shuffled_keeps_the_weights_of_each_row_and_repeats_with_its_seed(kind: MapKind) -> None:
    shape = {
        MapKind.CHANNEL: (2, 30, 1, 1),
        MapKind.SPATIAL: (2, 1, 5, 6),
        MapKind.ELEMENT: (2, 3, 5, 6),
        MapKind.PAIRWISE: (2, 4, 30),
        MapKind.BRANCH: (2, 30, 3, 1, 1),
    }[kind]
    given = AttentionMap("tap", kind, MapScale.GATE, torch.rand(shape), (5, 6))
    edited = shuffled(3)(given)
    assert edited is not None
    after = weight_rows(replace(given, values=edited))
    assert torch.equal(after.sort().values, weight_rows(given).sort().values)
    assert kind is MapKind.ELEMENT or after.shape[-1] == 30
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


def test_edits_act_only_where_told() -> None:
    torch.manual_seed(0)
    block = build_attention("eca+cbam_spatial", 4, (6, 6)).eval()
    x = torch.randn(2, 4, 6, 6)
    with record_attention(block) as maps:
        block(x)
    channel, spatial = maps
    with edit_attention(block, off):
        torch.testing.assert_close(block(x), x)
    with edit_attention(block, at([spatial.name], off)):
        torch.testing.assert_close(block(x), x * channel.values)


class Pixels(nn.Module):
    """Four numbers a pixel are four logits: a block, then their mean over the positions."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x).mean(dim=(2, 3))


def pixels(variant: str) -> Pixels:
    torch.manual_seed(1)
    return Pixels(build_attention(variant, 4, (3, 5))).eval()


X = torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(2))


def after(network: nn.Module, operation: str, amount: float | None = None, **settings: object) -> Tensor:
    with operated(network, Intervention(operation, amount, **settings)) as edited, torch.no_grad():
        return edited(X)


def gates(network: nn.Module) -> list[Tensor]:
    with record_attention(network) as maps:
        network(X)
    return [each.values for each in maps]


def test_logits_of_a_gated_block_by_hand() -> None:
    network = pixels("cbam_spatial")
    (gate,) = gates(network)  # (B, 1, 3, 5)
    erased = gate.clone()
    erased[..., 0, :2] = 0
    target = torch.full((3, 5), LEAVE)
    target[0, :2] = 0
    odds = gate / (1 - gate)
    assert torch.equal(after(network, "temperature", 1.0), network(X))
    assert torch.equal(after(network, "off", 0.0), network(X))
    for expected, given in [
        (torch.ones_like(gate), after(network, "off")),
        (gate.mean(dim=(1, 2, 3), keepdim=True), after(network, "uniform")),
        (1 - gate, after(network, "invert")),
        (odds**2 / (1 + odds**2), after(network, "temperature", 0.5)),
        (erased, after(network, "paint", target=target)),
        (0.5 * gate + 0.5, after(network, "off", 0.5)),
    ]:
        torch.testing.assert_close(given, (X * expected).mean(dim=(2, 3)))
    torch.testing.assert_close(after(network, "shuffle", seed=5), after(network, "shuffle", seed=5))
    assert not torch.allclose(after(network, "shuffle", seed=5), after(network, "shuffle", seed=6))


def test_logits_of_self_attention_by_hand() -> None:
    network = pixels("self_attention")
    block = network.get_submodule("block.self_attention")
    nn.init.constant_(block.gamma, 0.8)
    (weights,) = gates(network)  # (B, N, N)
    value = block.value(X).flatten(2)  # (B, C, N)

    def by_hand(gamma: float, edited: Tensor) -> Tensor:
        return X.mean(dim=(2, 3)) + gamma * (value @ edited.transpose(1, 2)).mean(dim=2)

    received = weights.clone()
    received[:, :, 7] = 0
    target = torch.full((3, 5), LEAVE)
    target[1, 2] = 0
    cold = weights**2 / (weights**2).sum(dim=2, keepdim=True)
    torch.testing.assert_close(after(network, "off"), X.mean(dim=(2, 3)))
    for gamma, edited, given in [
        (0.8, torch.full_like(weights, 1 / 15), after(network, "uniform")),
        (0.8, cold, after(network, "temperature", 0.5)),
        (0.8, received / received.sum(dim=2, keepdim=True), after(network, "paint", target=target)),
        (-1.5, weights, after(network, "gamma", -1.5)),
        (0.0, weights, after(network, "gamma", 0.0)),
    ]:
        torch.testing.assert_close(given, by_hand(gamma, edited))
    assert block.gamma.item() == pytest.approx(0.8), "the network itself is left as it is"
    torch.testing.assert_close(after(network, "gamma", 0.8), network(X))


@pytest.mark.parametrize("normalize", ["softmax", "sigmoid"])
def test_a_reading_over_positions_is_the_mean_when_off(normalize: str) -> None:
    """Gates of Learn To Pay Attention and of VGG16 with attention read a local map into one vector."""
    readout = WeightedReadout(normalize)  # type: ignore[arg-type]
    scores, local = X[:, :1], X[:, 1:]
    with edit_attention(readout, off):
        torch.testing.assert_close(readout(scores, local), local.mean(dim=(2, 3)))
    left = torch.full((3, 5), LEAVE)
    left[:, :1] = 0
    weights = (scores.flatten(2).softmax(dim=2) if normalize == "softmax" else scores.flatten(2).sigmoid()).view_as(scores)
    weights = weights * (torch.arange(5) > 0)
    weights = weights / (weights.sum(dim=(2, 3), keepdim=True) if normalize == "softmax" else 15)
    with edit_attention(readout, paint(left)):
        torch.testing.assert_close(readout(scores, local), (weights * local).sum(dim=(2, 3)))


@pytest.mark.parametrize(("operation", "other"), [("channel_alone", "spatial"), ("spatial_alone", "channel")])
def test_half_of_cbam_alone_is_the_network_with_the_other_half_identity(operation: str, other: str) -> None:
    network, half = pixels("cbam"), pixels("cbam")
    half.get_submodule("block.cbam").register_module(other, nn.Identity())
    torch.testing.assert_close(after(network, operation), half(X))
    assert not torch.allclose(half(X), network(X))


def test_only_operations_that_make_sense_are_offered() -> None:
    offered = {name: {each.name for each in applicable(pixels(name))} for name in ("eca", "cbam", "self_attention")}
    common = {"off", "uniform", "shuffle", "temperature", "invert", "paint"}
    assert offered == {
        "eca": common,
        "cbam": common | {"channel_alone", "spatial_alone"},
        "self_attention": common | {"gamma"},
    }
    assert applicable(nn.Linear(2, 2)) == []
    assert [each.operation for each in standard_interventions(pixels("cbam"))] == [
        *("off", "uniform", "shuffle", "temperature", "temperature", "invert", "channel_alone", "spatial_alone")
    ]
    assert all(name == operation.name and operation.meaning.endswith(".") for name, operation in OPERATIONS.items())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (Intervention("burn"), "unknown operation 'burn'; known: off, uniform"),
        (Intervention("off", taps=["block.cbam_spatial.tap", "nowhere"]), "no tap 'nowhere'"),
        (Intervention("temperature", 0.0), r"temperature must be in \[0.1, 10\], got 0"),
        (Intervention("uniform", 1.5), r"strength must be in \[0, 1\], got 1.5"),
        (Intervention("gamma", math.nan), "gamma must be"),
        (Intervention("paint"), "needs a target"),
        (Intervention("paint", target=torch.tensor([[-0.1]])), "at least 0"),
        (Intervention("paint", target=torch.tensor([[1.5]])), r"takes weights in \[0, 1\], got 1.5"),
    ],
)
def test_wrong_settings_are_refused(given: Intervention, message: str) -> None:
    network = pixels("cbam_spatial")
    with pytest.raises(ValueError, match=message), operated(network, given) as edited:
        edited(X)


class Brightness(nn.Module):
    """Two logits: what the left and the right half of the first channel sum to, after a gate that is 0.9 left, 0.1 right."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = build_attention("cbam_spatial", 1, (1, 2))

    def forward(self, x: Tensor) -> Tensor:
        tap = next(module for module in self.readout.modules() if type(module).__name__ == "AttentionTap")
        gate = torch.tensor([0.9, 0.1]).view(1, 1, 1, 2).expand(len(x), 1, 1, 2)
        return (x * tap(gate)).flatten(1)


def test_accuracy_over_images_by_hand() -> None:
    """Gated, the left half wins whenever it is a ninth as bright as the right; off, the brighter half wins."""
    images = torch.tensor([[90, 50], [50, 90], [50, 90], [10, 200], [200, 10]], dtype=torch.uint8).view(5, 1, 1, 2)
    labels = torch.tensor([0, 1, 0, 1, 1])
    told: list[tuple[int, int]] = []
    off_change, unchanged = accuracy_change(
        Brightness(),
        images,
        labels,
        (0.0,),
        (1.0,),
        [Intervention("off"), Intervention("temperature", 1.0)],
        batch=2,
        on_progress=lambda done, total: told.append((done, total)),
    )
    # gated says 0 0 0 1 0: right are the 1st, 3rd and 4th; off says 0 1 1 1 0: the 1st, 2nd and 4th
    assert (off_change.before, off_change.after, off_change.n) == (3 / 5, 3 / 5, 5)
    assert (off_change.gained, off_change.lost, off_change.p) == (1, 1, 1.0)
    assert off_change.change.value == 0

    def of_truth(left: float, right: float, label: int) -> float:
        return 1 / (1 + math.exp((right - left) / 255 * (1 if label == 0 else -1)))

    pairs = images.view(5, 2).tolist()
    moved = [
        of_truth(left, right, label) - of_truth(0.9 * left, 0.1 * right, label)
        for (left, right), label in zip(pairs, labels.tolist(), strict=True)
    ]
    assert off_change.true_class.value == pytest.approx(np.mean(moved), abs=1e-6)
    assert (unchanged.gained, unchanged.lost, unchanged.true_class.value, unchanged.p_holm) == (0, 0, 0, 1)
    assert told == [(done, 9) for done in range(1, 10)]


def test_accuracy_stops_when_asked_and_keeps_what_is_done() -> None:
    images, labels = torch.zeros(4, 1, 1, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)
    asked = iter([False] * 4 + [True] * 9)
    done = accuracy_change(
        Brightness(),
        images,
        labels,
        (0.0,),
        (1.0,),
        [Intervention("off"), Intervention("uniform")],
        batch=2,
        should_stop=lambda: next(asked),
    )
    assert [change.intervention.operation for change in done] == ["off"]
    with pytest.raises(ValueError, match="one label per image"):
        accuracy_change(Brightness(), images, labels[:3], (0.0,), (1.0,), [])


def test_operate_gives_prediction_and_maps_as_they_were_changed() -> None:
    network = pixels("cbam_spatial")
    images = torch.randint(0, 256, (1, 4, 3, 5), dtype=torch.uint8)
    result = operate(network, images, [0.0] * 4, [1.0] * 4, Intervention("off"))
    (gate,) = result.maps
    assert torch.equal(gate.values, torch.ones(1, 1, 3, 5))
    expected = (images.float() / 255).mean(dim=(2, 3)).softmax(dim=1).numpy()
    np.testing.assert_allclose(result.probabilities, expected, rtol=1e-5)


def test_paint_reaches_other_maps_where_they_lie() -> None:
    """A picture of 8 x 8; the painted map of 2 x 2 cells lies in its upper left quarter, the other covers all of it."""
    painted = Cells(Axis(1.0, 2, 2), Axis(1.0, 2, 2))
    fine = torch.full((1, 1, 8, 8), 0.5)
    attention = AttentionMap("fine.tap", MapKind.SPATIAL, MapScale.GATE, fine, (8, 8))
    target = torch.tensor([[1.0, LEAVE], [LEAVE, LEAVE]])
    placed = paint(target, painted, {"fine.tap": picture_cells()})(attention)
    stretched = paint(target)(attention)
    assert placed is not None and stretched is not None
    assert (placed == 1).nonzero()[:, 2:].tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert int((stretched == 1).sum()) == 16
