"""Coordinate attention (Hou, Zhou and Feng, CVPR 2021, arXiv:2103.02907).

    z_h = mean_w(x) (C, H),   z_w = mean_h(x) (C, W)
    f = h-swish(BN(W1 [z_h; z_w])),   a_h = sigmoid(F_h f_h),   a_w = sigmoid(F_w f_w)
    y = a_h * a_w * x

Two margins: a weight for each channel and row, and one for each channel and column. Both are read from one bottleneck, which
sees the row means and the column means side by side, so its batch statistics mix the two.

Departures: none from the authors' code: ``max(8, C // 32)`` channels in the bottleneck, biases everywhere, a plain sigmoid.
timm's module has neither biases nor this width by default; ``bias`` and ``reduction`` give it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind


class Margin(nn.Module):
    """A gate from one strip: (B, C, H, 1) or (B, C, 1, W), from a strip (B, hidden, H, 1) or (B, hidden, 1, W)."""

    def __init__(self, hidden: int, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(hidden, channels, 1, bias=bias)
        self.tap = AttentionTap(MapKind.ELEMENT)

    def forward(self, x: Tensor, strip: Tensor) -> Tensor:
        return x * self.tap(self.conv(strip).sigmoid())


@register_attention(
    "coordinate",
    title="Coordinate attention",
    paper="https://arxiv.org/abs/2103.02907",
    summary="One weight per channel and row times one per channel and column, from the means along both sides.",
    formula=r"y = \sigma(F_h f_h) \odot \sigma(F_w f_w) \odot x",
    kinds=[MapKind.ELEMENT, MapKind.ELEMENT],
    options={"reduction": (4, 8, 16, 32), "min_hidden": (1, 4, 8, 16), "bias": (True, False)},
    no_identity=SIGMOID_GATES,
    strength="Says where along each side, separately for each channel, at the cost of two small convolutions. A place is "
    "the crossing of a row and a column, so a diagonal object is out of its reach.",
    symbols=[
        Symbol(r"\sigma(F_h f_h)", "gate of the channel in this row", "rows.tap"),
        Symbol(r"\sigma(F_w f_w)", "gate of the channel in this column", "columns.tap"),
    ],
    sizes={"hidden units": lambda block: block.conv.out_channels},
)
class CoordinateAttention(nn.Module):
    """A gate by row and a gate by column.

    Args:
        reduction: the bottleneck has ``channels // reduction`` channels.
        min_hidden: at least so many.
        bias: whether its convolutions have biases.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, reduction: int = 32, min_hidden: int = 8, bias: bool = True
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        self.conv = nn.Conv2d(channels, hidden, 1, bias=bias)
        self.bn = nn.BatchNorm2d(hidden)
        self.activation = nn.Hardswish()
        self.rows = Margin(hidden, channels, bias=bias)
        self.columns = Margin(hidden, channels, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        strips = torch.cat([x.mean(dim=3), x.mean(dim=2)], dim=2)[..., None]  # (B, C, H + W, 1)
        hidden = self.activation(self.bn(self.conv(strips)))
        down, across = hidden.split([height, width], dim=2)
        return self.columns(self.rows(x, down), across.transpose(2, 3))
