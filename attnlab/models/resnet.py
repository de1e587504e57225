"""Residual networks (He et al., CVPR 2016, arXiv:1512.03385) with attention blocks at chosen places.

    y = relu(shortcut(x) + bn(conv(relu(bn(conv(x))))))

Two forms. The CIFAR form has one 3x3 convolution, three stages of n blocks with w, 2w, 4w channels (w = 16), depth 6n + 2,
and shortcuts without parameters (every second pixel, zeros for missing channels: the paper's option A). The ImageNet form
is torchvision's resnet18 with its names and shapes, so that its weights load; its shortcuts are projections.

Placement of attention in each residual block of the chosen stages:

    every_conv    after each of the two convolutions, before their batch norms (as in the report's CNN)
    block_first   after the first convolution only, before its batch norm
    block_end     after the last batch norm, before the shortcut is added (as in the SE, CBAM and ECA papers)

or once in the network, whatever the stages:

    before_classifier   on the output of the last stage, before its mean is taken

A mixer takes the place of the second convolution of each residual block of the chosen stages.

With ``gates`` the classifier also reads the two stages before the last through gates that the last one guides
(`attnlab.models._gated_head`), with or without attention blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._gates import require_choice
from attnlab.config import Placement
from attnlab.models._gated_head import GatedHead
from attnlab.models._registry import BlockFactory, ImageShape, MixerFactory, no_mixer, register_model
from attnlab.models._stages import attended_stages, last_attention, no_attention

PAPER = "https://arxiv.org/abs/1512.03385"
Gates = Literal["none", "softmax", "sigmoid"]
Size = tuple[int, int]


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. Names as in torchvision.

    Args:
        inputs: channels in.
        outputs: channels out.
        stride: of the first convolution.
        projection: where shapes differ, the shortcut is a 1x1 convolution with batch norm; otherwise subsampling and zeros.
        size: (H, W) of the output.
        attention: makes an attention block, or `None`.
        placement: see the top of this file.
        mixer: makes what takes the place of the second convolution, or `None`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        *,
        projection: bool,
        size: Size,
        attention: BlockFactory,
        placement: Placement,
        mixer: MixerFactory,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        mixed = mixer(outputs, outputs, size)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False) if mixed is None else mixed
        self.bn2 = nn.BatchNorm2d(outputs)
        self.attention1 = attention(outputs, size) if placement in ("every_conv", "block_first") else None
        self.attention2 = attention(outputs, size) if placement == "every_conv" else None
        self.attention = attention(outputs, size) if placement == "block_end" else None
        self.stride = stride
        self.missing = outputs - inputs
        self.downsample = None
        if projection and (stride != 1 or inputs != outputs):
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(x)
        if self.attention1 is not None:
            y = self.attention1(y)
        y = self.conv2(F.relu(self.bn1(y)))
        if self.attention2 is not None:
            y = self.attention2(y)
        y = self.bn2(y)
        if self.attention is not None:
            y = self.attention(y)
        return F.relu(y + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        if self.downsample is not None:
            return self.downsample(x)
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.missing)) if self.missing else x


class ResNet(nn.Module):
    """Stem, stages, and a classifier on the mean of the last stage.

    Args:
        stem: turns images into the first map, of ``widths[0]`` channels.
        size: (H, W) of that map.
        widths: channels of each stage; every stage but the first halves the map, rounding up.
        counts: residual blocks in each stage.
        attended: the stages, counted from 1, that get attention blocks or mixers.
        mixer: see `ResidualBlock`.
    """

    def __init__(
        self,
        stem: nn.Sequential,
        size: Size,
        widths: Sequence[int],
        counts: Sequence[int],
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        projection: bool,
        attended: Sequence[int],
        gates: Gates,
        mixer: MixerFactory,
    ) -> None:
        super().__init__()
        require_choice("gates", gates, get_args(Gates))
        self.stem = stem
        self.stages = [f"layer{index}" for index in range(1, len(widths) + 1)]
        inputs = widths[0]
        for index, (name, outputs, count) in enumerate(zip(self.stages, widths, counts, strict=True), start=1):
            stride = 1 if index == 1 else 2
            size = (-(-size[0] // stride), -(-size[1] // stride))
            blocks = []
            for number in range(count):
                blocks.append(
                    ResidualBlock(
                        inputs,
                        outputs,
                        1 if number else stride,
                        projection=projection,
                        size=size,
                        attention=attention if index in attended else no_attention,
                        placement=placement,
                        mixer=mixer if index in attended else no_mixer,
                    )
                )
                inputs = outputs
            self.add_module(name, nn.Sequential(*blocks))
        self.attention_last = last_attention(attention, placement, inputs, size)
        if gates == "none":
            self.fc: nn.Module = nn.Linear(inputs, classes)
        else:
            local = dict(zip(self.stages[-3:-1], widths[-3:-1], strict=True))
            self.fc = GatedHead(local, inputs, classes, normalize=gates)
        for part in (self.stem, *(self.get_submodule(name) for name in self.stages)):
            for path, module in part.named_modules():
                inside = "attention" in path or "conv2." in path  # of a block or a mixer, which start in their own way
                if isinstance(module, nn.Conv2d) and not inside:
                    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        x = self.stem(x)
        maps = {}
        for name in self.stages:
            x = self.get_submodule(name)(x)
            maps[name] = x
        x = self.attention_last(x)
        return self.fc(maps, x) if isinstance(self.fc, GatedHead) else self.fc(x.mean(dim=(2, 3)))


@register_model(
    "resnet_cifar",
    title="ResNet (CIFAR form)",
    paper=PAPER,
    summary="The residual network for small images: 3x3 convolutions, 8 to 56 layers, attention in its residual blocks.",
    width=16,
    min_size=8,
    placements=get_args(Placement),
    mixes="the second convolution of each residual block",
    options={"depth": (20, 8, 14, 32, 44, 56), "stages": ("all", "1", "2", "3"), "gates": get_args(Gates)},
)
class ResNetCifar(ResNet):
    """0.27 million parameters at depth 20 and width 16, as in the paper.

    Args:
        shape: images; sides of at least 8.
        width: channels of the first stage.
        depth: 6n + 2 layers.
        stages: which of the three stages get attention blocks.
        gates: ``"softmax"`` or ``"sigmoid"`` gates on stages 1 and 2, guided by stage 3.
        mixer: see `ResidualBlock`.

    Raises:
        ValueError: for a depth that is not 6n + 2, or an option value that is not offered.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        depth: int = 20,
        stages: str = "all",
        gates: Gates = "none",
        mixer: MixerFactory = no_mixer,
    ) -> None:
        if depth < 8 or depth % 6 != 2:
            raise ValueError(f"the depth of resnet_cifar must be 6n + 2 (8, 14, 20, ...), got {depth}")
        stem = nn.Sequential(nn.Conv2d(shape.channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        super().__init__(
            stem,
            (shape.height, shape.width),
            (width, 2 * width, 4 * width),
            [(depth - 2) // 6] * 3,
            classes,
            attention,
            placement=placement,
            projection=False,
            attended=attended_stages(stages, 3),
            gates=gates,
            mixer=mixer,
        )


@register_model(
    "resnet18",
    title="ResNet-18",
    paper=PAPER,
    summary="torchvision's ResNet-18, with attention in the residual blocks of all stages or one.",
    width=64,
    min_size=32,
    placements=get_args(Placement),
    mixes="the second convolution of each residual block",
    options={"stages": ("all", "1", "2", "3", "4"), "gates": get_args(Gates), "pretrained": ("none", "imagenet")},
)
class ResNet18(ResNet):
    """11,689,512 parameters for 1000 classes at width 64, as in torchvision.

    Args:
        shape: images; sides of at least 32.
        width: channels of the first stage (w); the others have 2w, 4w, 8w.
        stages: which of the four stages get attention blocks.
        gates: ``"softmax"`` or ``"sigmoid"`` gates on stages 2 and 3, guided by stage 4.
        mixer: see `ResidualBlock`.
        pretrained: the weights a training starts from: ``"none"``, ``"imagenet"`` or the path of a weights file. Kept as an
            attribute for `attnlab.interop.start_weights`; the constructor itself neither reads nor downloads.

    Raises:
        ValueError: for an option value that is not offered.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        stages: str = "all",
        gates: Gates = "none",
        pretrained: str = "none",
        mixer: MixerFactory = no_mixer,
    ) -> None:
        stem = nn.Sequential()
        stem.add_module("conv1", nn.Conv2d(shape.channels, width, 7, stride=2, padding=3, bias=False))
        stem.add_module("bn1", nn.BatchNorm2d(width))
        stem.add_module("relu", nn.ReLU())
        stem.add_module("maxpool", nn.MaxPool2d(3, stride=2, padding=1))
        super().__init__(
            stem,
            (-(-shape.height // 4), -(-shape.width // 4)),
            (width, 2 * width, 4 * width, 8 * width),
            [2, 2, 2, 2],
            classes,
            attention,
            placement=placement,
            projection=True,
            attended=attended_stages(stages, 4),
            gates=gates,
            mixer=mixer,
        )
        self.pretrained = pretrained
