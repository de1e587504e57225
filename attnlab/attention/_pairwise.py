"""Attention of positions to positions in memory linear in their number: the part that all such blocks share.

    A = softmax_keys(scale * Q K^T)        (B, heads, N, M)
    attended = A V                         (B, heads, N, v)

The map A alone has 65,536^2 weights at 256 x 256: 16 GiB per image. The fast path is scaled dot product attention, which
never holds it, neither forward nor backward; rows and columns of chosen positions are computed on demand (`row`, `column`).
A recording computes A beside the fast path and still returns the fast path's output, bit for bit; it does so only up to
`MAX_POSITIONS` queries and keys, and larger maps are not recorded. An edit works at any size: of a larger map it is given
some queries at a time, each with all its keys. One map per head passes through the tap, in order.
"""

from __future__ import annotations

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

    def key_grid(self, x: Tensor) -> Place: ...

    def keys(self, x: Tensor) -> Tensor: ...

    def row(self, x: Tensor, queries: Sequence[Place], keys: Tensor | None = None) -> Tensor: ...

    def column(self, x: Tensor, key: Place, keys: Tensor | None = None) -> Tensor: ...


class PairwiseAttention(nn.Module, ABC):
    """Gathers the values of all positions for each position. A block says what its queries, keys and values are.

    Args:
        heads: how many attend separately.
        scale: of the scores.
    """

    def __init__(self, heads: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.heads = heads
        self.scale = scale
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

    def key_grid(self, x: Tensor) -> Place:
        """(H, W) of the keys for an input ``x``."""
        return x.shape[2], x.shape[3]

    def attend(self, x: Tensor) -> Tensor:
        """What each position gathers: (B, heads * v, H, W)."""
        query, key, value = self.queries(x), self.keys(x), self.values(x)
        attended = self._edited(query, key, value, x) if self.tap.active else None
        if attended is None:
            attended = self._fast(query, key, value)
        return attended.transpose(2, 3).reshape(len(x), -1, *x.shape[2:])

    def row(self, x: Tensor, queries: Sequence[Place], keys: Tensor | None = None) -> Tensor:
        """The weights with which ``queries`` attend to all keys: (B, heads, Q, H', W') on the keys' grid, each summing to 1.

        Args:
            x: the block's input (B, C, H, W).
            queries: (row, column) of each query.
            keys: `keys` of ``x``; computed when left out.

        Raises:
            ValueError: for a position outside the map.
        """
        height, width = x.shape[2:]
        for row, column in queries:
            if not (0 <= row < height and 0 <= column < width):
                raise ValueError(f"query {(row, column)} lies outside the {height} x {width} map")
        rows = self._weights(self.queries(x, queries), self.keys(x) if keys is None else keys)
        return rows.unflatten(-1, self.key_grid(x))

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
        index = key[0] * width + key[1]
        parts = [self._weights(part, keys)[..., index] for part in _pieces(self.queries(x), keys)]
        return torch.cat(parts, dim=2).unflatten(-1, (x.shape[2], x.shape[3]))

    def split(self, x: Tensor) -> Tensor:
        """(B, heads * d, H, W) -> (B, heads, N, d), contiguous: the fast kernel accepts no other strides."""
        return x.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3).contiguous()

    def _fast(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """A v without A. The fast kernel needs one width for all three inputs, so narrower ones are padded with zeros.

        On the meta device, where operations are counted and nothing is computed, only what attention itself needs is done.
        """
        if self.tap.fixed:  # the same weight for all keys
            read = value.sum(dim=2, keepdim=True) * self._neutral(key)
            return read.expand(-1, -1, query.shape[2], -1)
        if query.is_meta:
            return self._weights(query, key) @ value
        narrow, wide = query.shape[-1], value.shape[-1]
        width = max(narrow, wide)
        query, key = (F.pad(part, (0, width - narrow)) for part in (query, key))
        attended = F.scaled_dot_product_attention(query, key, F.pad(value, (0, width - wide)), scale=self.scale)
        return attended[..., :wide]

    def _neutral(self, key: Tensor) -> float:
        return 1 / key.shape[2] if self.tap.neutral is None else self.tap.neutral

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        if self.tap.fixed:
            return query.new_full((*query.shape[:3], key.shape[2]), self._neutral(key))
        return (query @ key.transpose(2, 3) * self.scale).softmax(dim=-1)

    def _edited(self, query: Tensor, key: Tensor, value: Tensor, x: Tensor) -> Tensor | None:
        """Passes the map through the tap; returns the attended values if an edit changed it, else `None`."""
        whole = max(query.shape[2], key.shape[2]) <= MAX_POSITIONS
        if not (whole or self.tap.editing):
            return None
        changed, attended = False, []
        for part in [query] if whole else _pieces(query, key):
            before = self._weights(part, key)
            after = self.tap.heads(before, self.key_grid(x), queries=(x.shape[2], x.shape[3]), part=not whole)
            changed = changed or after is not before
            attended.append(after @ value)
        return torch.cat(attended, dim=2) if changed else None


def at_places(x: Tensor, places: Sequence[Place] | None) -> Tensor:
    """The features at some positions, as a map of one column: (B, C, H, W) -> (B, C, Q, 1); all of them for `None`."""
    return x if places is None else torch.stack([x[:, :, row, column] for row, column in places], dim=2)[..., None]


def _pieces(query: Tensor, key: Tensor) -> tuple[Tensor, ...]:
    """Queries (B, heads, N, d) in parts whose weights over all keys stay within `_PIECE`."""
    return query.split(max(1, _PIECE // key.shape[2]), dim=2)
