"""What is read of transformers: products over layers, relevance for a class, distances and tokens, by hand."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from attnlab.attention import AttentionMap, MapKind, MapScale, edit_attention, record_attention
from attnlab.explain.transformers.layers import TokenLayers, token_layers
from attnlab.explain.transformers.reading import attention_distances, position_similarity, read_rows
from attnlab.explain.transformers.relevance import (
    attention_gradients,
    class_relevance,
    gradient_rollout,
    legrad,
    own_score_gradients,
)
from attnlab.explain.transformers.rollout import (
    attention_flow,
    attention_rollout,
    fuse_heads,
    joint_attention,
    rollout_map,
    with_residual,
)
from attnlab.explain.transformers.tokens import patch_logits, token_norms, token_states
from attnlab.geometry import Axis, Cells
from attnlab.models import token_parts
from tests.explain.token_network import TokenNetwork

IMAGES = torch.randn(2, 3, 16, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture(scope="module")
def network() -> TokenNetwork:
    torch.manual_seed(3)
    return TokenNetwork(prefix=2).double().eval()


def maps_of(network: torch.nn.Module) -> list[AttentionMap]:
    with torch.inference_mode(), record_attention(network) as maps:
        network(IMAGES)
    return maps


def layers_of(network: torch.nn.Module) -> TokenLayers:
    layers = token_layers(maps_of(network))
    assert layers is not None
    return layers


def softmaxes(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64).mul(2).softmax(dim=-1)


PATCHES = Cells(Axis(2, 4, 4), Axis(2, 4, 4))
WIDER = Cells(Axis(2, 4, 12), Axis(2, 4, 12))  # after a convolution of 3 x 3


def pair(values: Tensor, grid: tuple[int, int], **fields: object) -> AttentionMap:
    usual = {"queries": grid, "cells": PATCHES, "neutral": 0.0}
    return AttentionMap("0.tap", MapKind.PAIRWISE, MapScale.SOFTMAX, values, grid, **(usual | fields))  # type: ignore[arg-type]


# ---- rollout


@pytest.mark.parametrize("start", [0, 1, 3])
def test_rollout_is_the_product_of_normalised_layers_with_the_later_one_on_the_left(start: int) -> None:
    layers = softmaxes(4, 2, 3, 5, 5)
    found = attention_rollout(layers, start_layer=start)
    expected = torch.eye(5, dtype=torch.float64).expand(2, 5, 5)
    for layer in layers[start:].mean(dim=2):
        expected = torch.stack([(a + torch.eye(5)) / (a + torch.eye(5)).sum(1, keepdim=True) for a in layer]) @ expected
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, 5, dtype=torch.float64))


def test_the_joint_attention_after_each_layer_ends_with_the_rollout_and_can_leave_out_the_path_around_it() -> None:
    layers = softmaxes(4, 1, 5, 5)
    joint = joint_attention(layers)
    assert joint.shape == (4, 1, 5, 5)
    torch.testing.assert_close(joint[-1], attention_rollout(layers))
    torch.testing.assert_close(joint[1], attention_rollout(layers[:2]))
    torch.testing.assert_close(joint_attention(layers, residual=False)[2], layers[2] @ layers[1] @ layers[0])
    with pytest.raises(ValueError, match="no layer 4 to start from: there are 4"):
        joint_attention(layers, start_layer=4)


def test_heads_are_fused_by_mean_maximum_or_minimum_and_rows_still_sum_to_one() -> None:
    layers = softmaxes(2, 1, 3, 4, 4)
    assert torch.equal(fuse_heads(layers[0], "max"), layers[0].max(dim=1).values)
    assert torch.equal(fuse_heads(layers[0], "min"), layers[0].min(dim=1).values)
    for fusion in ("mean", "max", "min"):
        rows = attention_rollout(layers, fusion=fusion).sum(dim=-1)  # type: ignore[arg-type]
        torch.testing.assert_close(rows, torch.ones_like(rows))
    with pytest.raises(ValueError, match="by mean, max, min, not by 'median'"):
        fuse_heads(layers[0], "median")  # type: ignore[arg-type]


def test_dividing_by_sums_without_keeping_the_dimension_breaks_the_property_that_rows_sum_to_one() -> None:
    """The formula of a widespread implementation. It shows only where the sums differ, so with heads fused by maximum."""
    fused = fuse_heads(softmaxes(1, 3, 5, 5), "max")
    wrong = fused + torch.eye(5, dtype=torch.float64)
    wrong = wrong / wrong.sum(dim=-1)
    right = with_residual(fused)
    torch.testing.assert_close(right.sum(dim=-1), torch.ones(1, 5, dtype=torch.float64))
    assert ((wrong.sum(dim=-1) - 1).abs() > 1e-3).any()


def test_attention_flow_is_the_smallest_cut_between_two_tokens() -> None:
    layers = softmaxes(2, 3, 3)
    mixed = with_residual(layers)
    # One layer on top leaves token 0; what arrives at key k below is cut either before or behind each of the three tokens.
    cuts = [
        min(
            sum(float(mixed[1, 0, via]) if via in before else float(mixed[0, via, key]) for via in range(3))
            for count in range(4)
            for before in combinations(range(3), count)
        )
        for key in range(3)
    ]
    flow = attention_flow(list(layers), 0)
    torch.testing.assert_close(flow, torch.tensor(cuts, dtype=torch.float64) / sum(cuts))
    with pytest.raises(ValueError, match="at most 50 tokens, and there are 65"):
        attention_flow([torch.full((65, 65), 1 / 65)], 0)


# ---- which maps are those of a transformer


def test_the_layers_of_a_network_are_found_in_its_maps_with_the_class_token_to_read(network: TokenNetwork) -> None:
    layers = layers_of(network)
    assert layers.names == tuple(f"blocks.{index}.attention.tap" for index in range(3))
    assert [tuple(each.shape) for each in layers.weights] == [(2, 2, 14, 14)] * 3 and layers.grid == (4, 3)
    rollout = attention_rollout(layers.weights)
    torch.testing.assert_close(layers.on_patches(rollout), rollout[:, 0, 2:].unflatten(1, (4, 3)))
    made = rollout_map(layers)
    assert made.name == "rollout" and made.prefix == 2 and made.queries == (4, 3)
    torch.testing.assert_close(read_rows(layers)[1, 2, 1], layers.weights[2][1, 1, 0, 2:].unflatten(0, (4, 3)))


def test_without_a_class_token_the_tokens_are_read_as_they_are_pooled() -> None:
    weights = softmaxes(2, 4, 4)
    maps = [pair(weights[:1], (2, 2)), pair(weights[1:], (2, 2))]
    plain = token_layers(maps)
    pooling = AttentionMap("pool.tap", MapKind.SPATIAL, MapScale.SOFTMAX, torch.tensor([[[[0.5, 0.5], [0.0, 0.0]]]]), (2, 2))
    pooled = token_layers([*maps, pooling])
    assert plain is not None and pooled is not None and len(plain.names) == 2
    torch.testing.assert_close(plain.on_patches(weights[:1]), weights[:1].mean(dim=1).unflatten(1, (2, 2)))
    torch.testing.assert_close(pooled.on_patches(weights[:1]), weights[:1, :2].mean(dim=1).unflatten(1, (2, 2)))


@pytest.mark.parametrize(
    "maps",
    [
        [],
        [pair(softmaxes(1, 4, 4), (2, 2))],
        [pair(softmaxes(1, 4, 4), (2, 2)), pair(softmaxes(1, 9, 9), (3, 3))],
        [pair(softmaxes(1, 4, 4), (2, 2), prefix=1)] * 2,  # keys that lie outside, as of halo attention
        [pair(softmaxes(1, 16, 4), (2, 2), queries=(4, 4))] * 2,
        [pair(softmaxes(1, 4, 4), (2, 2)), pair(softmaxes(1, 4, 4), (2, 2), cells=WIDER)],
        [pair(softmaxes(1, 4, 4), (2, 2), cells=None)] * 2,
        [pair(softmaxes(1, 4, 4), (2, 2), neutral=None)] * 2,  # takes the place of a convolution: nothing goes around it
        [AttentionMap("tap", MapKind.SPATIAL, MapScale.GATE, torch.ones(1, 1, 2, 2), (2, 2))] * 2,
    ],
    ids=[
        *("none", "one layer", "two resolutions", "keys outside", "pooled keys"),
        *("a convolution between", "nothing is known of the cells", "no path around it", "gates"),
    ],
)
def test_other_attention_is_not_taken_for_that_of_a_transformer(maps: list[AttentionMap]) -> None:
    assert token_layers(maps) is None


# ---- relevance


def test_gradients_of_a_score_are_those_of_finite_changes_of_each_weight(network: TokenNetwork) -> None:
    def score(logits: Tensor) -> Tensor:
        return logits[:, 1]

    maps, gradients = attention_gradients(network, IMAGES, score)
    assert [each.name for each in maps] == [each.name for each in maps_of(network)]
    for at, (image, query, key) in [(0, (0, 3, 5)), (3, (1, 0, 4)), (5, (1, 0, 1))]:  # the last layer's class token among them

        def changed(by: float, at: int = at, place: tuple[int, int, int] = (image, query, key)) -> Tensor:
            def edit(attention: AttentionMap) -> Tensor | None:
                if attention.name != maps[at].name:
                    return None
                values = attention.values.clone()
                values[place] += by
                return values

            with torch.inference_mode(), edit_attention(network, edit):
                return score(network(IMAGES))

        slope = (changed(1e-4) - changed(-1e-4))[image] / 2e-4
        torch.testing.assert_close(gradients[at][image, query, key], slope, rtol=1e-5, atol=1e-9)
    assert gradients[5][:, 1:].abs().max() == 0  # only the class token is read after the last layer
    assert all(parameter.grad is None for parameter in network.parameters()) and not network.training


def test_the_score_after_each_layer_has_the_gradients_of_finite_changes(network: TokenNetwork) -> None:
    """After layer l the class token is classified, so of this layer's rows its own alone counts, and no later layer."""
    parts = token_parts(network)
    assert parts is not None
    found = own_score_gradients(network, IMAGES, lambda logits: logits[:, 1], parts)
    _, last = attention_gradients(network, IMAGES, lambda logits: logits[:, 1])
    torch.testing.assert_close(found[2], torch.stack(last[4:], dim=1))
    for layer, (image, head, key) in enumerate([(0, 0, 5), (1, 1, 4), (1, 0, 1)]):
        assert found[layer].shape == (2, 2, 14, 14) and found[layer][:, :, 1:].abs().max() == 0

        def changed(by: float, layer: int = layer, place: tuple[int, int, int] = (image, head, key)) -> Tensor:
            def edit(attention: AttentionMap) -> Tensor | None:
                values = attention.values.clone()
                values[place[0], 0, place[2]] += by
                return values if attention.name == f"blocks.{layer}.attention.tap#h{place[1] + 1}" else None

            with edit_attention(network, edit):
                state = token_states(network, IMAGES, parts)[layer]
            with torch.inference_mode():
                return parts.classify(state)[place[0], 1]

        slope = (changed(1e-4) - changed(-1e-4)) / 2e-4
        torch.testing.assert_close(found[layer][image, head, 0, key], slope, rtol=1e-5, atol=1e-9)


