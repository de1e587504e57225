"""Every network and block that has a public reference, beside an independent evaluation of that reference.

`tests/interop/test_parity.py` asserts that they agree; `python -m benchmarks.parity` writes what was measured to
docs/parity.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import timm
import torch
import torchvision
from timm.layers.cbam import CbamModule, ChannelAttn, SpatialAttn
from timm.layers.eca import EcaModule
from timm.layers.squeeze_excite import SEModule
from torch import Tensor, nn

from attnlab.config import ModelConfig
from attnlab.interop.blocks import cbam_name, eca_name, self_attention_name
from attnlab.interop.networks import attention_vgg16_name, pay_attention_name
from attnlab.interop.report import small_cnn_name
from attnlab.models import ImageShape, build_model
from attnlab.models.report import REPORT_ROWS, report_model
from tests.interop import independent, parity_gates, parity_mixing, parity_tokens
from tests.interop.parity import Case, Reference, Size, block, functional, module, network, same_name, without_mode


def cases() -> Iterator[Case]:
    """All cases, in the order of the table."""
    yield from _report()
    yield from _blocks()
    yield from parity_gates.cases()
    yield from parity_mixing.cases()
    yield from _guided()
    yield from _residual()
    yield from parity_tokens.cases()


def _report() -> Iterator[Case]:
    any_size: tuple[Size, ...] = ((32, 32), (28, 40))
    for label, row in REPORT_ROWS.items():
        autoencoder = "conv_autoencoder" in row.attention
        yield Case(
            f"report: {label}",
            "restated from the description of the published code" + (", which fixes the size" if autoencoder else ""),
            3,
            any_size[:1] if autoencoder else any_size,
            lambda size, label=label: build_model(report_model(label), ImageShape(3, *size), 10),
            functional(independent.report_logits, small_cnn_name),
        )


def _blocks() -> Iterator[Case]:
    sizes: tuple[Size, ...] = ((8, 8), (9, 7), (1, 1))
    for channels in (64, 128, 512):
        yield Case(
            f"eca, kernel_size adaptive, C = {channels}",
            "timm.layers.EcaModule",
            channels,
            sizes,
            block("eca", channels=channels, kernel_size="adaptive"),
            module(lambda ours, channels=channels: EcaModule(channels), lambda name: name.removeprefix("eca.")),
        )
    for kernel in (3, 7):
        yield Case(
            f"eca, kernel_size {kernel}",
            "restated from the description of BangguWu/ECANet",
            64,
            sizes,
            block("eca", kernel_size=kernel),
            functional(without_mode(independent.eca), eca_name, "eca."),
        )
    yield Case(
        "squeeze_excite, C = 64",
        "timm.layers.SEModule with rd_channels = 4; by itself it rounds C / 16 to a multiple of 8, and has 8 hidden units here",
        64,
        sizes,
        block("squeeze_excite"),
        module(lambda ours: SEModule(64, rd_channels=4), _convolutional, _as_convolution),
    )
    yield Case(
        "squeeze_excite, reduction 8",
        "torchvision.ops.SqueezeExcitation",
        64,
        sizes,
        block("squeeze_excite", reduction=8),
        module(lambda ours: torchvision.ops.SqueezeExcitation(64, 8), _convolutional, _as_convolution),
    )
    yield from _cbam(sizes)
    yield Case(
        "conv_autoencoder",
        "restated from the description of the published code, which knows four sizes",
        64,
        ((32, 32), (30, 30), (15, 15), (13, 13)),
        block("conv_autoencoder"),
        functional(without_mode(independent.conv_autoencoder), same_name, "conv_autoencoder."),
    )
    yield Case(
        "linear_autoencoder",
        "restated from the description of the published code",
        64,
        ((32, 32), (30, 30), (9, 7)),
        block("linear_autoencoder"),
        functional(without_mode(independent.linear_autoencoder), same_name, "linear_autoencoder."),
    )
    yield from _self_attention(sizes)


def _cbam(sizes: tuple[Size, ...]) -> Iterator[Case]:
    words = "timm's {}; it concatenates [mean, max] where ours has [max, mean] (weights swapped here)"
    without = ", and by default has no biases in its MLP (here ours are zero)"
    yield Case(
        "cbam",
        "restated from the description of Jongchan/attention-module",
        64,
        sizes[:2],
        block("cbam"),
        functional(lambda x, state, train: independent.cbam(x, state, "", train=train), cbam_name, "cbam."),
    )
    yield Case(
        "cbam_channel",
        "timm's ChannelAttn with mlp_bias",
        64,
        sizes,
        block("cbam_channel"),
        module(lambda ours: ChannelAttn(64, mlp_bias=True), _convolutional, _as_convolution),
    )
    yield Case(
        "cbam_spatial",
        words.format("SpatialAttn") + "; the momentum of its batch norm is 0.1, ours 0.01 as in the official code",
        64,
        sizes[:2],
        block("cbam_spatial"),
        module(lambda ours: SpatialAttn(7), lambda name: f"conv.{name.removeprefix('cbam_spatial.')}", _swapped),
        statistics=False,
    )
    yield Case(
        "cbam, reduction 8",
        words.format("CbamModule") + without,
        64,
        sizes[:2],
        block("cbam", reduction=8),
        module(
            lambda ours: CbamModule(64, rd_ratio=1 / 8), _cbam_of_timm, lambda name, w: _swapped(name, _as_convolution(name, w))
        ),
        statistics=False,
    )


def _self_attention(sizes: tuple[Size, ...]) -> Iterator[Case]:
    for reduction in (8, 2):
        yield Case(
            f"self_attention, reduction {reduction}",
            "restated from the forum thread's listing (heykeetae/Self-Attention-GAN)",
            64,
            sizes,
            block("self_attention", reduction=reduction),
            functional(without_mode(independent.self_attention), self_attention_name, "self_attention."),
        )
    yield Case(
        "self_attention, 4 heads, scaled, reduction 1",
        "torch.nn.MultiheadAttention with an output projection that changes nothing",
        64,
        sizes,
        block("self_attention", heads=4, scaled=True, reduction=1),
        _multihead,
    )


def _guided() -> Iterator[Case]:
    for pooling in ("before", "after"):
        for normalize in ("softmax", "sigmoid"):
            options = {"pooling": pooling, "normalize": normalize}
            yield Case(
                f"pay_attention_vgg, width 8, {pooling} pooling, {normalize}",
                "restated from the description of SaoYan/LearnToPayAttention",
                3,
                ((32, 32), (64, 32)),
                network(backbone="pay_attention_vgg", width=8, options=options),
                functional(
                    partial(independent.learn_to_pay_attention, pooling=pooling, normalize=normalize), pay_attention_name
                ),
            )
    for normalize in ("softmax", "sigmoid"):
        yield Case(
            f"attention_vgg16, width 8, {normalize}",
            "restated from the article's listing",
            3,
            ((64, 64), (96, 64)),
            network(backbone="attention_vgg16", width=8, options={"normalize": normalize}),
            functional(partial(independent.vgg16_with_gates, normalize=normalize), attention_vgg16_name),
        )
    yield Case(
        "attention_vgg16, its five blocks",
        "torchvision.models.vgg16_bn().features",
        3,
        ((32, 32), (64, 32)),
        lambda size: _Features(build_model(ModelConfig(backbone="attention_vgg16"), ImageShape(3, *size), 10)),
        module(lambda ours: nn.Sequential(torchvision.models.vgg16_bn(weights=None).features), _vgg_name),
    )


def _residual() -> Iterator[Case]:
    sizes: tuple[Size, ...] = ((64, 64), (48, 96), (33, 45))
    yield Case(
        "resnet18",
        "torchvision.models.resnet18",
        3,
        sizes,
        network(backbone="resnet18"),
        module(lambda ours: torchvision.models.resnet18(num_classes=10), lambda name: name.removeprefix("stem.")),
    )
    placed = "timm's resnet18 with its {} after the last batch norm of each residual block"
    attended = {
        "squeeze_excite": ("SEModule (C / 16 hidden units, not rounded)", partial(SEModule, rd_divisor=1), {}),
        "eca": ("EcaModule", EcaModule, {"kernel_size": "adaptive"}),
    }
    for variant, (words, layer, options) in attended.items():
        yield Case(
            f"resnet18 + {variant}, placement block_end",
            placed.format(words),
            3,
            sizes[:1],
            network(backbone="resnet18", attention=variant, attention_options={variant: options}, placement="block_end"),
            module(
                lambda ours, layer=layer: timm.create_model(
                    "resnet18", num_classes=10, block_args={"attn_layer": layer}, zero_init_last=False
                ),
                lambda name, variant=variant: _convolutional(
                    name.removeprefix("stem.").replace(f".attention.{variant}.", ".se.")
                ),
                _as_convolution,
            ),
        )
    yield Case(
        "resnet_cifar, depth 8",
        "restated from the paper (He et al. 2016, section 4.2, option A)",
        3,
        ((32, 32), (16, 24)),
        network(backbone="resnet_cifar", options={"depth": 8}),
        functional(independent.resnet_cifar, same_name),
    )


# Names and shapes of the references


def _convolutional(name: str) -> str:
    """``squeeze_excite.mlp.0.bias`` -> ``fc1.bias``; inside a network, the path before it is kept."""
    path, found, layer = name.rpartition("mlp.")
    if not found:
        return name
    number, _, leaf = layer.partition(".")
    path = path.removesuffix("squeeze_excite.").removesuffix("cbam_channel.")
    return f"{path}fc{1 if number == '0' else 2}.{leaf}"


def _as_convolution(name: str, value: Tensor) -> Tensor:
    """The weight of a linear layer over channels as that of a 1x1 convolution."""
    return value[:, :, None, None] if ".mlp." in name and value.dim() == 2 else value


def _swapped(name: str, value: Tensor) -> Tensor:
    """The 7x7 convolution over [max, mean] as one over [mean, max]."""
    return value.flip(1) if name.endswith("conv.weight") else value


def _cbam_of_timm(name: str) -> str | None:
    """``cbam.channel.mlp.0.weight`` -> ``channel.fc1.weight``; biases of the MLP have no counterpart."""
    name = name.removeprefix("cbam.")
    if name.startswith("channel"):
        return None if name.endswith("bias") else f"channel.fc{1 if '.0.' in name else 2}.weight"
    return name.replace("spatial.", "spatial.conv.")


class _Features(nn.Module):
    """The convolutional part of our VGG16: its blocks, each followed by max pooling."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.blocks = network.get_submodule("blocks")

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.blocks.children():
            x = nn.functional.max_pool2d(stage(x), 2)
        return x


