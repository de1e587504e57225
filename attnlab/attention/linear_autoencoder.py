"""Linear autoencoder attention (Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course
report, 2023).

    a = sigmoid(decoder(encoder(x))),   y = a * x      element-wise, (B, C, H, W)

Fully connected, W -> 128 -> 64 -> 12 and back, ReLU between. As published the layers act along the last axis only, so
each row of pixels is coded by itself; the report's text speaks of the flattened map, which is ``over="map"``.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from attnlab.attention._registry import register_attention
from attnlab.attention._tap import AttentionTap, MapKind
from attnlab.attention.conv_autoencoder import ACTIVATIONS

WIDTHS = (128, 64, 32, 16)


def _layers(sizes: list[int], activation: str) -> nn.Sequential:
    """Linear layers through ``sizes`` with an activation after each."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers)


@register_attention(
    "linear_autoencoder",
    title="Linear autoencoder",
    paper="Madmoni and Ben-Or, Attention Mechanisms for Image Classification, course report, 2023",
    summary="One gate per channel and position, coded row by row (as published) or over the whole map.",
    formula=r"a = \sigma(D(E(x_{\mathrm{row}}))),\quad y = a \odot x",
    kinds=[MapKind.ELEMENT],
    options={
        "over": ("rows", "map"),
        "depth": (2, 3, 4),
        "bottleneck": (4, 8, 12, 24),
        "activation": tuple(ACTIVATIONS),
    },
)
class LinearAutoencoder(nn.Module):
    """Element-wise gate from a fully connected autoencoder.

    Args:
        over: ``"rows"`` codes each row of W pixels by itself, ``"map"`` the H*W pixels of each channel.
        depth: number of layers of the encoder; three in the report (128, 64, 12).
        bottleneck: units of the code; 12 in the report.
        activation: between the layers.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        over: str = "rows",
        depth: int = 3,
        bottleneck: int = 12,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.over = over
        side = size[1] if over == "rows" else size[0] * size[1]
        sizes = [side, *WIDTHS[: depth - 1], bottleneck]
        self.encoder = _layers(sizes, activation)
        self.decoder = _layers(sizes[::-1], activation)[:-1]  # the sigmoid takes the last activation's place
        self.tap = AttentionTap(MapKind.ELEMENT)

    def forward(self, x: Tensor) -> Tensor:
        signal = x if self.over == "rows" else x.flatten(2)  # (B, C, H, W) or (B, C, N)
        gate = self.decoder(self.encoder(signal)).sigmoid().reshape(x.shape)
        return x * self.tap(gate)