def test_legrad_by_hand() -> None:
    """Two layers of two heads between two tokens: positive gradients, averaged over heads, queries and layers."""
    first = torch.tensor([[[[1.0, -2.0], [3.0, 4.0]], [[-1.0, 0.0], [0.0, 2.0]]]])
    last = torch.tensor([[[[8.0, -8.0], [0.0, 0.0]], [[0.0, 4.0], [-1.0, -1.0]]]])
    # key 0: (1 + 3) / 4 = 1 and 8 / 4 = 2; key 1: (4 + 2) / 4 = 1.5 and 4 / 4 = 1
    torch.testing.assert_close(legrad([first, last]), torch.tensor([[1.5, 1.25]]))


def test_relevance_and_gradient_rollout_by_hand() -> None:
    weights = [softmaxes(1, 2, 3, 3), softmaxes(2, 1, 2, 3, 3)[1]]
    gradients = [torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(at), dtype=torch.float64) for at in (1, 2)]
    eye = torch.eye(3, dtype=torch.float64)
    shares = [(w[0] * g[0]).clamp_min(0).sum(dim=0) / 2 for w, g in zip(weights, gradients, strict=True)]
    first = eye + shares[0]
    torch.testing.assert_close(class_relevance(weights, gradients)[0], first + shares[1] @ first)
    fused = [((w[0] * g[0]).sum(dim=0) / 2).clamp_min(0) + eye for w, g in zip(weights, gradients, strict=True)]
    below, above = (each / each.sum(dim=1, keepdim=True) for each in fused)
    torch.testing.assert_close(gradient_rollout(weights, gradients)[0], above @ below)


