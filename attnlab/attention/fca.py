"""Frequency channel attention, FcaNet (Qin et al., ICCV 2021, arXiv:2012.11879).

    z_c = sum_ij x_c(i, j) cos(pi u (i + 1/2) / H) cos(pi v (j + 1/2) / W) * norm,   (u, v) the frequency of the channel's group
    y = sigmoid(W2 relu(W1 z)) * x

Squeeze-and-excitation reads one number of each channel, its mean, which is the frequency (0, 0) of the discrete cosine
transform. Here the channels are split into groups, and each group is read at another frequency.

As in the authors' code: orthonormal filters (the paper leaves the constants out); frequencies named on a grid of 7 x 7, and
multiplied by side // 7 for larger transforms; a map of another size than the transform is averaged to it for the descriptor
only; no biases. The tables of frequencies were found by the authors on ImageNet: ``top`` those with which one frequency alone
was best, ``bot`` those with which it was worst, ``low`` the lowest.

Departures: the groups are as equal as possible, where the code wants the number of channels to be a multiple of the number of
frequencies; with fewer channels than frequencies the first ones are used. ``dct_size="map"`` is the size of the map, as in the
authors' networks (56, 28, 14, 7), but at least 7, since a smaller transform has the mean only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind

SPACE = 7
"""The side of the grid on which frequencies are named."""

FREQUENCIES = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}
"""The 32 frequencies of each table in its order, each as its two numbers: down, then across."""


def cosine_filters(names: str, channels: int, size: tuple[int, int]) -> Tensor:
    """The filter of each channel, (channels, H, W), for the frequencies of a table.

    Args:
        names: a table and how many of its frequencies, as in ``"top16"``.
        size: (H, W) of the transform.
    """
    table, count = names[:3], int(names[3:])
    chosen = FREQUENCIES[table].split()[:count]
    groups = torch.arange(channels, device="cpu").tensor_split(count)
    filters = torch.empty(channels, *size, dtype=torch.float64, device="cpu")
    for group, name in zip(groups, chosen, strict=True):
        filters[group] = torch.outer(_cosine(int(name[0]), size[0]), _cosine(int(name[1]), size[1]))
    return filters.to(torch.get_default_dtype())


def _cosine(frequency: int, side: int) -> Tensor:
    frequency *= side // SPACE
    places = torch.arange(side, dtype=torch.float64, device="cpu") + 0.5
    return torch.cos(math.pi * frequency * places / side) * math.sqrt((2 if frequency else 1) / side)


@register_attention(
    "fca",
    title="Frequency channel attention",
    paper="https://arxiv.org/abs/2012.11879",
    summary="One weight per channel, from a frequency of each channel instead of its mean, through a bottleneck network.",
    formula=r"a = \sigma(W_2\,\mathrm{ReLU}(W_1\,\mathrm{DCT}\,x)),\quad y = a \odot x",
    kinds=[MapKind.CHANNEL],
    options={
        "frequencies": tuple(f"{table}{count}" for table in FREQUENCIES for count in (1, 2, 4, 8, 16, 32)),
        "dct_size": ("map", 7, 14, 28, 56),
        "reduction": REDUCTIONS,
        "min_hidden": MIN_HIDDEN,
    },
    new_runs={"min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Reads each channel at a frequency instead of its mean, so it sees texture that a mean hides. It cannot say "
    "where.",
    symbols=[
        Symbol(r"\mathrm{DCT}\,x", "strength of the channel's frequency", "mlp.in"),
        Symbol("a", "gate of the channel", "tap"),
    ],
    sizes={"hidden units": lambda block: block.mlp[0].out_features},
)
class FrequencyChannelAttention(nn.Module):
    """One gate per channel from one frequency of each channel.

    Args:
        frequencies: the table, and how many of its frequencies the channels share.
        dct_size: side of the transform, or ``"map"``.
        reduction: the bottleneck has ``channels // reduction`` units.
        min_hidden: at least so many.
    """

    filters: Tensor

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        frequencies: str = "top16",
        dct_size: int | str = "map",
        reduction: int = 16,
        min_hidden: int = 1,
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        sides = (max(size[0], SPACE), max(size[1], SPACE)) if dct_size == "map" else (int(dct_size), int(dct_size))
        filters = cosine_filters(frequencies, channels, sides).to(torch.get_default_device())
        self.register_buffer("filters", filters, persistent=False)  # follows from the options
        self.mlp = nn.Sequential(nn.Linear(channels, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, channels, bias=False))
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        size = self.filters.shape[1:]
        small = x if x.shape[2:] == size else F.adaptive_avg_pool2d(x, (size[0], size[1]))
        gate = self.mlp((small * self.filters).sum(dim=(2, 3))).sigmoid()
        return x * self.tap(gate[..., None, None])
