"""The computed place of every map against what the features really depend on: the gradients of the network."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import Located, attention_taps, locate_calls, locate_maps, record_attention, with_cells
from attnlab.config import ModelConfig
from attnlab.geometry import Axis, Cells
from attnlab.maps import MapKind
from attnlab.models import ImageShape, build_model, get_model, list_models

SIZE = (128, 160)


def networks() -> Iterator[tuple[str, str, str, dict[str, object]]]:
    """Every network, where it has a choice with attention at every convolution or the ends of blocks."""
    for name in list_models():
        info = get_model(name)
        placements = info.placements or ("block_end",)
        heads: dict[str, object] = {"heads": 1} if "heads" in info.options else {}
        for placement in placements:
            yield name, "none" if info.own_attention and not info.placements else "eca+cbam_spatial", placement, heads
    yield "pay_attention_vgg", "none", "block_end", {"pooling": "after"}
    yield "resnet_cifar", "none", "block_end", {"depth": 8, "gates": "sigmoid"}


def features_at(model: nn.Module, blocks: dict[str, nn.Module], picture: Tensor) -> dict[str, Tensor]:
    """The features that enter some blocks, with their graph; tokens as a map."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, block in blocks.items():

        def keep(module: nn.Module, inputs: tuple[Tensor, ...], name: str = name) -> None:
            features = inputs[-1]  # a readout gets its scores first, then the features
            if features.ndim == 3:  # tokens, those without a position first
                grid = model.get_submodule("blocks.0.attention").grid
                features = features[:, -math.prod(grid) :].transpose(1, 2).unflatten(2, grid)
            seen[name] = features

        hooks.append(block.register_forward_pre_hook(keep))
    model(picture)
    for hook in hooks:
        hook.remove()
    return seen


def linear(model: nn.Module) -> nn.Module:
    """The network with every weight positive and every bias 0, so that no path to a pixel cancels another."""
    for name, parameter in model.named_parameters():
        nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):  # which makes the same of all features of a token that are the same
            module.forward = nn.Identity().forward  # type: ignore[method-assign]
    return model.eval()


