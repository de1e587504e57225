"""Rows and columns of self-attention maps too large to be recorded: what they are, what they cost, what a browser may ask."""

from __future__ import annotations

import base64
import math
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnlab.attention import RowsOnDemand, build_mixer, fix_weights, record_attention
from attnlab.attention.self_attention import SelfAttention
from attnlab.data import normalise
from attnlab.explain.large_maps import LargeMap, large_maps
from attnlab.ui.components.large_maps import LargeMapLayer, Question, decode_question, encode_weights, identity

MEAN, STD = (0.5,) * 3, (0.25,) * 3


def caught(block: SelfAttention, x: torch.Tensor) -> LargeMap:
    with torch.inference_mode():
        return LargeMap("tap", (x.shape[2], x.shape[3]), block.key_grid(x), block, x, block.keys(x))


def network(size: tuple[int, int], channels: int = 8, **options: Any) -> nn.Sequential:
    """Attention over all positions, then over a quarter of them."""
    torch.manual_seed(0)
    half = (size[0] // 2, size[1] // 2)
    blocks = SelfAttention(channels, size, **options), SelfAttention(channels, half, **options)
    return nn.Sequential(nn.Conv2d(3, channels, 1), blocks[0], nn.MaxPool2d(2), blocks[1])


def pictures(size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_row_and_a_column_by_hand() -> None:
    """Two positions with features 1 and ln 2, queries and keys the features themselves: the scores are their products."""
    block = SelfAttention(1, (1, 2))
    for layer in (block.query, block.key):
        nn.init.ones_(layer.weight)
        nn.init.zeros_(layer.bias)
    large = caught(block, torch.tensor([[[[1.0, math.log(2)]]]]))
    first = math.e / (math.e + 2)  # exp(1), exp(ln 2)
    second = 2 / (2 + math.exp(math.log(2) ** 2))  # exp(ln 2), exp(ln 2 ln 2)
    assert large.row((0, 0)) == pytest.approx(np.array([[first, 1 - first]]))
    assert large.row((0, 1)) == pytest.approx(np.array([[second, 1 - second]]))
    assert large.column((0, 0)) == pytest.approx(np.array([[first, second]]))


@pytest.mark.parametrize("size", [(4, 4), (3, 7), (6, 2)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"heads": 2, "scaled": True}, {"pooled_keys": True}, {"heads": 4, "pooled_keys": True}], ids=str
)
def test_rows_and_columns_are_those_of_the_whole_softmax(size: tuple[int, int], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    block, x = SelfAttention(16, size, reduction=2, **options), torch.randn(1, 16, *size)
    large = caught(block, x)
    query = block.query(x).flatten(2).chunk(block.heads, dim=1)
    pooled = torch.nn.functional.max_pool2d(block.key(x), 2) if block.pooled_keys else block.key(x)
    keys = pooled.flatten(2).chunk(block.heads, dim=1)
    whole = np.stack([(q[0].T @ k[0] * block.scale).softmax(dim=1).detach().numpy() for q, k in zip(query, keys, strict=True)])
    for q in range(size[0] * size[1]):
        place = divmod(q, size[1])
        assert large.row(place).ravel() == pytest.approx(whole[:, q].mean(axis=0), abs=1e-6)
        assert large.row(place, block.heads - 1).ravel() == pytest.approx(whole[-1, q], abs=1e-6)
    for k in range(large.key_grid[0] * large.key_grid[1]):
        place = divmod(k, large.key_grid[1])
        assert large.column(place).ravel() == pytest.approx(whole[:, :, k].mean(axis=0), abs=1e-6)
        assert large.column(place, 0).ravel() == pytest.approx(whole[0, :, k], abs=1e-6)
    assert large.row((0, 0)).shape == large.key_grid and large.column((0, 0)).shape == size


def test_caught_is_exactly_what_a_recording_leaves_out() -> None:
    model, image = network((36, 30)), pictures((36, 30))
    with record_attention(model) as recorded, torch.no_grad():
        model(normalise(image, MEAN, STD))
    large = large_maps(model, image, MEAN, STD)
    assert [seen.name for seen in recorded] == ["3.tap"] and [each.name for each in large] == ["1.tap"]
    assert large[0].grid == large[0].key_grid == (36, 30)
    entered = model[0](normalise(image, MEAN, STD))
    assert large[0].row((35, 7)) == pytest.approx(model[1].row(entered, [(35, 7)])[0, 0, 0].detach().numpy(), abs=1e-6)
    assert large_maps(nn.Sequential(nn.Conv2d(3, 1, 1)), image, MEAN, STD) == ()
    assert not model[1]._forward_hooks


def test_a_forward_of_another_thread_is_not_caught() -> None:
    model, image = network((36, 30)), pictures((36, 30))
    alone = large_maps(model, image, MEAN, STD)[0].row((3, 4))
    other = normalise(pictures((36, 30), seed=1), MEAN, STD)
    started: list[threading.Thread] = []

    def intrude(*_: object) -> None:
        if not started:
            started.append(threading.Thread(target=lambda: model(other)))
            started[0].start()
            started[0].join()

    handle = model[0].register_forward_pre_hook(intrude)
    large = large_maps(model, image, MEAN, STD)
    handle.remove()
    assert started and len(large) == 1
    assert np.array_equal(large[0].row((3, 4)), alone)


class Largest(TorchDispatchMode):
    """The most elements of any tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.elements = max([self.elements, *(leaf.numel() for leaf in tree_leaves(made) if isinstance(leaf, torch.Tensor))])
        return made


def test_the_map_itself_is_never_made() -> None:
    """At 128 x 128 it has 268 million weights: neither catching nor a row makes more than the features have."""
    size, channels = (128, 128), 8
    model = network(size, channels)
    with Largest() as seen:
        large = large_maps(model, pictures(size), MEAN, STD)[0]
        row = large.row((100, 3))
    assert 128 * 128 <= seen.elements <= channels * 128 * 128
    assert row.shape == size and row.sum() == pytest.approx(1, abs=1e-4)
    model = network((64, 96), channels, heads=2)
    large = large_maps(model, pictures((64, 96)), MEAN, STD)[0]
    with Largest() as seen:
        column = large.column((63, 95))
    assert seen.elements <= 2 * 2**22 < (64 * 96) ** 2
    assert column[10, 20] == pytest.approx(large.row((10, 20))[63, 95], rel=1e-3)


def test_what_is_not_there_is_refused() -> None:
    large = caught(SelfAttention(8, (4, 4), heads=2), torch.randn(1, 8, 4, 4))
    with pytest.raises(ValueError, match="no head 2: tap has 2"):
        large.row((0, 0), head=2)
    with pytest.raises(ValueError, match=r"query \(4, 0\) lies outside the 4 x 4 map"):
        large.row((4, 0))
    with pytest.raises(ValueError, match="one image needed, got 2"):
        large_maps(network((4, 4)), torch.zeros(2, 3, 4, 4, dtype=torch.uint8), MEAN, STD)


LAYERS = [LargeMapLayer("a", (40, 30), (20, 15), heads=2)]
GOOD = {"id": "x", "layer": 0, "row": 39, "col": 29, "column": False, "head": -1}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, Question(0, (39, 29))),
        ({"head": 1}, Question(0, (39, 29), head=1)),
        ({"row": 19, "col": 14, "column": True}, Question(0, (19, 14), column=True)),
        ({"column": True}, None),  # the keys' grid is smaller
        ({"id": "y"}, None),
        ({"layer": 1}, None),
        ({"row": -1}, None),
        ({"col": 30}, None),
        ({"head": 2}, None),
        ({"row": "39"}, None),
        ({"row": 1.5}, None),
        ({"layer": None}, None),
    ],
    ids=str,
)
def test_only_questions_that_make_sense_are_answered(change: dict[str, Any], expected: Question | None) -> None:
    assert decode_question(GOOD | change, LAYERS, "x") == expected


def test_what_is_sent_is_small_and_precise_below_a_high_peak() -> None:
    """A colour scale from 0 to 4 times uniform needs the low weights of a row whose peak is hundreds of times uniform."""
    values = np.concatenate([[900.0], np.geomspace(0.1, 4, 2303)]).astype(np.float32).reshape(48, 48)
    told = encode_weights(values)
    back = np.frombuffer(base64.b64decode(told["shares"]), "<f2").astype(np.float32) * told["peak"]
    assert np.abs(back - values.ravel()).max() <= 0.0005 * 900 and np.abs(back[1:] / values.ravel()[1:] - 1).max() < 5e-4
    assert len(told["shares"]) < 2304 * 2 * 1.34
    assert not np.isnan(np.frombuffer(base64.b64decode(encode_weights(np.zeros((2, 2), np.float32))["shares"]), "<f2")).any()


def test_an_answer_belongs_to_one_picture_and_one_network() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    names = {
        identity(LAYERS, image, "a"),
        identity(LAYERS, image, "b"),
        identity(LAYERS, image + 1, "a"),
        identity([], image, "a"),
    }
    assert len(names) == 4 and identity(LAYERS, image.copy(), "a") in names


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("size", [(9, 7), (8, 8), (3, 5)], ids=str)
def test_rows_of_windows_are_those_of_the_recorded_map(size: tuple[int, int], fixed: bool) -> None:
    """Halo attention: each query sees a window; what lies beyond the edge takes its share of the weight."""
    torch.manual_seed(0)
    block = build_mixer("halo", 4, 8, size, {"halo": {"heads": 2, "block": 4, "halo": 2}}).get_submodule("halo").eval()
    assert isinstance(block, RowsOnDemand)
    if fixed:
        fix_weights(block)
    x = torch.randn(1, 4, *size)
    with torch.no_grad(), record_attention(block) as maps:
        block(x)
    whole = torch.stack([each.values[0, :, each.prefix :] for each in maps]).unflatten(1, size).unflatten(3, size)
    with torch.no_grad():
        for row in range(size[0]):
            for column in range(size[1]):
                torch.testing.assert_close(block.row(x, [(row, column)])[0, :, 0], whole[:, row, column])
                torch.testing.assert_close(block.column(x, (row, column))[0], whole[:, :, :, row, column])
    with pytest.raises(ValueError, match="lies outside"):
        block.row(x, [(size[0], 0)])


def test_large_maps_of_windows_are_found() -> None:
    size = (40, 36)
    model = nn.Sequential(nn.Conv2d(3, 8, 1), build_mixer("halo", 8, 8, size), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    (large,) = large_maps(model.eval(), pictures(size), MEAN, STD)
    assert (large.name, large.grid, large.key_grid, large.heads) == ("1.halo.tap", size, size, 8)
    assert 0 < large.row((0, 0)).sum() < 1 and large.row((20, 20)).sum() == pytest.approx(1, abs=1e-5)
