"""The report's network (Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course report, 2023).

    block:  conv 3x3 pad 1, [attention], ReLU, BN, conv 3x3 no pad, [attention], ReLU, BN, max pool 2, Dropout2d
    net:    two blocks (3 -> 64, 64 -> 128), flatten, linear 512, ReLU, dropout, linear to the classes

Departures: it returns logits; the published code's ReLU and softmax after the last layer are a setting of the protocol. With
``dead_block`` one more block is built and counted but never called: this is the published network with "three hidden
layers", which computes the same function as the plain one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from attnlab.config import Placement
from attnlab.models._registry import BlockFactory, ImageShape, MixerFactory, no_mixer, register_model
from attnlab.models._stages import ALL, attended_stages, last_attention, no_attention

MIXES = "the second convolution of each block; the border that it would cut off is cut off after the mixer"


class ConvBlock(nn.Module):
    """Two convolutions, the second without padding, then pooling: (B, C, H, W) -> (B, C', (H-2)//2, (W-2)//2).

    Attention is placed directly after a convolution, before ReLU and batch norm, or at the end of the block, after pooling. A
    mixer takes the place of the second convolution; it keeps the map's size, so its border of one pixel is cut off.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: tuple[int, int],
        attention: BlockFactory,
        placement: Placement,
        spatial_dropout: float,
        mixer: MixerFactory,
    ) -> None:
        super().__init__()
        height, width = size
        self.out_size = ((height - 2) // 2, (width - 2) // 2)

        def place(where: tuple[Placement, ...], at: tuple[int, int]) -> nn.Module:
            block = attention(after, at) if placement in where else None
            return nn.Identity() if block is None else block

        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.attention1 = place(("every_conv", "block_first"), size)
        self.bn1 = nn.BatchNorm2d(after)
        mixed = mixer(after, after, size)
        self.conv2 = (
            nn.Conv2d(after, after, 3) if mixed is None else nn.Sequential(OrderedDict(mixer=mixed, cut=nn.ZeroPad2d(-1)))
        )
        self.attention2 = place(("every_conv",), (height - 2, width - 2))
        self.bn2 = nn.BatchNorm2d(after)
        self.pool = nn.MaxPool2d(2)
        self.attention_end = place(("block_end",), self.out_size)
        self.dropout = nn.Dropout2d(spatial_dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn1(torch.relu(self.attention1(self.conv1(x))))
        x = self.bn2(torch.relu(self.attention2(self.conv2(x))))
        return self.dropout(self.attention_end(self.pool(x)))


Readout = Literal["flatten", "mean", "max"]
"""What the classifier sees of the last map: all its values, or the mean or the maximum of each channel."""


@register_model(
    "small_cnn",
    title="Small CNN",
    paper="Madmoni and Ben-Or, Attention Mechanisms for Image Classification, course report, 2023",
    summary="The report's network: blocks of two convolutions and a small classifier, with attention where you place it.",
    width=64,
    min_size=4,
    placements=get_args(Placement),
    mixes=MIXES,
    options={
        "blocks": (1, 2, 3, 4),
        "stages": (ALL, "1", "2", "3", "4"),
        "dead_block": (False, True),
        "hidden": (64, 128, 256, 512),
        "readout": get_args(Readout),
        "spatial_dropout": (0.0, 0.1, 0.25),
        "dropout": (0.0, 0.25, 0.5),
    },
)
class SmallCnn(nn.Module):
    """Convolutional blocks, each twice as wide as the one before, then a classifier with one hidden layer.

    Args:
        shape: of one image; any number of channels, any size that leaves a map after the last block.
        classes: number of logits.
        attention: makes an attention block for the given channels and size.
        placement: ``every_conv``, ``block_first`` (after the first convolution of each block only), ``block_end``, or
            ``before_classifier`` (once, on the last map).
        width: channels of the first block; 64 in the report.
        blocks: number of blocks; each halves the map and doubles the channels.
        stages: the blocks with attention, ``"all"`` or one of them.
        dead_block: build one more block that is never called.
        hidden: units of the classifier's hidden layer.
        readout: what the classifier sees of the last map: ``flatten``, all of it, as in the report; ``mean`` or ``max`` of each
            channel, so that an object counts the same wherever it is.
        spatial_dropout, dropout: rates after each block and before the last layer.
        mixer: makes what takes the place of the second convolution of each block.

    Raises:
        ValueError: for fewer than one block or hidden unit, an image too small for the number of blocks, or attention in a
            block that there is not.
    """

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        blocks: int = 2,
        stages: str = ALL,
        dead_block: bool = False,
        hidden: int = 512,
        readout: Readout = "flatten",
        spatial_dropout: float = 0.25,
        dropout: float = 0.5,
        mixer: MixerFactory = no_mixer,
    ) -> None:
        super().__init__()
        if blocks < 1 or hidden < 1:
            raise ValueError(f"small_cnn needs at least one block and one hidden unit, got {blocks} and {hidden}")
        self.readout = readout
        attended = attended_stages(stages, blocks)
        size, before = (shape.height, shape.width), shape.channels
        self.blocks = nn.ModuleList()
        for i in range(blocks):
            if min(size) < 4:
                raise too_many_blocks("small_cnn", shape, blocks)
            chosen, mixed = (attention, mixer) if i + 1 in attended else (no_attention, no_mixer)
            block = ConvBlock(before, width * 2**i, size, chosen, placement, spatial_dropout, mixed)
            self.blocks.append(block)
            size, before = block.out_size, width * 2**i
        self.attention_last = last_attention(attention, placement, before, size)
        self.dead_block = (
            ConvBlock(before, 2 * before, size, attention, placement, spatial_dropout, mixer) if dead_block else None
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(before * (size[0] * size[1] if readout == "flatten" else 1), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published initialisation: Kaiming normal for parameters of two or more dimensions, zero biases."""
        for name, parameter in self.named_parameters():
            if parameter.dim() >= 2:
                nn.init.kaiming_normal_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        for block in self.blocks:
            x = block(x)
        x = self.attention_last(x)
        if self.readout == "mean":
            x = x.mean(dim=(2, 3))
        elif self.readout == "max":
            x = x.amax(dim=(2, 3))
        return self.classifier(x)


def too_many_blocks(network: str, shape: ImageShape, blocks: int) -> ValueError:
    """Says what would fit: each block needs a map of at least 4 x 4, takes 2 pixels away and halves what is left."""

    def needed(count: int) -> int:
        return 6 * 2 ** (count - 1) - 2

    fitting = 0
    while needed(fitting + 1) <= min(shape.height, shape.width):
        fitting += 1
    most = f"at most {fitting} block{'s' if fitting > 1 else ''}, or " if fitting else ""
    larger = f"images of at least {needed(blocks if blocks <= fitting + 2 else fitting + 1)} pixels"
    return ValueError(
        f"a {shape.height} x {shape.width} image is too small for {network} with {blocks} blocks; use {most}{larger}"
        + ("" if blocks <= fitting + 2 else " for one block more")
    )
