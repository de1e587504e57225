"""Self-attention over positions, as in SAGAN (Zhang et al., ICML 2019, arXiv:1805.08318).

    q = W_q x,  k = W_k x,  v = W_v x          1x1 convolutions, C -> C/8, C/8, C
    A = softmax_keys(q^T k)                    (B, N, N), N = H*W
    y = gamma * (A v) + x                      gamma a scalar that starts at 0

The map A alone has 65,536^2 weights at 256 x 256: 16 GiB per image. The fast path is scaled dot product attention, which
never holds it, neither forward nor backward; rows and columns of chosen positions are computed on demand (`row`, `column`).
A recording computes A beside the fast path and still returns the fast path's output, bit for bit; it does so only up to
`MAX_POSITIONS` queries and keys, and larger maps are not recorded. An edit works at any size: of a larger map it is given
some queries at a time, each with all its keys.

Departures: none by default; the scores are not scaled, as in the paper and the common PyTorch code. ``scaled`` divides them
by sqrt(d). ``pooled_keys`` max-pools keys and values 2x2 as in the original TensorFlow code, without its halved value
width and its output convolution. With a single position A is 1, and the block adds gamma * v.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._registry import Combine, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN
from attnlab.maps import MAX_POSITIONS, MapKind, MapScale

_PIECE = 2**22  # weights of one head and image held at once where all queries are needed: 16 MiB


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
)
class SelfAttention(nn.Module):
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
        super().__init__()
        if channels % heads:
            raise ValueError(f"self_attention cannot split {channels} channels into {heads} heads; choose a divisor")
        self.heads = heads
        self.pooled_keys = pooled_keys
        width = max(channels // reduction // heads, min_hidden)
        self.scale = width**-0.5 if scaled else 1.0
        self.query = nn.Conv2d(channels, width * heads, 1)
        self.key = nn.Conv2d(channels, width * heads, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.tap = AttentionTap(MapKind.PAIRWISE, MapScale.SOFTMAX)

    def forward(self, x: Tensor) -> Tensor:
        query, key = self._split(self.query(x)), self.keys(x)  # (B, heads, N, d), (B, heads, M, d)
        value = self._split(self._pooled(self.value(x)))  # (B, heads, M, C / heads)
        attended = self._edited(query, key, value, self.key_grid(x)) if self.tap.active else None
        if attended is None:
            attended = self._fast(query, key, value)
        y = attended.transpose(2, 3).reshape(x.shape)  # (B, heads, C / heads, N) -> (B, C, H, W)
        return self.gamma * y + x

    def key_grid(self, x: Tensor) -> tuple[int, int]:
        """(H, W) of the keys for an input ``x``."""
        height, width = x.shape[2:]
        pooled = self.pooled_keys and min(height, width) > 1
        return (height // 2, width // 2) if pooled else (height, width)

    def keys(self, x: Tensor) -> Tensor:
        """Keys (B, heads, M, d) of an input (B, C, H, W); pass them to `row` and `column` to compute them only once."""
        return self._split(self._pooled(self.key(x)))

    def row(self, x: Tensor, queries: Sequence[tuple[int, int]], keys: Tensor | None = None) -> Tensor:
        """The weights with which ``queries`` attend to all keys: (B, heads, Q, H', W') on the keys' grid, each summing to 1.

        Args:
            x: the block's input (B, C, H, W).
            queries: (row, column) of each query.
            keys: `keys` of ``x``; computed when left out.

        Raises:
            ValueError: for a position outside the map.
        """
        places = [_check(place, x) for place in queries]
        picked = torch.stack([x[:, :, r, c] for r, c in places], dim=2)[..., None]  # (B, C, Q, 1)
        query = self._split(self.query(picked))  # (B, heads, Q, d)
        rows = self._weights(query, self.keys(x) if keys is None else keys)
        return rows.unflatten(-1, self.key_grid(x))

    def column(self, x: Tensor, key: tuple[int, int], keys: Tensor | None = None) -> Tensor:
        """The attention that one key receives from each query: (B, heads, H, W).

        The softmax needs all N x M scores; they are computed for some queries at a time, so memory stays bounded.

        Raises:
            ValueError: for a position outside the keys' grid.
        """
        height, width = self.key_grid(x)
        if not (0 <= key[0] < height and 0 <= key[1] < width):
            raise ValueError(f"key {key} lies outside the {height} x {width} grid of the keys")
        keys = self.keys(x) if keys is None else keys
        index = key[0] * width + key[1]
        parts = [self._weights(part, keys)[..., index] for part in _pieces(self._split(self.query(x)), keys)]
        return torch.cat(parts, dim=2).unflatten(-1, (x.shape[2], x.shape[3]))

    def _pooled(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2) if self.key_grid(x) != tuple(x.shape[2:]) else x

    def _split(self, x: Tensor) -> Tensor:
        """(B, heads * d, H, W) -> (B, heads, N, d), contiguous: the fast kernel accepts no other strides."""
        return x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3).contiguous()

    def _fast(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """A v without A. The fast kernel needs one width for all three inputs, so narrower ones are padded with zeros.

        On the meta device, where operations are counted and nothing is computed, only what attention itself needs is done.
        """
        if query.is_meta:
            return self._weights(query, key) @ value
        narrow, wide = query.shape[-1], value.shape[-1]
        width = max(narrow, wide)
        query, key = (F.pad(part, (0, width - narrow)) for part in (query, key))
        attended = F.scaled_dot_product_attention(query, key, F.pad(value, (0, width - wide)), scale=self.scale)
        return attended[..., :wide]

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        return (query @ key.transpose(2, 3) * self.scale).softmax(dim=-1)

    def _edited(self, query: Tensor, key: Tensor, value: Tensor, grid: tuple[int, int]) -> Tensor | None:
        """Passes the map through the tap; returns the attended values if an edit changed it, else `None`."""
        whole = max(query.shape[2], key.shape[2]) <= MAX_POSITIONS
        if not (whole or self.tap.editing):
            return None
        changed, attended = False, []
        for part in [query] if whole else _pieces(query, key):
            before = self._weights(part, key).unbind(dim=1)
            after = [self.tap(weights, grid, part=not whole) for weights in before]
            changed = changed or any(new is not old for new, old in zip(after, before, strict=True))
            attended.append(torch.stack(after, dim=1) @ value)
        return torch.cat(attended, dim=2) if changed else None


def _pieces(query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
    """Queries (B, heads, N, d) in parts whose weights over all keys stay within `_PIECE`."""
    return query.split(max(1, _PIECE // key.shape[2]), dim=2)


def _check(place: tuple[int, int], x: Tensor) -> tuple[int, int]:
    height, width = x.shape[2:]
    if not (0 <= place[0] < height and 0 <= place[1] < width):
        raise ValueError(f"query {place} lies outside the {height} x {width} map")
    return place
