"""Concurrent spatial and channel squeeze and excitation (Roy, Navab and Wachinger, MICCAI 2018, arXiv:1808.08127).

    c = sigmoid(W2 relu(W1 mean_hw(x))),   s = sigmoid(w x),   y = c * x + s * x

One copy of the features is gated by channel, another by position, and both are added. The two gates see the same features;
in CBAM the second sees what the first has left.

Departure: the copies are added, as in segmentation_models.pytorch and the authors' later article; the conference paper also
tries the larger of both.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._layers import set_to_zero
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind

NEUTRAL = 0.5  # of each of two copies that are added


class ChannelCopy(nn.Module):
    """The features, gated by channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1))
        self.tap = AttentionTap(MapKind.CHANNEL, neutral=NEUTRAL)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.tap(self.mlp(x.mean(dim=(2, 3), keepdim=True)).sigmoid())


class SpatialCopy(nn.Module):
    """The features, gated by position."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)
        self.tap = AttentionTap(MapKind.SPATIAL, neutral=NEUTRAL)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.tap(self.conv(x).sigmoid())


@register_attention(
    "scse",
    title="scSE",
    paper="https://arxiv.org/abs/1808.08127",
    summary="The sum of two copies: one with a weight per channel, one with a weight per position.",
    formula=r"y = c(x) \odot x + s(x) \odot x",
    kinds=[MapKind.CHANNEL, MapKind.SPATIAL],
    combine=Combine.SUM,
    options={"reduction": REDUCTIONS, "min_hidden": MIN_HIDDEN},
    new_runs={"min_hidden": 4},
    strength="Keeps what either the channel or the position calls important. The two copies see the same features, so "
    "neither corrects the other.",
    symbols=[
        Symbol("c(x)", "gate of the channel", "channel.tap"),
        Symbol("s(x)", "gate of the position", "spatial.tap"),
        Symbol(r"c(x) \odot x", "copy gated by channel", "channel"),
        Symbol(r"s(x) \odot x", "copy gated by position", "spatial"),
    ],
    sizes={"hidden units": lambda block: block.channel.mlp[0].out_channels},
)
class ConcurrentSqueezeExcite(nn.Module):
    """A copy gated by channel and a copy gated by position, added.

    Args:
        reduction: the bottleneck of the channel gate has ``channels // reduction`` units.
        min_hidden: at least so many; the public code has none with fewer channels than the reduction.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16, min_hidden: int = 1) -> None:
        super().__init__()
        self.channel = ChannelCopy(channels, max(channels // reduction, min_hidden))
        self.spatial = SpatialCopy(channels)

    def start_as_identity(self) -> None:
        set_to_zero(self.channel.mlp[-1], self.spatial.conv)  # both gates are sigmoid(0): two halves of the input

    def forward(self, x: Tensor) -> Tensor:
        return self.channel(x) + self.spatial(x)
