"""Attention of positions to positions in memory linear in their number: the part that all such blocks share.

    A = softmax_keys(scale * Q K^T)        (B, heads, N, M)
    attended = A V                         (B, heads, N, v)

The map A alone has 65,536^2 weights at 256 x 256: 16 GiB per image. The fast path is scaled dot product attention, which
never holds it, neither forward nor backward; rows and columns of chosen positions are computed on demand (`row`, `column`).
A recording computes A beside the fast path and still returns the fast path's output, bit for bit; it does so only up to
`MAX_POSITIONS` positions, and larger maps are not recorded. An edit works at any size: of a larger map it is given
some queries at a time, each with all its keys. One map per head passes through the tap, in order.

Networks of tokens use the same part: `TokenAttention` takes (B, N, D) in place of a map, and tokens without a position, a class
token and registers, come first among queries and keys (``prefix``).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._tap import AttentionTap
from attnlab.maps import MAX_POSITIONS, MapKind, MapScale

Place = tuple[int, int]
_PIECE = 2**22  # weights of one head and image held at once where all queries are needed: 16 MiB


@runtime_checkable
class RowsOnDemand(Protocol):
    """Attention between positions whose maps need not be held whole: single rows and columns can be computed.

    The methods are those of `PairwiseAttention`; the block is an `nn.Module` and its tap is called ``tap``.
    """

    heads: int

    def query_grid(self, x: Tensor) -> Place: ...

    def key_grid(self, x: Tensor) -> Place: ...

    def keys(self, x: Tensor) -> Tensor: ...

    def row(self, x: Tensor, queries: Sequence[Place], keys: Tensor | None = None) -> Tensor: ...

    def column(self, x: Tensor, key: Place, keys: Tensor | None = None) -> Tensor: ...


class PairwiseAttention(nn.Module, ABC):
    """Gathers the values of all positions for each position. A block says what its queries, keys and values are.

    Args:
        heads: how many attend separately.
        scale: of the scores.
        prefix: how many queries and keys have no position; they come first.
        dropout: share of the weights that is dropped in training. A recording shows the weights before it.
    """

    def __init__(self, heads: int = 1, scale: float = 1.0, *, prefix: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
        self.prefix = prefix
        self.dropout = dropout
        self.tap = AttentionTap(MapKind.PAIRWISE, MapScale.SOFTMAX, settles=True)

    @abstractmethod
    def queries(self, x: Tensor, places: Sequence[Place] | None = None) -> Tensor:
        """Queries (B, heads, Q, d) of an input (B, C, H, W): of all positions, or of those at (row, column)."""

    @abstractmethod
    def keys(self, x: Tensor) -> Tensor:
        """Keys (B, heads, M, d) of an input (B, C, H, W); pass them to `row` and `column` to compute them only once."""

    @abstractmethod
    def values(self, x: Tensor) -> Tensor:
        """Values (B, heads, M, v) of an input (B, C, H, W)."""

    def query_grid(self, x: Tensor) -> Place:
        """(H, W) of the queries for an input ``x``."""
        return x.shape[2], x.shape[3]

    def key_grid(self, x: Tensor) -> Place:
        """(H, W) of the keys for an input ``x``."""
        return self.query_grid(x)

    def attend(self, x: Tensor) -> Tensor:
        """What each position gathers: (B, heads * v, H, W)."""
        grids = self.query_grid(x), self.key_grid(x)
        attended = self.attended(self.queries(x), self.keys(x), self.values(x), grids)
        return attended.transpose(2, 3).reshape(len(x), -1, *x.shape[2:])

    def attended(self, query: Tensor, key: Tensor, value: Tensor, grids: tuple[Place, Place]) -> Tensor:
        """What each query gathers: (B, heads, Q, v).

        Args:
            query, key, value: as `queries`, `keys` and `values` give them.
            grids: (H, W) of the queries and of the keys that have a position.
        """
        edited = self._edited(query, key, value, grids) if self.tap.active else None
        return self._fast(query, key, value) if edited is None else edited

    def row(self, x: Tensor, queries: Sequence[Place], keys: Tensor | None = None) -> Tensor:
        """The weights with which ``queries`` attend to all keys: (B, heads, Q, H', W') on the keys' grid.

        Each sums to 1, less what goes to keys without a position.

        Args:
            x: the block's input.
            queries: (row, column) of each query.
            keys: `keys` of ``x``; computed when left out.

        Raises:
            ValueError: for a position outside the map.
        """
        height, width = self.query_grid(x)
        for row, column in queries:
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(f"query {(row, column)} lies outside the {height} x {width} map")
        rows = self._weights(self.queries(x, queries), self.keys(x) if keys is None else keys)
        return rows[..., self.prefix :].unflatten(-1, self.key_grid(x))

    def column(self, x: Tensor, key: Place, keys: Tensor | None = None) -> Tensor:
        """The attention that one key receives from each query: (B, heads, H, W).

        The softmax needs all N x M scores; they are computed for some queries at a time, so memory stays bounded.

        Raises:
            ValueError: for a position outside the keys' grid.
        """
        height, width = self.key_grid(x)
        if not (0 <= key[0] < height and 0 <= key[1] < width):
            raise ValueError(f"key {key} lies outside the {height} x {width} grid of the keys")
        keys = self.keys(x) if keys is None else keys
        index = self.prefix + key[0] * width + key[1]
        queries = self.queries(x)[:, :, self.prefix :]
        parts = [self._weights(part, keys)[..., index] for part in _pieces(queries, keys)]
        return torch.cat(parts, dim=2).unflatten(-1, self.query_grid(x))

    def split(self, x: Tensor) -> Tensor:
        """(B, heads * d, H, W) -> (B, heads, N, d), contiguous: the fast kernel accepts no other strides."""
        return x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3).contiguous()

    def _fast(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """A v without A. The fast kernel needs one width for all three inputs, so narrower ones are padded with zeros.

        On the meta device, where operations are counted and nothing is computed, only what attention itself needs is done.
        """
        if self.tap.fixed:  # the same weight for all keys
            read = value.sum(dim=2, keepdim=True) * self._fixed_weight(key)
            return read.expand(-1, -1, query.shape[2], -1)
        if query.is_meta:
            return self._weights(query, key) @ value
        narrow, wide = query.shape[-1], value.shape[-1]
        if narrow != wide:
            query, key, value = (F.pad(part, (0, max(narrow, wide) - part.shape[-1])) for part in (query, key, value))
        dropped = self.dropout if self.training else 0.0
        return F.scaled_dot_product_attention(query, key, value, dropout_p=dropped, scale=self.scale)[..., :wide]

    def _fixed_weight(self, key: Tensor) -> float:
        """The weight of every key while the tap is fixed."""
        return 1 / key.shape[2] if self.tap.neutral is None else self.tap.neutral

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        if self.tap.fixed:
            return query.new_full((*query.shape[:3], key.shape[2]), self._fixed_weight(key))
        return (query @ key.transpose(2, 3) * self.scale).softmax(dim=-1)

    def _edited(self, query: Tensor, key: Tensor, value: Tensor, grids: tuple[Place, Place]) -> Tensor | None:
        """Passes the map through the tap; returns the attended values if an edit changed it, else `None`."""
        whole = max(map(math.prod, grids)) <= MAX_POSITIONS
        if not (whole or self.tap.editing):
            return None
        changed, attended = False, []
        for part in [query] if whole else _pieces(query, key):
            before = self._weights(part, key)
            after = self.tap.heads(before, grids[1], queries=grids[0], prefix=self.prefix, part=not whole)
            if whole and after is before:
                return None
            changed = changed or after is not before
            attended.append(F.dropout(after, self.dropout, self.training) @ value)
        return torch.cat(attended, dim=2) if changed else None


class TokenAttention(PairwiseAttention):
    """Multi-head self-attention of tokens (B, N, D), as in Vaswani et al. (NeurIPS 2017, arXiv:1706.03762).

        [q | k | v] = W x,    A = softmax_keys(q k^T / sqrt(d)),    y = W_o [A_1 v_1, ..., A_n v_n]

    Tokens without a position come first, then the positions of a grid, row by row. Fixed weights (`fix_weights`) read all
    tokens uniformly, though the neutral weight is 0, as of all attention that is added to its input: a network whose class
    token gathers nothing, in training too, could learn nothing of the picture.

    Args:
        width: D, a multiple of ``heads``.
        grid: (H, W) of the tokens that have a position, where a call names no other.
        prefix: how many tokens have none.
        bias: whether queries, keys and values have biases.
        dropout: share of the weights that is dropped in training.
    """

    def __init__(
        self, width: int, heads: int, grid: Place, *, prefix: int = 0, bias: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__(heads, (width // heads) ** -0.5, prefix=prefix, dropout=dropout)
        self.grid = grid
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, *, grid: Place | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D); ``grid`` where the picture has another size than the network was made for."""
        place = grid or self.grid
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(self.attended(query, key, value, (place, place)).transpose(1, 2).flatten(2))

    def _fixed_weight(self, key: Tensor) -> float:
        return 1 / key.shape[2]

    def query_grid(self, x: Tensor) -> Place:
        return self.grid

    def queries(self, x: Tensor, places: Sequence[Place] | None = None) -> Tensor:
        if places is not None:
            x = x[:, [self.prefix + row * self.grid[1] + column for row, column in places]]
        return self._part(x, 0)

    def keys(self, x: Tensor) -> Tensor:
        return self._part(x, 1)

    def values(self, x: Tensor) -> Tensor:
        return self._part(x, 2)

    def _part(self, x: Tensor, part: int) -> Tensor:
        """Queries (0), keys (1) or values (2) of tokens, (B, heads, N, d)."""
        wide = self.qkv.in_features
        rows = slice(part * wide, (part + 1) * wide)
        bias = None if self.qkv.bias is None else self.qkv.bias[rows]
        return F.linear(x, self.qkv.weight[rows], bias).unflatten(-1, (self.heads, -1)).transpose(1, 2)


def at_places(x: Tensor, places: Sequence[Place] | None) -> Tensor:
    """The features at some positions, as a map of one column: (B, C, H, W) -> (B, C, Q, 1); all of them for `None`."""
    return x if places is None else torch.stack([x[:, :, row, column] for row, column in places], dim=2)[..., None]


def _pieces(query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
    """Queries (B, heads, N, d) in parts whose weights over all keys stay within `_PIECE`."""
    return query.split(max(1, _PIECE // key.shape[2]), dim=2)
