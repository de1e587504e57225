"""Self-attention of the bottleneck transformer (Srinivas et al., CVPR 2021, arXiv:2101.11605). It takes the place of a 3x3
convolution.

    q, k, v = W x                                    1x1 convolution without bias, split into heads
    A = softmax_keys(q^T k / sqrt(d) + q^T r)        (B, heads, N, N);  r of a pair = r_h[rows apart] + r_w[columns apart]
    y = A v

The positions enter by two learned tables of (2 H - 1) and (2 W - 1) vectors, so a block fits one size of map. Their part of
the scores is a product as well: each query is extended by its H + W scores with the rows and columns, each key by the
numbers of its row and column as 0 and 1, and attention runs as ever, without holding A.

Departures: none from timm's code, in which the positions' part is not divided by sqrt(d) (``scaled_positions``) and queries
and keys are together as wide as the output, rounded to a multiple of 8.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._layers import divisors, rounded_width
from attnlab.attention._pairwise import PairwiseAttention, Place, at_places
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.maps import MapKind

HEADS = (1, 2, 4, 8)


@register_attention(
    "bottleneck",
    title="Bottleneck self-attention",
    paper="https://arxiv.org/abs/2101.11605",
    summary="In place of a convolution: each position gathers from all positions, by what is there and how far away it is.",
    formula=r"A = \mathrm{softmax}(q^\top k / \sqrt{d} + q^\top r),\quad y = A v",
    kinds=[MapKind.PAIRWISE],
    combine=Combine.MIX,
    options={"heads": HEADS, "scaled_positions": (False, True)},
    strength="Lets a convolution's place see the whole map, with distances known. Time grows with the square of the number "
    "of positions, and a block fits one size of map.",
    symbols=[
        Symbol("q", "query of the position", "conv2d()"),
        Symbol("k", "key of the position", "conv2d()2"),
        Symbol("v", "value of the position", "conv2d()3"),
        Symbol("A", "how much each position attends to each", "tap"),
    ],
    sizes={"query width of one head": lambda block: block.width},
)
class BottleneckAttention(PairwiseAttention):
    """Multi-head self-attention with relative positions.

    Args:
        heads: each has its own map.
        scaled_positions: divide the positions' part of the scores by sqrt(d), too.

    Raises:
        ValueError: when ``channels_out`` cannot be split into ``heads``.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        size: tuple[int, int],
        *,
        heads: int = 4,
        scaled_positions: bool = False,
    ) -> None:
        if channels_out % heads:
            raise ValueError(
                f"bottleneck cannot split {channels_out} channels into {heads} heads; "
                f"set heads to {divisors(channels_out, HEADS)}"
            )
        super().__init__(heads)
        self.tap.neutral = None  # nothing is added to the input: without weights nothing would be left
        self.width = rounded_width(channels_out) // heads  # of the queries and keys of one head
        self.factor = self.width**-0.5
        self.scaled_positions = scaled_positions
        self.size = size
        self.qkv = nn.Conv2d(channels_in, 2 * self.width * heads + channels_out, 1, bias=False)
        self.height_rel = nn.Parameter(torch.empty(2 * size[0] - 1, self.width))
        self.width_rel = nn.Parameter(torch.empty(2 * size[1] - 1, self.width))
        nn.init.trunc_normal_(self.qkv.weight, std=channels_in**-0.5)
        nn.init.trunc_normal_(self.height_rel, std=self.factor)
        nn.init.trunc_normal_(self.width_rel, std=self.factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.attend(x)

    def queries(self, x: Tensor, places: Sequence[Place] | None = None) -> Tensor:
        """Queries with their scores of all rows and columns: (B, heads, Q, d + H + W)."""
        if tuple(x.shape[2:]) != self.size:
            raise ValueError(f"this bottleneck was made for maps of {self.size}, and got one of {tuple(x.shape[2:])}")
        height, width = self.size
        query = self._part(at_places(x, places), 0)
        every = places if places is not None else [(row, column) for row in range(height) for column in range(width)]
        at = torch.tensor(every, device=query.device)
        rows = self.height_rel[torch.arange(height, device=at.device) - at[:, :1] + height - 1]  # (Q, H, d)
        columns = self.width_rel[torch.arange(width, device=at.device) - at[:, 1:] + width - 1]  # (Q, W, d)
        positions = torch.einsum("bnqd,qkd->bnqk", query, torch.cat([rows, columns], dim=1))
        return torch.cat([query * self.factor, positions * self.factor if self.scaled_positions else positions], dim=-1)

    def keys(self, x: Tensor) -> Tensor:
        key = self._part(x, 1)
        height, width = x.shape[2:]
        number = torch.arange(height * width, device=x.device)
        places = torch.cat([F.one_hot(number // width, height), F.one_hot(number % width, width)], dim=1).to(key)
        return torch.cat([key, places.expand(*key.shape[:2], -1, -1)], dim=-1)

    def values(self, x: Tensor) -> Tensor:
        return self._part(x, 2)

    def _part(self, x: Tensor, part: int) -> Tensor:
        """Queries (0), keys (1) or values (2) of a map, (B, heads, N, d)."""
        start, wide = part * self.width * self.heads, self.width * self.heads
        weight = self.qkv.weight[start:] if part == 2 else self.qkv.weight[start : start + wide]
        return self.split(F.conv2d(x, weight))
