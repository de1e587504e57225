"""Triplet attention (Misra et al., WACV 2021, arXiv:2010.03045).

    g = sigmoid(BN(conv7x7([max; mean])))      over each of the three planes of the features
    y = (g_cw * x + g_hc * x + g_hw * x) / 3

One side is pooled away by its maximum and its mean, and a convolution slides over the plane of the other two: channels and
columns, rows and channels, rows and columns. So channels have neighbours here, in the order in which they are numbered. No
weight depends on the number of channels.

Departures: none from the authors' code (batch norm with momentum 0.01, no ReLU). ``spatial=False`` leaves the third branch out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind


class PlaneGate(nn.Module):
    """A gate over two of the three sides; the third is pooled away, and has length 1 in the gate.

    Args:
        pooled: dimension of the side that is pooled: 1 for channels, 2 for rows, 3 for columns.
        turned: whether the plane is convolved with its two sides exchanged.
    """

    def __init__(self, pooled: int, kernel_size: int, *, turned: bool = False) -> None:
        super().__init__()
        self.pooled = pooled
        self.turned = turned
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.bn = nn.BatchNorm2d(1, momentum=0.01)
        self.tap = AttentionTap(MapKind.SPATIAL if pooled == 1 else MapKind.ELEMENT)

    def forward(self, x: Tensor) -> Tensor:
        plane = torch.stack([x.amax(dim=self.pooled), x.mean(dim=self.pooled)], dim=1)  # (B, 2, two sides)
        if self.turned:
            plane = plane.transpose(2, 3)
        gate = self.bn(self.conv(plane)).sigmoid()[:, 0]
        if self.turned:
            gate = gate.transpose(1, 2)
        return x * self.tap(gate.unsqueeze(self.pooled))


@register_attention(
    "triplet",
    title="Triplet attention",
    paper="https://arxiv.org/abs/2010.03045",
    summary="The mean of three gated copies: by channel and column, by channel and row, and by position.",
    formula=r"y = \tfrac13 (g_{cw} + g_{hc} + g_{hw}) \odot x",
    kinds=[MapKind.ELEMENT, MapKind.ELEMENT, MapKind.SPATIAL],
    combine=Combine.MEAN,
    options={"kernel_size": (3, 5, 7), "spatial": (True, False)},
    no_identity=SIGMOID_GATES,
    strength="Relates channel and place by three small convolutions and hardly any parameters. The three weights are "
    "averaged, so none of them can silence a value alone.",
    symbols=[
        Symbol("g_{cw}", "gate of the channel in this column", "columns.tap"),
        Symbol("g_{hc}", "gate of the channel in this row", "rows.tap"),
        Symbol("g_{hw}", "gate of the position", "positions.tap"),
    ],
    sizes={"side of the convolutions": lambda block: block.positions.conv.kernel_size[0]},
)
class TripletAttention(nn.Module):
    """Three gates, each over two sides of the features, on copies that are averaged.

    Args:
        kernel_size: side of the convolutions, odd.
        spatial: whether the gate by position is one of them.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int = 7, spatial: bool = True) -> None:
        super().__init__()
        self.columns = PlaneGate(2, kernel_size)  # over (C, W)
        self.rows = PlaneGate(3, kernel_size, turned=True)  # over (H, C)
        self.positions = PlaneGate(1, kernel_size) if spatial else None  # over (H, W)

    def forward(self, x: Tensor) -> Tensor:
        copies = self.columns(x) + self.rows(x)
        return copies / 2 if self.positions is None else (copies + self.positions(x)) / 3
