"""Blocks that take the place of a convolution or mix positions, branches or channels: what the contract test does not ask."""

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import (
    MapKind,
    attention_taps,
    build_attention,
    build_mixer,
    edit_attention,
    locate_maps,
    mixers,
    record_attention,
    weight_rows,
)
from attnlab.attention._layers import VectorBatchNorm
from attnlab.config import ModelConfig
from attnlab.explain.cost import count_flops
from attnlab.explain.surgery.operations import OPERATIONS, Intervention, operated
from attnlab.models import ImageShape, build_model

IMAGES = ImageShape(3, 20, 28)
NETWORKS = {"small_cnn": {}, "gated_cnn": {"blocks": 2}, "resnet_cifar": {"depth": 8}}


def features(channels: int, size: tuple[int, int], count: int = 2) -> Tensor:
    return torch.randn(count, channels, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 1)], ids=str)
@pytest.mark.parametrize("name", mixers())
def test_a_mixer_may_change_the_number_of_channels(name: str, size: tuple[int, int]) -> None:
    model = build_mixer(name, 16, 24, size).double().eval()
    with record_attention(model) as maps:
        y = model(features(16, size))
    assert y.shape == (2, 24, *size)
    for seen in maps:
        assert torch.allclose(weight_rows(seen).sum(dim=-1), torch.ones((), dtype=torch.float64))
        assert seen.kind is not MapKind.BRANCH or seen.values.shape[2:] == (24, 1, 1)


@pytest.mark.parametrize("backbone", NETWORKS)
@pytest.mark.parametrize("name", mixers())
def test_a_mixer_replaces_a_convolution_of_each_block(name: str, backbone: str) -> None:
    """It is counted, its maps are recorded and located, and what follows gets maps of the same size as before."""
    common = {"backbone": backbone, "width": 8, "options": NETWORKS[backbone]}
    mixed, plain = ModelConfig(**common, attention=f"{name}+eca"), ModelConfig(**common)
    model, without = (build_model(config, IMAGES, 5).eval() for config in (mixed, plain))
    with record_attention(model) as maps:
        assert model(torch.zeros(2, *IMAGES)).shape == (2, 5)
    taps = [tap for tap in attention_taps(model) if f".{name}." in tap]
    assert len(taps) == {"small_cnn": 2, "gated_cnn": 2, "resnet_cifar": 3}[backbone]
    assert {seen.name.partition("#")[0] for seen in maps} == set(attention_taps(model))
    assert set(taps) <= set(locate_maps(model, IMAGES))
    replaced = [path for path, layer in without.named_modules() if isinstance(layer, nn.Conv2d) and path.endswith("conv2")]
    assert all(tap.startswith(path) for tap, path in zip(taps, replaced, strict=True))
    assert count_flops(mixed, IMAGES, 5) != count_flops(plain, IMAGES, 5)


