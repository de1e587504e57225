"""Selective kernel convolution (Li et al., CVPR 2019, arXiv:1903.06586). It takes the place of a 3x3 convolution.

    U_m = relu(BN(conv_m(x)))                        M branches: 3x3, 5x5, ...
    z   = relu(BN(W mean_hw(sum_m U_m)))             as wide as an eighth multiple of C / 16
    a   = softmax_m(V z)                             (B, M, C, 1, 1)
    y   = sum_m a_m * U_m

Departures, as in timm's code: each branch sees its share of the input channels only (``split_input``), the larger kernels are
3x3 with dilation 2 and 3 (``dilated``), convolutions are not grouped (in the paper in 32 groups), and the narrow layer is
rounded to a multiple of 8 (in the paper at least 32). Channels that cannot be shared out evenly, which timm refuses, are shared
out with one more for the first branches. One image alone is normalised with the running statistics while training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._layers import VectorBatchNorm, rounded_width
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale


class _Branch(nn.Module):
    """A convolution, batch norm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, side: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (side - 1) // 2
        self.conv = nn.Conv2d(channels_in, channels_out, side, padding=padding, dilation=dilation, bias=False)
        self.bn = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


@register_attention(
    "selective_kernel",
    title="Selective kernel",
    paper="https://arxiv.org/abs/1903.06586",
    summary="In place of a convolution: convolutions of several sizes, between which each channel of an image chooses.",
    formula=r"a = \mathrm{softmax}_m(V\,\mathrm{ReLU}(\mathrm{BN}(W\,\mathrm{mean}_{hw} \sum_m U_m))),"
    r"\quad y = \sum_m a_m \odot U_m",
    kinds=[MapKind.BRANCH],
    combine=Combine.MIX,
    options={
        "branches": (2, 3),
        "reduction": (2, 4, 8, 16, 32),
        "split_input": (True, False),
        "dilated": (True, False),
    },
    strength="Chooses for each channel how large the patterns are that it looks for. It chooses for the whole image, not "
    "for a place.",
    symbols=[
        Symbol("U_m", "answer of each branch", "stack()"),
        Symbol(r"\mathrm{mean}_{hw} \sum_m U_m", "mean of all branches", "reduce.in"),
        Symbol("a", "share of each branch", "tap"),
    ],
    sizes={"hidden units": lambda block: block.reduce.out_channels},
)
class SelectiveKernel(nn.Module):
    """Branches with kernels of 3, 5 (and 7) pixels, and weights that choose between them.

    Args:
        branches: their number.
        reduction: the narrow layer has about ``channels_out / reduction`` units, rounded to a multiple of 8.
        split_input: the branches share the input channels out among themselves instead of each seeing all.
        dilated: kernels of 5 and 7 pixels are 3x3 kernels with gaps.

    Raises:
        ValueError: when there are fewer input channels than branches that share them.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: tuple[int, int],
        *,
        branches: int = 2,
        reduction: int = 16,
        split_input: bool = True,
        dilated: bool = True,
    ) -> None:
        super().__init__()
        if split_input and channels_in < branches:
            raise ValueError(
                f"selective_kernel cannot share {channels_in} channels out among {branches} branches; use at least {branches} "
                "channels, or split_input = False"
            )
        even, over = divmod(channels_in, branches)
        self.shares = [even + (branch < over) if split_input else channels_in for branch in range(branches)]
        self.split_input = split_input
        kernels = [(3, gap) if dilated else (1 + 2 * gap, 1) for gap in range(1, branches + 1)]
        self.branches = nn.ModuleList(
            _Branch(share, channels_out, side, dilation) for share, (side, dilation) in zip(self.shares, kernels, strict=True)
        )
        hidden = rounded_width(channels_out / reduction)
        self.reduce = nn.Conv2d(channels_out, hidden, 1, bias=False)
        self.bn = VectorBatchNorm(hidden)
        self.select = nn.Conv2d(hidden, channels_out * branches, 1, bias=False)
        reach = [1 + gap * (side - 1) for side, gap in kernels]
        names = [
            f"{pixels} x {pixels}{' (3 x 3 with gaps)' if pixels > side else ''}"
            for pixels, (side, _) in zip(reach, kernels, strict=True)
        ]
        self.tap = AttentionTap(MapKind.BRANCH, MapScale.SOFTMAX, branches=names)

    def forward(self, x: Tensor) -> Tensor:
        shares = x.split(self.shares, dim=1) if self.split_input else [x] * len(self.branches)
        parts = torch.stack([branch(share) for branch, share in zip(self.branches, shares, strict=True)], dim=1)
        z = self.bn(self.reduce(parts.sum(dim=1).mean(dim=(2, 3), keepdim=True))).relu()
        weights = self.select(z).unflatten(1, (len(self.branches), -1)).softmax(dim=1)  # (B, M, C, 1, 1)
        return (parts * self.tap(weights)).sum(dim=1)
