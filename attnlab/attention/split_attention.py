"""Split attention of ResNeSt (Zhang et al., 2020, arXiv:2004.08955). It takes the place of a 3x3 convolution.

    U = relu([BN](conv(x)))                          M * C channels, in M groups: the splits U_1 ... U_M
    a = softmax_m(W2 relu([BN](W1 mean_hw(sum_m U_m))))      (B, M, C, 1, 1)
    y = sum_m a_m * U_m

The splits have kernels of the same size and differ in what they learn. With ``groups`` (the paper's cardinality) the weights
of each group of channels are made from its own channels.

Departures: none from timm's code, which adds batch norm only where it is asked for, as in the ResNeSt networks
(``batch_norm``; new runs have it). A single split (radix 1), which is squeeze-and-excitation with a gate, is not on offer. One
image alone is normalised with the running statistics while training.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._layers import VectorBatchNorm, rounded_width
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale


@register_attention(
    "split_attention",
    title="Split attention",
    paper="https://arxiv.org/abs/2004.08955",
    summary="In place of a convolution: several convolutions of the same size, between which each channel of an image chooses.",
    formula=r"a = \mathrm{softmax}_m(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw} \sum_m U_m)),\quad y = \sum_m a_m \odot U_m",
    kinds=[MapKind.BRANCH],
    combine=Combine.MIX,
    options={"radix": (2, 4), "groups": (1, 2, 4), "batch_norm": (False, True)},
    new_runs={"batch_norm": True},
    strength="Chooses for each channel among splits of one convolution that have learned different things. It chooses for "
    "the whole image, not for a place.",
    symbols=[
        Symbol(r"\mathrm{mean}_{hw} \sum_m U_m", "mean of all splits", "fc1.in"),
        Symbol("a", "share of each split", "tap"),
    ],
    sizes={"hidden units": lambda block: block.fc1.out_channels},
)
class SplitAttention(nn.Module):
    """Splits of one grouped convolution, and weights that choose between them.

    Args:
        radix: the number of splits (M).
        groups: the paper's cardinality.
        batch_norm: normalise the splits and the narrow layer.

    Raises:
        ValueError: when the channels cannot be divided into splits and groups.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: tuple[int, int],
        *,
        radix: int = 2,
        groups: int = 1,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        parts = radix * groups
        if channels_in % parts or channels_out % groups:
            raise ValueError(
                f"split_attention cannot divide {channels_in} channels into {radix} splits"
                + (f" of {groups} groups" if groups > 1 else "")
                + f"; use a multiple of {parts} channels"
            )
        hidden = rounded_width(channels_in * radix / 4, least=32)
        self.radix, self.groups = radix, groups
        self.conv = nn.Conv2d(channels_in, channels_out * radix, 3, padding=1, groups=parts, bias=False)
        self.bn0 = nn.BatchNorm2d(channels_out * radix) if batch_norm else nn.Identity()
        self.fc1 = nn.Conv2d(channels_out, hidden, 1, groups=groups)
        self.bn1 = VectorBatchNorm(hidden) if batch_norm else nn.Identity()
        self.fc2 = nn.Conv2d(hidden, channels_out * radix, 1, groups=groups)
        names = [f"split {number + 1} (3 x 3)" for number in range(radix)]
        self.tap = AttentionTap(MapKind.BRANCH, MapScale.SOFTMAX, branches=names)

    def forward(self, x: Tensor) -> Tensor:
        splits = self.bn0(self.conv(x)).relu().unflatten(1, (self.radix, -1))  # (B, M, C, H, W)
        z = self.bn1(self.fc1(splits.sum(dim=1).mean(dim=(2, 3), keepdim=True))).relu()
        # Scores are laid out by group, then by split; weights by split, then by channel.
        scores = self.fc2(z).unflatten(1, (self.groups, self.radix, -1)).transpose(1, 2).flatten(2, 3)
        return (splits * self.tap(scores.softmax(dim=1))).sum(dim=1)