def test_a_network_whose_score_depends_on_no_map_has_gradients_of_zero(network: TokenNetwork) -> None:
    maps, gradients = attention_gradients(network, IMAGES, lambda logits: torch.zeros(2))
    assert len(maps) == 6 and all(not gradient.any() for gradient in gradients)


# ---- distances, positions, tokens


def test_attention_distance_in_pixels_by_hand() -> None:
    """Three patches in a row, 10 pixels apart: each looks at its right neighbour, the last one at the class token."""
    weights = torch.zeros(1, 2, 4, 4)
    weights[0, 0, [0, 1, 2, 3], [1, 2, 3, 0]] = 1
    weights[0, 1, :, 1] = 1  # all of the other head look at the first patch
    cells = Cells(Axis(4, 8, 8), Axis(5, 10, 10))
    layers = TokenLayers(("tap",), (weights,), 1, (1, 3), cells, torch.tensor([[1.0, 0, 0, 0]]))
    assert attention_distances(layers, (8, 30))[0].tolist() == pytest.approx([20 / 3, 30 / 3])


def test_similarity_of_positions_is_their_cosine_without_tokens_that_have_none() -> None:
    table = torch.tensor([[[9.0, 9.0], [2.0, 0.0], [0.0, 3.0], [1.0, 1.0]]])
    found = position_similarity(table, (1, 3))
    assert found.shape == (1, 3, 1, 3)
    assert found[0, 0, 0].tolist() == pytest.approx([1, 0, 0.5**0.5])
    assert found[0, 2, 0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5, 1])
    with pytest.raises(ValueError, match="4 position embeddings for a grid of 3 x 3 patches"):
        position_similarity(table, (3, 3))


def test_tokens_after_each_layer_are_read_by_the_head_of_the_network(network: TokenNetwork) -> None:
    parts = token_parts(network)
    assert parts is not None
    states = token_states(network, IMAGES, parts)
    assert states.shape == (3, 2, 14, 8)
    with torch.inference_mode():
        torch.testing.assert_close(parts.head(parts.norm(states[-1, :, 0])), network(IMAGES))
        expected = parts.head(parts.norm(states[0, 1, 2 + 7]))
    logits = patch_logits(states, parts, (4, 3))
    assert logits.shape == (3, 2, 4, 3, 2)
    torch.testing.assert_close(logits[0, 1, 2, 1], expected)
    without, patches = token_norms(states, (4, 3))
    assert without.shape == (3, 2, 2) and patches.shape == (3, 2, 4, 3)
    torch.testing.assert_close(patches[1, 0, 3, 2], states[1, 0, -1].square().sum().sqrt())
    assert token_parts(torch.nn.Linear(2, 2)) is None
