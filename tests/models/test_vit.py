"""The vision transformer: its maps, its readouts, the weights of others, and what is refused."""

import math

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import edit_attention, locate_maps, record_attention, to_spatial
from attnlab.config import ModelConfig
from attnlab.geometry import Axis
from attnlab.interop import ReferenceMismatch, load_reference, open_reference, reference_config
from attnlab.interop._sets import weight_sets
from attnlab.maps import MapKind, MapScale, tap_titles
from attnlab.models import ImageShape, build_model
from attnlab.models.vit import VisionTransformer

WIDTH = 48
SMALL = {"patch": 8, "depth": 3, "heads": 3}


def network(height: int = 32, across: int = 32, *, control: str = "none", **options: object) -> VisionTransformer:
    torch.manual_seed(0)
    config = ModelConfig(backbone="vit", width=WIDTH, options=SMALL | options, control=control)
    model = build_model(config, ImageShape(3, height, across), 10).eval()
    assert isinstance(model, VisionTransformer)
    with torch.no_grad():  # attention that differs from place to place
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape)
    return model


def images(height: int = 32, across: int = 32) -> Tensor:
    return torch.randn(2, 3, height, across, generator=torch.Generator().manual_seed(1))


def dino(x: Tensor, weights: dict[str, Tensor], heads: int, patch: int) -> tuple[Tensor, list[Tensor]]:
    """The class token after the last norm and the attention of each block, restated from the description of DINO's code."""

    def norm(tokens: Tensor, name: str) -> Tensor:
        return F.layer_norm(tokens, tokens.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-6)

    def linear(tokens: Tensor, name: str) -> Tensor:
        return tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    table = weights["pos_embed"]
    side = math.isqrt(table.shape[1] - 1)
    down, across = x.shape[2] // patch, x.shape[3] // patch
    if (down, across) != (side, side):
        grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        factors = ((down + 0.1) / side, (across + 0.1) / side)
        grid = F.interpolate(grid, scale_factor=factors, mode="bicubic")
        table = torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, down * across, -1)], dim=1)
    patches = F.conv2d(x, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=patch)
    tokens = torch.cat([weights["cls_token"].expand(len(x), -1, -1), patches.flatten(2).mT], dim=1) + table
    maps = []
    for block in (f"blocks.{index}" for index in range(100) if f"blocks.{index}.norm1.weight" in weights):
        query, key, value = (
            part.unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in linear(norm(tokens, f"{block}.norm1"), f"{block}.attn.qkv").chunk(3, dim=-1)
        )
        maps.append((query @ key.mT / math.sqrt(query.shape[-1])).softmax(dim=-1))
        tokens = tokens + linear((maps[-1] @ value).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        hidden = linear(norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1")
        tokens = tokens + linear(hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2, f"{block}.mlp.fc2")
    return norm(tokens, "norm")[:, 0], maps


def random_weights(model: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: value + 0.1 * torch.randn(value.shape, generator=generator) for name, value in model.state_dict().items()}


@torch.no_grad()
def maps_of(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with record_attention(model) as maps:
        model(x)
    return {each.name: each.values for each in maps}


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (24, 40), (16, 64)])
@torch.no_grad()
def test_weights_of_dino_give_its_features_and_maps_at_any_size(size: tuple[int, int]) -> None:
    weights = random_weights(timm.models.VisionTransformer(32, 8, embed_dim=WIDTH, depth=3, num_heads=3, num_classes=10))
    x = images(*size)
    features, maps = dino(x, weights, heads=3, patch=8)
    opened = open_reference(weights, heads="3")
    loaded = network(*size)
    load_reference(loaded, weights)  # its table of positions may have another size
    # A table for 2 x 8 patches is as long as one for 4 x 4, so nobody can tell that the file's was made for these.
    for model in [opened] if size == (16, 64) else [opened, loaded]:
        assert isinstance(model, VisionTransformer)
        torch.testing.assert_close(model.features(x), features, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(model(x), features @ weights["head.weight"].T + weights["head.bias"], rtol=1e-5, atol=1e-5)
        recorded = maps_of(model, x)
        assert len(recorded) == 9
        for block, expected in enumerate(maps):
            for head in range(3):
                found = recorded[f"blocks.{block}.attention.tap#h{head + 1}"]
                torch.testing.assert_close(found, expected[:, head], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("names", ["now", "distributed"])
@torch.no_grad()
def test_weights_of_torchvision_are_opened(names: str) -> None:
    theirs = torchvision.models.VisionTransformer(32, 8, 2, 3, WIDTH, 96, num_classes=7).eval()
    weights = random_weights(theirs)
    theirs.load_state_dict(weights)
    if names == "distributed":
        weights = {
            name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value for name, value in weights.items()
        }
    config, shape, classes = reference_config(weights, heads="3")
    assert (config.backbone, config.options["mlp_ratio"], shape, classes) == ("vit", 2, ImageShape(3, 32, 32), 7)
    torch.testing.assert_close(open_reference(weights, heads="3")(images()), theirs(images()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {"readout": "class_token", "registers": 0, "positions": "tokens"}),
        ({"reg_tokens": 4, "no_embed_class": True}, {"readout": "class_token", "registers": 4, "positions": "patches"}),
        ({"global_pool": "avg", "class_token": False}, {"readout": "mean", "registers": 0}),
        ({"global_pool": "avg", "reg_tokens": 4}, {"readout": "mean_beside_class_token", "registers": 4}),
        ({"num_classes": 0}, {}),
    ],
)
@torch.no_grad()
def test_weights_of_timm_are_opened(arguments: dict[str, object], expected: dict[str, object]) -> None:
    theirs = timm.models.VisionTransformer(
        32, 8, embed_dim=WIDTH, depth=2, num_heads=3, **({"num_classes": 10} | arguments)
    ).eval()
    weights = random_weights(theirs)
    theirs.load_state_dict(weights)
    torch.testing.assert_close(open_reference(weights, heads="3")(images()), theirs(images()), rtol=1e-5, atol=1e-5)
    if expected:
        options = reference_config(weights, heads="3")[0].options
        assert {name: options[name] for name in expected} == expected
    else:
        with pytest.raises(ValueError, match="without its classifier, so it makes no prediction"):
            reference_config(weights, heads="3")


def test_tokens_and_positions_which_lie_in_no_layer_belong_to_the_weights_of_a_file() -> None:
    weights = timm.models.VisionTransformer(32, 8, embed_dim=WIDTH, depth=1, num_heads=3, reg_tokens=2).state_dict()
    file = {f"model\x1fmodule.{name}": value for name, value in weights.items()} | {"epoch": torch.tensor(3)}
    (found,) = weight_sets(file)
    assert set(found.weights) == set(weights)


def test_what_the_shapes_leave_open_is_said_and_what_does_not_fit_is_named() -> None:
    weights = timm.models.VisionTransformer(32, 8, embed_dim=128, depth=1, num_heads=2, num_classes=10).state_dict()
    with pytest.warns(UserWarning, match="assuming heads='64 channels each'"):
        assert reference_config(weights)[0].options["heads"] == 2
    with pytest.raises(ReferenceMismatch, match=r"unexpected: blocks\.0\.ls1\.gamma"):
        open_reference(weights | {"blocks.0.ls1.gamma": torch.ones(128)}, heads="2")
    oblong = timm.models.VisionTransformer((40, 32), 8, embed_dim=WIDTH, depth=3, num_heads=3, num_classes=10).state_dict()
    with pytest.raises(ValueError, match=r"21 rows, .*load the weights with load_reference"):
        open_reference(oblong, heads="3")
    load_reference(network(40, 32), oblong)


@pytest.mark.parametrize("readout", ["class_token", "mean"])
@pytest.mark.parametrize("registers", [0, 4])
@torch.no_grad()
def test_maps_say_which_tokens_have_no_place(readout: str, registers: int) -> None:
    model, x = network(24, 40, readout=readout, registers=registers), images(24, 40)
    extra = registers + (readout == "class_token")
    with record_attention(model) as maps:
        recorded = model(x)
    assert torch.equal(recorded, model(x))
    for each in maps:
        assert (each.kind, each.scale, each.neutral) == (MapKind.PAIRWISE, MapScale.SOFTMAX, 0.0)
        assert (each.grid, each.queries, each.prefix) == ((3, 5), (3, 5), extra)
        assert each.values.shape == (2, 15 + extra, 15 + extra)
        torch.testing.assert_close(each.values.sum(-1), torch.ones(2, 15 + extra))
        assert to_spatial(each).shape == (2, 3, 5)
    titles = tap_titles([each.name for each in maps])
    assert titles["blocks.1.attention.tap#h3"] == "block 2 · head 3"


@torch.no_grad()
def test_an_edit_of_one_head_changes_the_forward_and_only_that() -> None:
    model, x = network(), images()

    def only_the_class_token(attention: object) -> Tensor | None:
        if attention.name != "blocks.2.attention.tap#h2":  # type: ignore[attr-defined]
            return None
        return F.one_hot(torch.zeros(2, 17, dtype=torch.long), 17).float()

    plain = model(x)
    with edit_attention(model, only_the_class_token):
        assert (model(x) - plain).abs().max() > 1e-3
    with edit_attention(model, lambda attention: None):
        assert torch.equal(model(x), plain)
    with edit_attention(model, lambda attention: attention.values.clone()):
        torch.testing.assert_close(model(x), plain)


@torch.no_grad()
def test_a_control_reads_all_tokens_alike() -> None:
    fixed, free, x = network(control="neutral"), network(), images()
    assert all(values.eq(1 / 17).all() for values in maps_of(fixed, x).values())
    with edit_attention(free, lambda attention: torch.full_like(attention.values, 1 / 17)):
        torch.testing.assert_close(free(x), fixed(x))
    assert not torch.allclose(free(x), fixed(x))
    assert not torch.allclose(fixed(x)[0], fixed(x)[1])  # the class token still sees the picture


@pytest.mark.parametrize("stem", ["patches", "convolutions"])
@pytest.mark.parametrize("patch", [2, 4, 8])
def test_each_map_lies_on_its_patches(patch: int, stem: str) -> None:
    model = network(22, 35, patch=patch, stem=stem, depth=1)
    assert model.grid == (-(-22 // patch), -(-35 // patch))
    cells = locate_maps(model, (3, 22, 35))["blocks.0.attention.tap"]
    assert (cells.rows.start, cells.rows.step) == (cells.columns.start, cells.columns.step) == (patch / 2, patch)
    assert stem == "convolutions" or cells.rows == Axis(patch / 2, patch, patch)


@torch.no_grad()
def test_large_maps_are_edited_and_their_rows_computed_but_not_recorded() -> None:
    model = network(132, 128, patch=4, depth=1, registers=4)
    x, block = images(132, 128)[:1], model.blocks[0].attention
    assert maps_of(model, x) == {}
    plain, seen = model(x), []

    def look(attention: object) -> Tensor:
        seen.append(attention.values)  # type: ignore[attr-defined]
        return attention.values.clone()  # type: ignore[attr-defined, no-any-return]

    with edit_attention(model, look):
        torch.testing.assert_close(model(x), plain, rtol=1e-4, atol=1e-4)
    entering = []
    hook = block.register_forward_pre_hook(lambda module, inputs: entering.append(inputs[0]))
    model(x)
    hook.remove()
    whole = torch.cat(seen[::3], dim=1)[0]  # the first head, in pieces of its queries
    at = 5 + 2 * 32 + 7
    row, column = block.row(entering[0], [(2, 7)])[0, 0, 0], block.column(entering[0], (2, 7))[0, 0]
    torch.testing.assert_close(row.flatten(), whole[at, 5:])
    torch.testing.assert_close(column.flatten(), whole[5:, at])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, r"a width of 48 into 5 heads; set heads to 1, 2, 3, 4, 6, 8 or 12"),
        ({"patch": 6, "stem": "convolutions"}, "patch must be 2, 4, 8 or 16; got 6"),
        ({"readout": "median"}, "readout must be one of 'class_token', 'mean'"),
        ({"depth": 0}, "depth and mlp_ratio must be at least 1"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        network(**options)
