"""Self-attention over positions, as in SAGAN (Zhang et al., ICML 2019, arXiv:1805.08318).

    q = W_q x,  k = W_k x,  v = W_v x          1x1 convolutions, C -> C/8, C/8, C
    A = softmax_keys(q^T k)                    (B, N, N), N = H*W
    y = gamma * (A v) + x                      gamma a scalar that starts at 0

The map A is never held whole unless somebody asks (`attnlab.attention._pairwise`).

Departures: none by default; the scores are not scaled, as in the paper and the common PyTorch code. ``scaled`` divides them
by sqrt(d). ``pooled_keys`` max-pools keys and values 2x2 as in the original TensorFlow code, without its halved value
width and its output convolution. With a single position A is 1, and the block adds gamma * v.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._pairwise import PairwiseAttention, Place, at_places
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention.squeeze_excite import MIN_HIDDEN
from attnlab.maps import MapKind


@register_attention(
    "self_attention",
    title="Self-attention",
    paper="https://arxiv.org/abs/1805.08318",
    summary="Each position attends to all positions and gathers their values, weighted by how well its query fits their keys.",
    formula=r"A = \mathrm{softmax}(q^\top k),\quad y = \gamma\, A v + x",
    kinds=[MapKind.PAIRWISE],
    combine=Combine.READOUT,
    options={
        "reduction": (1, 2, 4, 8, 16),
        "min_hidden": MIN_HIDDEN,
        "heads": (1, 2, 4, 8),
        "scaled": (False, True),
        "pooled_keys": (False, True),
    },
    new_runs={"min_hidden": 4},
    strength="Lets far places inform each other, and starts as the identity, with gamma = 0. Time grows with the square of "
    "the number of positions.",
    symbols=[
        Symbol("q", "query of the position", "query"),
        Symbol("k", "key of the position", "key"),
        Symbol("v", "value of the position", "value"),
        Symbol("A", "how much each position attends to each", "tap"),
        Symbol(r"\gamma", "learned factor of what is gathered", "gamma"),
    ],
    sizes={"query width": lambda block: block.query.out_channels},
)
class SelfAttention(PairwiseAttention):
    """Self-attention with memory linear in N. With several heads one map per head passes through the tap, in order.

    Args:
        reduction: queries and keys have ``channels // reduction`` channels, shared among the heads.
        min_hidden: at least so many per head; the paper names no least number.
        heads: the channels are split into this many groups, which attend separately.
        scaled: divide the scores by the square root of the head's query width.
        pooled_keys: max-pool keys and values 2x2; a map that is one position high or wide is not pooled.

    Raises:
        ValueError: when ``channels`` cannot be split into ``heads``.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        reduction: int = 8,
        min_hidden: int = 1,
        heads: int = 1,
        scaled: bool = False,
        pooled_keys: bool = False,
    ) -> None:
        if channels % heads:
            raise ValueError(f"self_attention cannot split {channels} channels into {heads} heads; choose a divisor")
        width = max(channels // reduction // heads, min_hidden)
        super().__init__(heads, width**-0.5 if scaled else 1.0)
        self.pooled_keys = pooled_keys
        self.query = nn.Conv2d(channels, width * heads, 1)
        self.key = nn.Conv2d(channels, width * heads, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def start_as_identity(self) -> None:
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * self.attend(x) + x

    def key_grid(self, x: Tensor) -> Place:
        height, width = x.shape[2:]
        pooled = self.pooled_keys and min(height, width) > 1
        return (height // 2, width // 2) if pooled else (height, width)

    def queries(self, x: Tensor, places: Sequence[Place] | None = None) -> Tensor:
        return self.split(self.query(at_places(x, places)))

    def keys(self, x: Tensor) -> Tensor:
        return self.split(self._pooled(self.key(x)))

    def values(self, x: Tensor) -> Tensor:
        return self.split(self._pooled(self.value(x)))

    def _pooled(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if self.key_grid(x) != tuple(x.shape[2:]) else x
