"""Convolutional autoencoder attention (Madmoni and Ben-Or, "Attention Mechanisms for Image Classification", course
report, 2023).

    a = sigmoid(decoder(encoder(x))),   y = a * x      element-wise, (B, C, H, W)

Encoder: convolutions 4x4, stride 2, padding 1 (C -> 12 -> 24 -> 48), each followed by ReLU. Decoder: transposed
convolutions 4x4, stride 2 (48 -> 24 -> 12) with ReLU, then a transposed convolution 12 -> C that restores the input size.

Departures: the published code defines the last layer for sides of 32, 30, 15 and 13 only; `last_layer` is a rule that
gives the same layers there and works for any other side. Maps with a side below 2^depth are padded with zeros, and the
gate is cropped.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "elu": nn.ELU, "tanh": nn.Tanh}


class LastLayer(NamedTuple):
    """Geometry of the last transposed convolution along one axis."""

    kernel: int
    stride: int
    padding: int
    output_padding: int


def last_layer(small: int, side: int) -> LastLayer:
    """The transposed convolution that turns ``small`` positions into exactly ``side``.

    With kernel 3, it takes the smallest stride, then the smallest output padding, for which
    ``(small - 1) stride - 2 padding + kernel + output_padding = side`` has a padding of at least one. For a side of 13 the
    published code breaks this pattern with a kernel of 2.
    """
    if (small, side) == (4, 13):
        return LastLayer(2, 4, 1, 1)
    stride = 1
    while True:
        for output_padding in range(stride):
            excess = (small - 1) * stride + 3 + output_padding - side  # = 2 padding
            if excess >= 2 and excess % 2 == 0:
                return LastLayer(3, stride, excess // 2, output_padding)
        stride += 1


@register_attention(
    "conv_autoencoder",
    title="Convolutional autoencoder",
    paper="Madmoni and Ben-Or, Attention Mechanisms for Image Classification, course report, 2023",
    summary="One weight per channel and position, from a small convolutional encoder and decoder with a bottleneck.",
    formula=r"a = \sigma(D(E(x))),\quad y = a \odot x",
    kinds=[MapKind.ELEMENT],
    options={"depth": (1, 2, 3, 4), "width": (4, 8, 12, 16, 24), "activation": tuple(ACTIVATIONS)},
    no_identity=SIGMOID_GATES,
    strength="Weights every value by itself, from what fits through a narrow code of the whole neighbourhood. It costs "
    "more parameters than most gates.",
    symbols=[
        Symbol("E(x)", "code of the bottleneck", "encoder"),
        Symbol("D(E(x))", "score of this value", "decoder"),
        Symbol("a", "gate of this value", "tap"),
    ],
    sizes={"channels of the bottleneck": lambda block: block.encoder[-2].out_channels},
)
class ConvAutoencoder(nn.Module):
    """One gate per channel and position from a convolutional autoencoder.

    Args:
        depth: how often the encoder halves the map; three in the report.
        width: channels after the first convolution, doubled by each further one; 12 in the report.
        activation: between the layers.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, depth: int = 3, width: int = 12, activation: str = "relu"
    ) -> None:
        super().__init__()
        act = ACTIVATIONS[activation]
        widths = [width * 2**i for i in range(depth)]
        self.padded = (max(size[0], 2**depth), max(size[1], 2**depth))

        encoder: list[nn.Module] = []
        for before, after in zip([channels, *widths[:-1]], widths, strict=True):
            encoder += [nn.Conv2d(before, after, 4, stride=2, padding=1), act()]
        decoder: list[nn.Module] = []
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            decoder += [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1), act()]
        # Halving rounds down and doubling is exact, so this many positions reach the last layer along each axis.
        vertical, horizontal = (last_layer((side >> depth) << (depth - 1), side) for side in self.padded)
        decoder.append(
            nn.ConvTranspose2d(
                width,
                channels,
                (vertical.kernel, horizontal.kernel),
                stride=(vertical.stride, horizontal.stride),
                padding=(vertical.padding, horizontal.padding),
                output_padding=(vertical.output_padding, horizontal.output_padding),
            )
        )
        self.encoder = nn.Sequential(*encoder)
        self.decoder = nn.Sequential(*decoder)
        self.tap = AttentionTap(MapKind.ELEMENT)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        padded = F.pad(x, (0, self.padded[1] - width, 0, self.padded[0] - height))
        gate = self.decoder(self.encoder(padded)).sigmoid()[:, :, :height, :width]  # (B, C, H, W)
        return x * self.tap(gate)