@pytest.mark.parametrize(
    ("attention", "width", "message"),
    [
        ("selective_kernel+halo", 8, "selective_kernel and halo both take the place of the same convolution"),
        ("eca+halo", 8, r"halo takes the place of a convolution.*write 'halo\+eca'"),
        ("selective_kernel", 1, r"selective_kernel cannot share 1 channels out among 2 branches; use at least 2 channels"),
        ("split_attention", 5, r"split_attention cannot divide 5 channels into 2 splits; use a multiple of 2 channels"),
        ("bottleneck", 6, r"bottleneck cannot split 6 channels into 4 heads; set heads to 1 or 2"),
        ("halo", 12, r"halo cannot split 12 channels into 8 heads; set heads to 1, 2 or 4"),
    ],
)
def test_what_cannot_work_is_refused_by_name_with_what_would(attention: str, width: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_model(ModelConfig(attention=attention, width=width), IMAGES, 5)


def test_only_a_mixer_is_built_in_place_of_a_convolution() -> None:
    with pytest.raises(ValueError, match=r"'eca' does not take the place of a convolution, as bottleneck, halo, .* do"):
        build_mixer("eca", 8, 8, (4, 4))


@pytest.mark.parametrize("name", ["selective_kernel", "split_attention"])
def test_without_attention_the_branches_count_alike(name: str) -> None:
    """Off and uniform are the fair control: the same branches, each with the share 1 / M."""
    x, model = features(8, (6, 5)), build_mixer(name, 8, 12, (6, 5)).double().eval()
    block = model.get_submodule(name)
    if name == "split_attention":
        parts = block.bn0(block.conv(x)).relu().unflatten(1, (2, 12))
    else:
        parts = torch.stack([branch(share) for branch, share in zip(block.branches, x.split(4, dim=1), strict=True)], dim=1)
    for operation in ("off", "uniform"):
        with operated(model, Intervention(operation)) as edited:
            assert torch.allclose(edited(x), parts.mean(dim=1))
    assert not torch.allclose(model(x), parts.mean(dim=1))


@pytest.mark.parametrize(
    "operation", [name for name, entry in OPERATIONS.items() if MapKind.BRANCH in entry.kinds and entry.edit]
)
def test_operations_keep_shares_that_sum_to_one(operation: str) -> None:
    x, model = features(8, (6, 5)), build_mixer("selective_kernel", 8, 12, (6, 5), {"selective_kernel": {"split_input": False}})
    model.double().eval()
    with operated(model, Intervention(operation)) as edited, record_attention(edited) as maps:
        edited(x)
    assert torch.allclose(maps[0].values.sum(dim=1), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("name", ["bottleneck", "halo"])
def test_a_head_has_a_map_of_its_own_by_its_own_name(name: str) -> None:
    model = build_mixer(name, 8, 8, (5, 4), {name: {"heads": 2}}).double().eval()
    with record_attention(model) as maps:
        model(features(8, (5, 4)))
    assert [(seen.name, seen.head) for seen in maps] == [(f"{name}.tap#h1", 0), (f"{name}.tap#h2", 1)]
    assert not torch.equal(maps[0].values, maps[1].values)


def test_what_reaches_over_the_edge_has_no_place_in_the_map() -> None:
    """The map of local windows lies on the grid of the layer; one key in front stands for all beyond it."""
    model = build_mixer("halo", 8, 8, (6, 5), {"halo": {"heads": 1, "block": 4, "halo": 1}}).double().eval()
    with record_attention(model) as maps:
        model(features(8, (6, 5)))
    (seen,) = maps
    assert (seen.values.shape, seen.prefix, seen.grid, seen.queries) == ((2, 30, 31), 1, (6, 5), (6, 5))
    first = seen.values[0, 0, 1:].unflatten(0, (6, 5)) > 0  # the window of the first block: five rows and columns of the map
    assert first[:5].all() and not first[5:].any()
    assert 0 < seen.values[0, 0, 0] < 1


@pytest.mark.parametrize("name", ["bottleneck", "halo", "non_local", "dual"])
def test_maps_too_large_to_record_are_edited_all_the_same(name: str) -> None:
    """Of 33 x 32 positions nothing is recorded, and an edit gets some queries at a time."""
    x, model = features(8, (33, 32), 1), build_attention(name, 8, (33, 32), {name: {"heads": 2}} if name in mixers() else None)
    model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        with record_attention(model) as maps:
            y = model(x)
        assert not [seen for seen in maps if seen.kind is MapKind.PAIRWISE]
        with edit_attention(model, lambda seen: seen.values.clone()):
            assert torch.allclose(model(x), y)
        with edit_attention(model, lambda seen: torch.zeros_like(seen.values)):
            assert not torch.allclose(model(x), y)


@pytest.mark.parametrize("name", ["selective_kernel", "split_attention"])
def test_a_batch_of_one_image_does_not_end_a_training(name: str) -> None:
    """Batch norm of one vector has no variance: the running statistics stand in for it, and do not move."""
    options = {name: {"batch_norm": True}} if name == "split_attention" else None
    model = build_mixer(name, 8, 8, (4, 4), options).double().train()
    (norm,) = [module for module in model.modules() if isinstance(module, VectorBatchNorm)]
    assert norm.running_mean is not None
    norm.running_mean.add_(0.5)
    before = norm.running_mean.clone()
    model(features(8, (4, 4), 1)).sum().backward()
    assert torch.equal(norm.running_mean, before)
    model(features(8, (4, 4), 2))
    assert not torch.equal(norm.running_mean, before)
