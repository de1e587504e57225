"""Convolutional Block Attention Module (Woo et al., ECCV 2018, arXiv:1807.06521).

    channel:  c = sigmoid(MLP(mean_hw(x)) + MLP(max_hw(x)))
    spatial:  s = sigmoid(BN(conv7x7([max_c(x); mean_c(x)])))
    CBAM:     x' = c * x,   y = s(x') * x'

Departures from the paper, as in the official code: batch norm (momentum 0.01) after the 7x7 convolution, and the order
[max; mean]. The channel and the spatial part are variants of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind

PAPER = "https://arxiv.org/abs/1807.06521"
KERNEL_SIZES = (3, 5, 7)


@register_attention(
    "cbam_channel",
    title="CBAM channel",
    paper=PAPER,
    summary="One weight per channel, from its mean and its maximum through a shared bottleneck network.",
    formula=r"c = \sigma(\mathrm{MLP}(\mathrm{mean}_{hw}\,x) + \mathrm{MLP}(\max_{hw} x)),\quad y = c \odot x",
    kinds=[MapKind.CHANNEL],
    options={"reduction": REDUCTIONS, "min_hidden": MIN_HIDDEN},
    new_runs={"min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Says which kinds of pattern matter, from their mean and their strongest answer. It cannot say where.",
    symbols=[
        Symbol(r"\mathrm{mean}_{hw}\,x", "mean of the channel", "mean()"),
        Symbol(r"\max_{hw} x", "strongest answer of the channel", "amax()"),
        Symbol("c", "gate of the channel", "tap"),
    ],
    sizes={"hidden units": lambda block: block.mlp[0].out_features},
)
class CbamChannel(nn.Module):
    """One gate per channel from its average and its maximum.

    Args:
        reduction: the shared MLP has ``channels // reduction`` hidden units.
        min_hidden: at least so many; the paper names no least number.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16, min_hidden: int = 1) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.mlp(x.mean(dim=(2, 3))) + self.mlp(x.amax(dim=(2, 3)))  # (B, C)
        return x * self.tap(scores.sigmoid()[..., None, None])


@register_attention(
    "cbam_spatial",
    title="CBAM spatial",
    paper=PAPER,
    summary="One weight per position: a 7x7 convolution over the maximum and the mean of the channels.",
    formula=r"s = \sigma(\mathrm{BN}(\mathrm{conv}_{k \times k}[\max_c x;\ \mathrm{mean}_c\,x])),\quad y = s \odot x",
    kinds=[MapKind.SPATIAL],
    options={"kernel_size": KERNEL_SIZES},
    no_identity=SIGMOID_GATES,
    strength="Says where, with one map for all channels and under a hundred parameters. It cannot tell kinds of pattern apart.",
    symbols=[
        Symbol(r"\max_c x", "strongest channel at the position", "amax()"),
        Symbol(r"\mathrm{mean}_c\,x", "mean of the channels at the position", "mean()"),
        Symbol("s", "gate of the position", "tap"),
    ],
    sizes={"side of the convolution": lambda block: block.conv.kernel_size[0]},
)
class CbamSpatial(nn.Module):
    """One gate per position from the maximum and the mean over the channels.

    Args:
        kernel_size: side of the convolution, odd.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)
        self.tap = AttentionTap(MapKind.SPATIAL)

    def forward(self, x: Tensor) -> Tensor:
        # On a CPU the convolution is three times faster when the two channels lie side by side in memory.
        pooled = torch.stack([x.amax(dim=1), x.mean(dim=1)], dim=-1).movedim(-1, 1)  # (B, 2, H, W)
        return x * self.tap(self.bn(self.conv(pooled)).sigmoid())  # gate (B, 1, H, W)


@register_attention(
    "cbam",
    title="CBAM",
    paper=PAPER,
    summary="First one weight per channel, then one weight per position of the weighted map.",
    formula=r"x' = c(x) \odot x,\quad y = s(x') \odot x'",
    kinds=[MapKind.CHANNEL, MapKind.SPATIAL],
    options={"reduction": REDUCTIONS, "min_hidden": MIN_HIDDEN, "kernel_size": KERNEL_SIZES},
    new_runs={"min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Says what and where, one after the other, for few parameters. The two weights are separate: it cannot pick "
    "one channel at one place.",
    symbols=[
        Symbol("c(x)", "gate of the channel", "channel.tap"),
        Symbol("x'", "features after the channel gates", "channel"),
        Symbol("s(x')", "gate of the position", "spatial.tap"),
    ],
    sizes={
        "hidden units": lambda block: block.channel.mlp[0].out_features,
        "side of the convolution": lambda block: block.spatial.conv.kernel_size[0],
    },
)
class Cbam(nn.Module):
    """Channel attention followed by spatial attention."""

    def __init__(
        self, channels: int, size: tuple[int, int], *, reduction: int = 16, min_hidden: int = 1, kernel_size: int = 7
    ) -> None:
        super().__init__()
        self.channel = CbamChannel(channels, size, reduction=reduction, min_hidden=min_hidden)
        self.spatial = CbamSpatial(channels, size, kernel_size=kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.spatial(self.channel(x))