@pytest.mark.parametrize(("backbone", "attention", "placement", "options"), list(networks()))
def test_cells_lie_where_the_gradients_are(
    backbone: str, attention: str, placement: str, options: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Max pooling passes gradients to one pixel of its window; the mean passes them to all it may depend on. Rectifiers pass
    # everything while all is positive.
    monkeypatch.setattr(F, "max_pool2d", lambda x, *args, **kwargs: F.avg_pool2d(x, *args))
    config = ModelConfig(backbone=backbone, attention=attention, placement=placement, width=2, options=options)
    model = linear(build_model(config, ImageShape(3, *SIZE), 3))
    for module in [each for each in model.modules() if isinstance(each, nn.MaxPool2d)]:
        assert isinstance(module.kernel_size, int)
        module.forward = nn.AvgPool2d(module.kernel_size, module.stride, module.padding).forward  # type: ignore[method-assign]
    # Blocks are taken out of the way: their own reach is not part of a map's place.
    taps = [name for name, tap in attention_taps(model).items() if tap.kind is not MapKind.CHANNEL]
    located = locate_maps(model, (3, *SIZE))
    assert taps and set(taps) <= set(located)
    blocks = {name: model.get_submodule(name.rpartition(".")[0]) for name in taps}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in ("attention", "attention1", "attention2", "attention_end") and not isinstance(
            module, nn.Identity
        ):
            module.register_forward_hook(lambda module, inputs, output: inputs[0])
    picture = torch.ones(1, 3, *SIZE, requires_grad=True)
    for name, features in features_at(model, blocks, picture).items():
        cells = located[name]
        assert features.ndim == 4
        row, column = (inner(axis, features.shape[2 + i], SIZE[i]) for i, axis in enumerate((cells.rows, cells.columns)))
        (gradient,) = torch.autograd.grad(features[0, :, row, column].sum(), picture, retain_graph=True)
        reach = gradient[0].abs().sum(0) > 0
        for axis, index, seen in ((cells.rows, row, reach.any(1)), (cells.columns, column, reach.any(0))):
            low = axis.start + index * axis.step - axis.field / 2
            length = len(seen)
            inside = [max(0, low), min(length, low + axis.field)]
            places = seen.nonzero().flatten()
            assert [int(places[0]), int(places[-1]) + 1] == inside, (name, axis, index)


def inner(axis: Axis, count: int, length: int) -> int:
    """The cell nearest to the middle of the picture, whose field is cut least."""
    return min(range(count), key=lambda k: abs(axis.start + k * axis.step - length / 2))


def test_the_report_network_by_hand() -> None:
    model = build_model(
        ModelConfig(backbone="small_cnn", attention="cbam_spatial", placement="every_conv", width=4), ImageShape(3, 32, 32), 10
    )
    located = locate_maps(model, (3, 32, 32))
    wanted = {
        "0.attention1": (0.5, 1, 3),
        "0.attention2": (1.5, 1, 5),
        "1.attention1": (2.0, 2, 10),
        "1.attention2": (4.0, 2, 14),
    }
    assert {name: (place.rows.start, place.rows.step, place.rows.field) for name, place in located.items()} == {
        f"blocks.{name}.cbam_spatial.tap": place for name, place in wanted.items()
    }


@pytest.mark.parametrize("attention", ["none", "conv_autoencoder", "linear_autoencoder+eca", "self_attention"])
def test_attention_does_not_move_what_comes_after_it(attention: str) -> None:
    model = build_model(
        ModelConfig(backbone="small_cnn", attention=attention, placement="every_conv", width=8), ImageShape(3, 32, 32), 10
    )
    last = model.get_submodule("blocks.1.conv2")
    assert locate_calls(model, (3, 32, 32), {"last": last})["last"] == Located(
        Cells(Axis(2.0, 2, 10), Axis(2.0, 2, 10)), Cells(Axis(4.0, 2, 14), Axis(4.0, 2, 14))
    )


def test_pooled_keys_lie_between_their_queries() -> None:
    config = ModelConfig(
        backbone="small_cnn",
        attention="self_attention",
        placement="block_end",
        width=8,
        attention_options={"self_attention": {"pooled_keys": True}},
    )
    model = build_model(config, ImageShape(3, 50, 50), 3).eval()
    with torch.inference_mode(), record_attention(model) as maps:
        model(torch.zeros(1, 3, 50, 50))
    first = with_cells(maps[0], locate_maps(model, (3, 50, 50)))
    assert maps[0].cells is None and first.cells is not None
    # 50 pixels -> 48 rows of 1 pixel -> 24 queries, 2 pixels apart from 2.0 on -> 12 keys, each of two queries.
    assert first.grid == (12, 12)
    assert first.cells.rows.centres(3).tolist() == [3.0, 7.0, 11.0]


def test_a_margin_has_one_cell_across_the_whole_map() -> None:
    """32 pixels, a convolution with and one without padding: 30 positions from pixel 1.5 on, and one cell for all of them."""
    for attention in ("coordinate", "triplet"):
        config = ModelConfig(attention=attention, placement="every_conv", width=8)
        model = build_model(config, ImageShape(3, 32, 32), 3)
        located = locate_maps(model, (3, 32, 32))
        rows, columns = (located[f"blocks.0.attention2.{attention}.{side}.tap"] for side in ("rows", "columns"))
        assert (rows.rows, rows.columns) == (columns.columns, columns.rows)
        assert (rows.rows.start, rows.rows.step) == (1.5, 1)
        assert rows.frame((30, 1), (32, 32)) == columns.frame((1, 30), (32, 32)) == (1 / 32, 1 / 32, 31 / 32, 31 / 32)


class Odd(nn.Module):
    """Operations that networks of others use, one after the other."""

    def __init__(self, after: nn.Module) -> None:
        super().__init__()
        self.after = after
        self.block = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.after(x))


class Do(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize(
    ("operation", "rows"),
    [
        (nn.Conv2d(1, 1, 4, stride=2, padding=1), (1.0, 2, 4)),
        (nn.Conv2d(1, 1, (3, 5), padding="same"), (0.5, 1, 3)),
        (nn.Conv2d(1, 1, 3, dilation=2), (2.5, 1, 5)),
        (nn.ConvTranspose2d(1, 1, 2, stride=2), (0.25, 0.5, 1)),
        (nn.AvgPool2d(3, 2, 1), (0.5, 2, 3)),
        (nn.AdaptiveAvgPool2d((4, 4)), (2.0, 4, 4)),
        (nn.AdaptiveMaxPool2d((4, 4)), (2.0, 4, 4)),
        (Do(lambda x: x[:, :, 3:-1:2, 1:]), (3.5, 2, 1)),
        (Do(lambda x: F.pad(x, (0, 0, 2, 1))), (-1.5, 1, 1)),
        (Do(lambda x: F.interpolate(x, scale_factor=2)), (0.25, 0.5, 1)),
        (Do(lambda x: torch.cat([x, torch.relu(x) + 1], dim=1) * x.mean(dim=1, keepdim=True)), (0.5, 1, 1)),
        (Do(lambda x: x.flip(2)), None),
        (Do(lambda x: x.transpose(2, 3)), None),
        (Do(lambda x: x.flatten(2).softmax(2).view_as(x)), None),
    ],
)
def test_operations(operation: nn.Module, rows: tuple[float, float, float] | None) -> None:
    model = Odd(operation)
    entering = locate_calls(model, (1, 16, 16), {"block": model.block})["block"].entering
    assert (entering and entering.rows) == (rows and Axis(*rows))
    assert not model.block._forward_hooks and model.training
