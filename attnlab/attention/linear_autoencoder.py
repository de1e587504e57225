"""Linear autoencoder attention (Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course
report, 2023).

    a = sigmoid(decoder(encoder(x))),   y = a * x      element-wise, (B, C, H, W)

Fully connected layers, W -> 128 -> 64 -> 12 and 12 -> 64 -> 128 -> W. A ReLU follows every layer but the last of the encoder
and the last of the decoder: the code of 12 numbers may be negative, unlike that of the convolutional autoencoder, and the
sigmoid follows the decoder. In the published code the layers act along the last axis only, so each row of positions is
encoded separately; the report's text describes the flattened map, which is ``over="map"``.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.conv_autoencoder import ACTIVATIONS
from attnlab.maps import MapKind

WIDTHS = (128, 64, 32, 16)
CACHED = 2**18
"""Numbers of the widest layer that are computed at a time on a CPU. They fit into a core's cache; a whole batch does not,
and the layers then wait for the memory for half of the time (forward and backward of 65,536 rows of 32: 380 ms, in pieces
185 ms)."""


def _layers(sizes: list[int], activation: str) -> nn.Sequential:
    """Linear layers from size to size, with an activation between them and none after the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


@register_attention(
    "linear_autoencoder",
    title="Linear autoencoder",
    paper="Madmoni and Ben-Or, Attention Mechanisms for Image Classification, course report, 2023",
    summary="One weight per channel and position, from fully connected layers over each row or over the whole map.",
    formula=r"a = \sigma(D(E(x_{\mathrm{row}}))),\quad y = a \odot x",
    kinds=[MapKind.ELEMENT],
    options={
        "over": ("rows", "map"),
        "depth": (2, 3, 4),
        "bottleneck": (4, 8, 12, 24),
        "activation": tuple(ACTIVATIONS),
    },
    no_identity=SIGMOID_GATES,
    strength="Weights every value by itself, from a code of its whole row or map. Its layers fit one size of map, and it "
    "ignores what lies near in other rows.",
    symbols=[
        Symbol(r"E(x_{\mathrm{row}})", "code of the row", "encoder"),
        Symbol(r"D(E(x_{\mathrm{row}}))", "score of this value", "decoder"),
        Symbol("a", "gate of this value", "tap"),
    ],
    sizes={
        "numbers of the bottleneck": lambda block: block.encoder[-1].out_features,
        "side of the widest layer": lambda block: block.encoder[0].in_features,
    },
)
class LinearAutoencoder(nn.Module):
    """One gate per channel and position from a fully connected autoencoder.

    Args:
        over: ``"rows"`` encodes each row of W positions separately, ``"map"`` all H*W positions of a channel together.
        depth: layers of the encoder; three in the report (128, 64, 12).
        bottleneck: units of the innermost layer; 12 in the report.
        activation: after every layer but the innermost and the last.
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
        self.decoder = _layers(sizes[::-1], activation)
        self.tap = AttentionTap(MapKind.ELEMENT)

    def forward(self, x: Tensor) -> Tensor:
        signal = x if self.over == "rows" else x.flatten(2)  # (B, C, H, W) or (B, C, N)
        rows = signal.flatten(0, -2)
        at_a_time = CACHED // max(WIDTHS[0], rows.shape[1]) if x.device.type == "cpu" else len(rows)
        parts = [self.decoder(self.encoder(part)).sigmoid() for part in rows.split(max(1, at_a_time))]
        return x * self.tap(torch.cat(parts).reshape(x.shape))
