"""SAGAN self-attention without its N x N map: agreement, rows and columns on demand, memory."""

import subprocess
import sys

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from attnlab.attention import AttentionMap, edit_attention, record_attention
from attnlab.attention.self_attention import SelfAttention

OPTIONS = [{}, {"heads": 4}, {"scaled": True, "heads": 2}, {"pooled_keys": True}, {"reduction": 1}]


def attention(size: tuple[int, int], **options: object) -> SelfAttention:
    torch.manual_seed(0)
    made = SelfAttention(32, size, **options)  # type: ignore[arg-type]
    made.gamma.data.fill_(0.7)
    return made


def direct(model: SelfAttention, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The source's form, head by head, with the N x N map: output (B, C, H, W) and map (B, heads, N, M)."""
    height, width = model.key_grid(x)
    query = model.query(x).flatten(2).chunk(model.heads, dim=1)
    key = torch.nn.functional.adaptive_max_pool2d(model.key(x), (height, width)).flatten(2).chunk(model.heads, dim=1)
    value = torch.nn.functional.adaptive_max_pool2d(model.value(x), (height, width)).flatten(2).chunk(model.heads, dim=1)
    maps = [torch.softmax(torch.bmm(q.transpose(1, 2), k) * model.scale, dim=-1) for q, k in zip(query, key, strict=True)]
    gathered = torch.cat([torch.bmm(v, a.transpose(1, 2)) for v, a in zip(value, maps, strict=True)], dim=1)
    return model.gamma * gathered.view_as(x) + x, torch.stack(maps, dim=1)


@pytest.mark.parametrize("size", [(8, 8), (12, 6), (1, 1)], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_agrees_with_the_direct_form_forward_and_backward(options: dict, size: tuple[int, int]) -> None:
    model, x = attention(size, **options), torch.randn(2, 32, *size, requires_grad=True)
    y, expected = model(x), direct(model, x)[0]
    assert (y - expected).abs().max() < 1e-5
    weight = torch.randn_like(y)
    (fast,) = torch.autograd.grad((y * weight).sum(), x)
    (slow,) = torch.autograd.grad((expected * weight).sum(), x)
    assert (fast - slow).abs().max() < 1e-5


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_rows_and_columns_on_demand_are_those_of_the_map(options: dict) -> None:
    size = (12, 6)
    model, x = attention(size, **options), torch.randn(2, 32, *size)
    maps = direct(model, x)[1]
    height, width = model.key_grid(x)
    rows = model.row(x, [(0, 0), (7, 5)], keys=model.keys(x))
    assert torch.allclose(rows.flatten(3), maps[:, :, [0, 7 * 6 + 5]], atol=1e-6)
    assert rows.shape[-2:] == (height, width)
    column = model.column(x, (height - 1, 1))
    assert torch.allclose(column.flatten(2), maps[..., (height - 1) * width + 1], atol=1e-6)


def test_gamma_starts_at_zero_so_the_block_starts_as_identity() -> None:
    x = torch.randn(2, 32, 5, 4)
    assert torch.equal(SelfAttention(32, (5, 4))(x), x)


def test_over_one_position_only_the_value_is_added() -> None:
    model, x = attention((1, 1)), torch.randn(3, 32, 1, 1)
    with record_attention(model) as maps:
        y = model(x)
    assert maps[0].values.eq(1).all()
    assert torch.allclose(y, model.gamma * model.value(x) + x)


def test_the_fast_kernel_takes_these_shapes() -> None:
    """With another width for values than for keys, or other strides, the direct form would run unseen; here it would raise."""
    model, x = attention((32, 24), heads=2), torch.randn(1, 32, 32, 24, requires_grad=True)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        model(x).sum().backward()


def test_a_map_of_1024_positions_is_recorded_and_a_larger_one_is_not_but_its_rows_can_be_had() -> None:
    for size, count in (((32, 32), 1), ((32, 33), 0)):
        model, x = attention(size), torch.randn(1, 32, *size)
        with record_attention(model) as maps:
            model(x)
        assert len(maps) == count
        assert model.row(x, [(31, 0)]).sum().item() == pytest.approx(1, abs=1e-5)


def test_an_edit_reaches_a_map_too_large_to_record() -> None:
    """Some queries at a time, each with all its keys; the whole map is 2304 x 2304."""
    size = (48, 48)
    model, x = attention(size, heads=2), torch.randn(1, 32, *size)
    shapes = []

    def uniform(seen: AttentionMap) -> torch.Tensor:
        shapes.append(tuple(seen.values.shape))
        return torch.full_like(seen.values, 1 / 2304)

    with torch.no_grad(), record_attention(model) as maps, edit_attention(model, uniform):
        y = model(x)
    assert torch.allclose(y, model.gamma * model.value(x).mean(dim=(2, 3), keepdim=True) + x, atol=1e-5)
    assert sum(queries for _, queries, _ in shapes) == 2 * 2304 and {keys for *_, keys in shapes} == {2304}
    assert maps == []
    plain = model(x)
    with edit_attention(model, lambda seen: None):
        assert torch.equal(model(x), plain)


@pytest.mark.parametrize("place", [(-1, 0), (0, 6), (5, 0)])
def test_a_place_outside_the_map_is_refused(place: tuple[int, int]) -> None:
    model, x = attention((5, 6)), torch.randn(1, 32, 5, 6)
    with pytest.raises(ValueError, match="outside the 5 x 6"):
        model.row(x, [place])
    with pytest.raises(ValueError, match="outside the 5 x 6"):
        model.column(x, place)


def test_channels_that_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(ValueError, match="30 channels into 4 heads"):
        SelfAttention(30, (4, 4), heads=4)


MEMORY_PROBE = """
import resource, torch
from attnlab.attention.self_attention import SelfAttention
torch.set_num_threads(1)
def step(side):
    model, x = SelfAttention(32, (side, side)), torch.randn(1, 32, side, side, requires_grad=True)
    model(x).sum().backward()
step(16)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
step(72)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
def test_memory_is_far_below_one_map() -> None:
    """At 72 x 72 one map is 103 MiB and the direct form holds several; forward and backward together need a third of one."""
    done = subprocess.run([sys.executable, "-c", MEMORY_PROBE], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 34
