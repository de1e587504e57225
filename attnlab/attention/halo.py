"""Halo attention (Vaswani et al., CVPR 2021, arXiv:2103.12731). It takes the place of a 3x3 convolution.

    q, k, v = W x                                    1x1 convolutions without bias, split into heads
    A = softmax_window(q^T k / sqrt(d) + q^T r)      each block of b x b queries attends to its (b + 2h) x (b + 2h) window
    y = A v

Windows reach over the edge of the map, where keys and values are zeros that are not left out: they take a share of the
softmax and give nothing, as in timm's code. Local windows are recorded as a map of all positions to all positions, with one
key more in front that stands for everything outside the map, so that each row sums to 1. Memory is linear in N; a recording
holds N x N weights of at most `MAX_POSITIONS` positions, and an edit of larger maps gets them block by block. Rows and columns
of chosen positions are computed on demand (`row`, `column`), as for other attention between positions.

Departures from timm's code: a map whose sides are no multiples of the block is continued with zeros, where timm stops.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._layers import divisors, rounded_width
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MAX_POSITIONS, MapKind, MapScale

HEADS = (1, 2, 4, 8)


@register_attention(
    "halo",
    title="Halo attention",
    paper="https://arxiv.org/abs/2103.12731",
    summary="In place of a convolution: each position gathers from a window around its block, by content and distance.",
    formula=r"A = \mathrm{softmax}_{\mathrm{window}}(q^\top k / \sqrt{d} + q^\top r),\quad y = A v",
    kinds=[MapKind.PAIRWISE],
    combine=Combine.MIX,
    options={"heads": (8, 1, 2, 4), "block": (8, 2, 4), "halo": (3, 1, 2), "scaled_positions": (False, True)},
    strength="Relates each position to a window around its block, with distances known, in memory linear in the number of "
    "positions. It sees nothing beyond the window.",
    symbols=[
        Symbol("q", "query of the position", "q"),
        Symbol("A", "how much each position attends to each", "tap"),
    ],
    sizes={"side of the window": lambda block: block.window, "query width of one head": lambda block: block.width},
)
class HaloAttention(nn.Module):
    """Multi-head self-attention in windows.

    Args:
        heads: each has its own map.
        block: side of the blocks of queries that share a window.
        halo: how far a window reaches beyond its block on each side.
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
        heads: int = 8,
        block: int = 8,
        halo: int = 3,
        scaled_positions: bool = False,
    ) -> None:
        super().__init__()
        if channels_out % heads:
            raise ValueError(
                f"halo cannot split {channels_out} channels into {heads} heads; set heads to {divisors(channels_out, HEADS)}"
            )
        self.heads, self.block, self.halo = heads, block, halo
        self.window = block + 2 * halo
        self.width = rounded_width(channels_out) // heads  # of the queries and keys of one head
        self.factor = self.width**-0.5
        self.scaled_positions = scaled_positions
        self.q = nn.Conv2d(channels_in, self.width * heads, 1, bias=False)
        self.kv = nn.Conv2d(channels_in, self.width * heads + channels_out, 1, bias=False)
        self.height_rel = nn.Parameter(torch.empty(2 * self.window - 1, self.width))
        self.width_rel = nn.Parameter(torch.empty(2 * self.window - 1, self.width))
        for layer in (self.q, self.kv):
            nn.init.trunc_normal_(layer.weight, std=channels_in**-0.5)
        nn.init.trunc_normal_(self.height_rel, std=self.factor)
        nn.init.trunc_normal_(self.width_rel, std=self.factor)
        self.tap = AttentionTap(MapKind.PAIRWISE, MapScale.SOFTMAX, settles=True)
        self.tap.neutral = None  # nothing is added to the input: without weights nothing would be left

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        down, right = -height % self.block, -width % self.block  # zeros that complete the last blocks
        query = self._blocks(F.pad(self.q(x), (0, right, 0, down)))  # (B, heads, blocks, b * b, d)
        kv = self.kv(x)
        edge = self.halo
        wide = F.pad(kv, (edge, edge + right, edge, edge + down))
        windows = wide.unfold(2, self.window, self.block).unfold(3, self.window, self.block)
        windows = windows.flatten(4).flatten(2, 3).unflatten(1, (self.heads, -1))  # (B, heads, d + v, blocks, w * w)
        key, value = windows.permute(0, 1, 3, 4, 2).split([self.width, windows.shape[2] - self.width], dim=-1)
        weights = self._weights(query, key)
        gathered = self._edited(weights, kv) if self.tap.active else None
        if gathered is None:
            gathered = self._whole(weights @ value, height + down, width + right)
        return gathered[:, :, :height, :width].contiguous()

    def query_grid(self, x: Tensor) -> tuple[int, int]:
        """(H, W) of the queries for an input ``x``."""
        return x.shape[2], x.shape[3]

    def key_grid(self, x: Tensor) -> tuple[int, int]:
        """(H, W) of the keys for an input ``x``: every position is one."""
        return x.shape[2], x.shape[3]

    def keys(self, x: Tensor) -> Tensor:
        """What rows and columns of ``x`` are computed from: ``x`` itself, since each needs few windows only."""
        return x

    def row(self, x: Tensor, queries: Sequence[tuple[int, int]], keys: Tensor | None = None) -> Tensor:
        """The weights with which ``queries`` attend to all positions: (B, heads, Q, H, W).

        A row sums to 1 less the share that goes to what its window sees beyond the edge of the map.

        Raises:
            ValueError: for a position outside the map.
        """
        rows = []
        for row, column in queries:
            self._inside(x, row, column)
            top, left = row // self.block * self.block, column // self.block * self.block
            weights = self._of_block(x, top, left)[:, :, row - top, column - left]  # (B, heads, w, w)
            wide = weights.new_zeros(*weights.shape[:2], *(side + 2 * self.window for side in x.shape[2:]))
            up, right = top - self.halo + self.window, left - self.halo + self.window
            wide[:, :, up : up + self.window, right : right + self.window] = weights
            rows.append(wide[:, :, self.window : -self.window, self.window : -self.window])
        return torch.stack(rows, dim=2)

    def column(self, x: Tensor, key: tuple[int, int], keys: Tensor | None = None) -> Tensor:
        """The attention that one position receives from each query: (B, heads, H, W), 0 where no window reaches it.

        Raises:
            ValueError: for a position outside the map.
        """
        self._inside(x, *key)
        height, width = x.shape[2:]
        out = x.new_zeros(len(x), self.heads, height + self.block, width + self.block)
        for top in range(0, height, self.block):
            for left in range(0, width, self.block):
                down, right = key[0] - top + self.halo, key[1] - left + self.halo  # the key's place in the window
                if 0 <= down < self.window and 0 <= right < self.window:
                    received = self._of_block(x, top, left)[..., down, right]
                    out[:, :, top : top + self.block, left : left + self.block] = received
        return out[:, :, :height, :width]

    def _inside(self, x: Tensor, row: int, column: int) -> None:
        height, width = x.shape[2:]
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"position {(row, column)} lies outside the {height} x {width} map")

    def _of_block(self, x: Tensor, top: int, left: int) -> Tensor:
        """The weights of the block of queries that begins at a place: (B, heads, b, b, w, w)."""
        b, w, edge = self.block, self.window, self.halo
        wide = F.pad(x, (edge, edge + b, edge, edge + b))[:, :, top : top + w, left : left + w]  # zeros give keys of zeros
        query = self._blocks(self.q(wide[:, :, edge : edge + b, edge : edge + b]))
        key = self.kv(wide).unflatten(1, (self.heads, -1))[:, :, : self.width].flatten(3).transpose(2, 3)[:, :, None]
        return self._weights(query, key)[:, :, 0].unflatten(3, (w, w)).unflatten(2, (b, b))

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Of each query the softmax over its window: (B, heads, blocks, b * b, w * w)."""
        weights = (query @ key.transpose(-1, -2) * self.factor + self._positions(query)).softmax(dim=-1)
        # Fixed, they are uniform over what a query can reach, which is its window and not the whole map.
        return torch.full_like(weights, 1 / self.window**2) if self.tap.fixed else weights

    def _positions(self, query: Tensor) -> Tensor:
        """The part of the scores that depends on how far key and query are apart: (B, heads, blocks, b * b, w * w)."""
        b, w = self.block, self.window
        apart = torch.arange(w, device=query.device) - torch.arange(b, device=query.device)[:, None] + w - 1  # (b, w)
        grid = query.unflatten(3, (b, b))
        rows = torch.einsum("bnkyxd,yid->bnkyxi", grid, self.height_rel[apart])
        columns = torch.einsum("bnkyxd,xjd->bnkyxj", grid, self.width_rel[apart])
        scores = (rows[..., None] + columns[..., None, :]).flatten(5).flatten(3, 4)
        return scores * self.factor if self.scaled_positions else scores

    def _blocks(self, x: Tensor) -> Tensor:
        """(B, heads * d, H, W), sides multiples of the block -> (B, heads, blocks, b * b, d)."""
        b = self.block
        parts = x.unflatten(3, (-1, b)).unflatten(2, (-1, b)).unflatten(1, (self.heads, -1))  # (B, n, d, H/b, b, W/b, b)
        return parts.permute(0, 1, 3, 5, 4, 6, 2).flatten(4, 5).flatten(2, 3)

    def _whole(self, x: Tensor, height: int, width: int) -> Tensor:
        """The way back: (B, heads, blocks, b * b, v) -> (B, heads * v, H, W)."""
        b = self.block
        parts = x.unflatten(3, (b, b)).unflatten(2, (height // b, width // b))  # (B, n, H/b, W/b, b, b, v)
        return parts.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4).flatten(1, 2)

    def _edited(self, weights: Tensor, kv: Tensor) -> Tensor | None:
        """Passes the map over all positions through the tap; returns what an edit lets the positions gather, else `None`."""
        height, width = kv.shape[2:]
        whole = height * width <= MAX_POSITIONS
        if not (whole or self.tap.editing):
            return None
        values = kv.unflatten(1, (self.heads, -1))[:, :, self.width :].flatten(3).transpose(2, 3)
        places, keys = self._places(height, width, kv.device)
        changed = False
        out = kv.new_zeros(*values.shape[:2], height * width, values.shape[3])
        groups = [range(len(places))] if whole else [range(index, index + 1) for index in range(len(places))]
        for group in groups:
            own = places[group.start : group.stop].flatten()  # the queries' places, N for those beyond the edge
            rows = weights.new_zeros(*weights.shape[:2], len(group), self.block**2, 1 + height * width)
            part = weights[:, :, group.start : group.stop]
            rows.scatter_add_(-1, keys[group.start : group.stop, None].expand_as(part), part)
            inside = height * width if whole else int((own < height * width).sum())
            order = own.argsort()[:inside]  # those beyond the edge come last
            before = rows.flatten(2, 3)[:, :, order]
            after = self.tap.heads(before, (height, width), queries=(height, width), prefix=1, part=not whole)
            changed = changed or after is not before
            out[:, :, own[order]] = after[..., 1:] @ values
        return out.transpose(2, 3).flatten(1, 2).unflatten(2, (height, width)) if changed else None

    def _places(self, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where the queries and the keys of each block lie on the map.

        Returns:
            Numbers of the queries, (blocks, b * b), N where there is none; and of the keys, (blocks, w * w), counted from
            1, 0 for those outside the map.
        """
        number = torch.arange(height * width, device=device).view(1, 1, height, width)
        down, right = -height % self.block, -width % self.block
        edge = self.halo
        own = F.pad(number, (0, right, 0, down), value=height * width)
        own = own.unfold(2, self.block, self.block).unfold(3, self.block, self.block)
        around = F.pad(number + 1, (edge, edge + right, edge, edge + down))
        around = around.unfold(2, self.window, self.block).unfold(3, self.window, self.block)
        return own.flatten(4).flatten(0, 3), around.flatten(4).flatten(0, 3)