def _vgg_name(name: str) -> str:
    """``blocks.1.3.weight`` -> ``0.10.weight``: the layers of a block follow those of the blocks before and a pooling each."""
    _, block, layer, leaf = name.split(".")
    return f"0.{(0, 7, 14, 24, 34)[int(block)] + int(layer)}.{leaf}"


def _multihead(ours: nn.Module) -> Reference:
    theirs = nn.MultiheadAttention(64, 4, batch_first=True).double()
    shapes = {"weight": (64, 64), "bias": (64,)}
    state = {
        f"{part}.{leaf}": torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        for part in ("query", "key", "value")
        for leaf, shape in shapes.items()
    }
    state["gamma"] = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, train: bool) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        weights = {
            "in_proj_weight": torch.cat([state[f"{part}.weight"] for part in ("query", "key", "value")]),
            "in_proj_bias": torch.cat([state[f"{part}.bias"] for part in ("query", "key", "value")]),
            "out_proj.weight": torch.eye(64, dtype=torch.float64),
            "out_proj.bias": torch.zeros(64, dtype=torch.float64),
        }
        attended, _ = torch.func.functional_call(theirs, weights, (tokens, tokens, tokens))
        return x + state["gamma"] * attended.transpose(1, 2).reshape(x.shape)

    return Reference(
        run,
        state,
        lambda name: name.removeprefix("self_attention."),
        lambda name, value: value.flatten(1) if value.dim() == 4 else value,
    )
