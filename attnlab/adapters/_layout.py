"""How the weights of a foreign network are brought into the shapes of attnlab's maps, and back.

Gates multiply features, whose dimensions are named by where their elements lie: a dimension along which the row changes is
that of the rows, and so on. Attention between positions is sorted into the reading order of its grids, with what has no
position in front; windows are laid into the map of all queries and keys, which is 0 where no window reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from attnlab.adapters._positions import SAMPLE, Positions
from attnlab.attention import AttentionTap, MapKind, MapScale
from attnlab.geometry import Cells, Size
from attnlab.maps import MAX_POSITIONS

TOLERANCE = 1e-4
"""How far from 1 the sum of a softmax may be."""


class Unusual(ValueError):
    """These weights have no form that attnlab can show; the message says why."""


@dataclass(frozen=True, eq=False)
class GateLayout:
    """Weights that multiply features.

    Attributes:
        ndim: of the features, whose first dimension is that of the images.
        channels: dimensions of the features that are no positions.
        rows, columns: dimensions of a map; -1 where there are tokens.
        tokens: dimension of the tokens, which are the positions of ``grid`` in reading order; -1 where there is a map.
        branch: the dimension over which weights of branches sum to 1; -1 where there are none.
    """

    kind: MapKind
    scale: MapScale
    ndim: int
    channels: tuple[int, ...]
    rows: int
    columns: int
    tokens: int
    grid: Size
    branch: int = -1

    def to_map(self, weights: Tensor) -> Tensor:
        """The weights (as they are multiplied) in the shape of their kind; views where that can be."""
        aligned = _aligned(weights, self.ndim)
        if self.kind is MapKind.BRANCH:
            others = [dim for dim in self.channels if dim != self.branch]
            ordered = aligned.permute(0, self.branch, *others, self.rows, self.columns)
            return ordered.flatten(2, 1 + len(others)) if others else ordered.unsqueeze(2)
        if self.tokens >= 0:
            ordered = aligned.permute(0, *self.channels, self.tokens).flatten(1, -2)
            return ordered.unflatten(-1, self.grid if ordered.shape[-1] > 1 else (1, 1))
        ordered = aligned.permute(0, *self.channels, self.rows, self.columns)
        return ordered.flatten(1, -3) if self.channels else ordered.unsqueeze(1)

    def from_map(self, values: Tensor, weights: Tensor) -> Tensor:
        """The way back: in a shape that multiplies the features as ``weights`` do."""
        aligned = _aligned(weights, self.ndim)
        if self.kind is MapKind.BRANCH:
            order = [0, self.branch, *(dim for dim in self.channels if dim != self.branch), self.rows, self.columns]
        elif self.tokens >= 0:
            order = [0, *self.channels, self.tokens]
        else:
            order = [0, *self.channels, self.rows, self.columns]
        shaped = values.reshape([aligned.shape[dim] for dim in order])
        return shaped.permute([order.index(dim) for dim in range(self.ndim)])


def _aligned(weights: Tensor, ndim: int) -> Tensor:
    """With as many dimensions as the features, and a length of 1 where one weight is spread over a dimension."""
    aligned = weights.reshape((1,) * (ndim - weights.ndim) + weights.shape) if weights.ndim < ndim else weights
    for dim in range(1, ndim):
        if aligned.shape[dim] > 1 and aligned.stride(dim) == 0:
            aligned = aligned.narrow(dim, 0, 1)
    return aligned


def gate_layout(weights: Tensor, features: Tensor, where: Positions | None, *, within: bool, softmax: bool) -> GateLayout:
    """The layout of weights that multiply ``features``.

    Args:
        where: the positions of the features.
        within: whether these are gates as such, in [0, 1]; computed further they are factors.
        softmax: whether they come from a softmax.

    Raises:
        Unusual: for weights that are no map.
    """
    if features.ndim < 3:
        raise Unusual("the features that it multiplies have neither rows nor tokens")
    aligned = _aligned(weights, features.ndim)
    if aligned.shape[0] != features.shape[0]:
        raise Unusual("its weights are the same for every image")
    rows, columns, tokens, grid = _dimensions(features, where)
    channels = tuple(dim for dim in range(1, features.ndim) if dim not in (rows, columns, tokens))
    wide = [dim for dim in range(1, features.ndim) if aligned.shape[dim] > 1]
    if not wide:
        raise Unusual("it is one number for the whole map")
    placed = any(dim in (rows, columns, tokens) for dim in wide)
    if tokens >= 0 and placed and grid[0] * grid[1] != features.shape[tokens]:
        raise Unusual("some of the tokens that it multiplies have no position in the picture")
    low, high = float(weights.min()), float(weights.max())
    scale = MapScale.GATE if within and low >= 0 and high <= 1 + TOLERANCE else MapScale.FACTOR
    branch = -1
    if softmax and not placed and rows >= 0:
        summing = [dim for dim in channels if aligned.shape[dim] > 1 and _sums(aligned, (dim,))]
        if summing and len(channels) > 1:
            branch = summing[0]
    if branch >= 0:
        kind, scale = MapKind.BRANCH, MapScale.SOFTMAX
    elif not placed:
        kind = MapKind.CHANNEL
    else:
        kind = MapKind.ELEMENT if any(dim in channels for dim in wide) else MapKind.SPATIAL
        over = tuple(dim for dim in (rows, columns, tokens) if dim >= 0)
        if softmax and _sums(aligned, over):
            scale = MapScale.SOFTMAX
    layout = GateLayout(kind, scale, features.ndim, channels, rows, columns, tokens, grid, branch)
    made = layout.to_map(weights)
    if kind is MapKind.SPATIAL and made.shape[1] != 1:
        raise Unusual("its weights have an order of channels that is not followed")
    if not torch.equal(layout.from_map(made, weights).expand_as(features), weights.expand_as(features)):
        raise Unusual("its weights have an order that is not followed")
    return layout


def _sums(weights: Tensor, dims: tuple[int, ...]) -> bool:
    sums = weights.float().sum(dim=dims)
    return bool(torch.allclose(sums, torch.ones_like(sums), atol=TOLERANCE))


def _dimensions(features: Tensor, where: Positions | None) -> tuple[int, int, int, Size]:
    """The dimensions of rows, columns and tokens of some features, -1 where there is none, and the grid of the tokens."""
    if where is None:
        if features.ndim != 4:
            raise Unusual("it is not known where the features lie that it multiplies")
        return 2, 3, -1, (features.shape[2], features.shape[3])
    index = (where.ids[0] - 1) % SAMPLE
    row, column = index // where.grid[1], index % where.grid[1]
    by_row, by_column = (
        [dim for dim in range(1, features.ndim) if features.shape[dim] > 1 and not _same_along(each, dim)]
        for each in (row, column)
    )
    both = set(by_row) & set(by_column)
    if len(both) == 1 and len(set(by_row) | set(by_column)) == 1:
        tokens = both.pop()
        first = where.ids[0][0].select(tokens - 1, 0)
        order = (where.ids[0].movedim(tokens, -1).reshape(len(features), -1, features.shape[tokens])[0, 0] - 1) % SAMPLE
        if bool((where.ids[0] == 0).any()) or first.numel() == 0:
            return -1, -1, tokens, (0, 0)
        grid = _grid_of(order.numpy(), where.grid)[0]
        if not bool((order.diff() > 0).all()):
            raise Unusual("its tokens are not in reading order")
        return -1, -1, tokens, grid
    if len(by_row) <= 1 and len(by_column) <= 1 and not both:
        rows = by_row[0] if by_row else next((dim for dim in (2, 3) if features.ndim == 4 and dim not in by_column), -1)
        columns = by_column[0] if by_column else next((dim for dim in (3, 2) if features.ndim == 4 and dim != rows), -1)
        if rows >= 0 and columns >= 0:
            return rows, columns, -1, (features.shape[rows], features.shape[columns])
    raise Unusual("the features that it multiplies are no map of rows and columns")


def _same_along(ids: Tensor, dim: int) -> bool:
    return bool((ids == ids.narrow(dim, 0, 1)).all())


def _grid_of(index: np.ndarray, fine: Size) -> tuple[Size, np.ndarray, tuple[int, int, int, int]]:
    """The grid that some positions of a finer grid fill.

    Returns:
        Its size; the index in it of each position; and (first row, first column, step down, step across) in the finer one.
    """
    rows, columns = np.unique(index // fine[1]), np.unique(index % fine[1])
    if len(rows) * len(columns) != len(np.unique(index)):
        raise Unusual("its positions do not fill a grid")
    steps = []
    for each in (rows, columns):
        apart = np.unique(np.diff(each))
        if len(apart) > 1:
            raise Unusual("its positions are not evenly spaced")
        steps.append(int(apart[0]) if len(apart) else 1)
    at = np.searchsorted(rows, index // fine[1]) * len(columns) + np.searchsorted(columns, index % fine[1])
    return (len(rows), len(columns)), at, (int(rows[0]), int(columns[0]), steps[0], steps[1])


def coarse_cells(where: Positions, ids: Tensor) -> Cells | None:
    """Where the positions lie in the picture that some ids name: each the group of finer positions that it is the first of."""
    if where.cells is None:
        return None
    index = np.unique(((ids[ids > 0] - 1) % SAMPLE).numpy())
    _, _, (row, column, down, across) = _grid_of(index, where.grid)
    moved = Cells(where.cells.rows.after(1, 1, -row), where.cells.columns.after(1, 1, -column))
    return moved.merged(down, across)


@dataclass(frozen=True, eq=False)
class PairLayout:
    """Attention of queries to keys, of all windows and heads of one image.

    Attributes:
        windows, heads: how many there are; ``order`` (windows, heads) is where each lies among the leading dimensions.
        queries: (windows, Q) the place of each query in the map, -1 for none.
        keys: (windows, K) the place of each key in the map.
        query_grid: (H, W) of the queries; `None` where they have no positions.
        key_grid: (H, W) of the keys; ``prefix`` places in front of them have no position.
    """

    scale: MapScale
    order: np.ndarray
    queries: np.ndarray
    keys: np.ndarray
    query_places: int
    query_grid: Size | None
    key_grid: Size
    prefix: int

    @property
    def heads(self) -> int:
        return self.order.shape[1]

    @property
    def pooled(self) -> bool:
        """Whether it reads the map into one vector, so that its weights are a map of positions."""
        return self.query_grid is None and self.query_places == 1 and self.heads == 1 and not self.prefix

    @cached_property
    def _plain(self) -> bool:
        whole = (self.queries, self.query_places), (self.keys, self.prefix + self.key_grid[0] * self.key_grid[1])
        return all(each.shape[0] == 1 and np.array_equal(each[0], np.arange(places)) for each, places in whole)

    def passed(self, weights: Tensor, tap: AttentionTap) -> Tensor:
        """Passes the maps of all heads through a tap.

        Args:
            weights: (..., Q, K), rows of queries.

        Returns:
            ``weights`` itself where nothing was changed.
        """
        leading = weights.shape[:-2]
        flat = weights.reshape(-1, *weights.shape[-2:])
        windows, heads = self.order.shape
        if len(flat) % (windows * heads):
            raise ValueError(f"{len(flat)} maps are not those of {windows} windows and {heads} heads")
        flat = flat.unflatten(0, (-1, windows * heads))
        changed = False
        pieces = list(flat.unbind(dim=1))
        for head in range(heads):
            chosen = self.order[:, head].tolist()
            cut = flat[:, chosen]  # (B, windows, Q, K)
            before = self._laid(cut)
            shown = before.reshape(len(before), 1, *self.key_grid) if self.pooled else before
            after = tap(
                shown,
                self.key_grid,
                queries=None if self.pooled else self.query_grid,
                prefix=self.prefix,
                head=head if heads > 1 else None,
            )
            if after is shown:
                continue
            changed = True
            for at, piece in zip(chosen, self._cut(after.reshape(before.shape), before, cut).unbind(dim=1), strict=True):
                pieces[at] = piece
        if not changed:
            return weights
        return torch.stack(pieces, dim=1).reshape(*leading, *weights.shape[-2:])

    def _laid(self, cut: Tensor) -> Tensor:
        """Windows (B, windows, Q, K) -> the map (B, queries, keys)."""
        if self._plain:
            return cut[:, 0]
        rows, places, columns = self._index(cut)
        width = self.prefix + self.key_grid[0] * self.key_grid[1]
        spread = cut.new_zeros(len(cut), rows.numel(), width)
        return spread.scatter_add(2, columns.expand(len(cut), -1, -1), cut.flatten(1, 2)[:, rows])[:, places]

    def _cut(self, after: Tensor, before: Tensor, cut: Tensor) -> Tensor:
        """The way back: (B, queries, keys) -> (B, windows, Q, K). Keys that share a place share its change."""
        if self._plain:
            return after[:, None]
        rows, places, columns = self._index(cut)
        back = torch.empty_like(places)
        back[places] = torch.arange(len(places), device=places.device)
        index = columns.expand(len(cut), -1, -1)
        flat = cut.flatten(1, 2)
        new, old = (each[:, back].gather(2, index) for each in (after, before))
        shared = flat[:, rows]
        alone = torch.isclose(old, shared, rtol=0, atol=0)
        edited = torch.where(alone, new, torch.where(old > 0, shared * new / old.clamp_min(1e-30), new))
        return flat.index_copy(1, rows, edited.to(flat)).unflatten(1, cut.shape[1:3])

    def _index(self, cut: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Which flat queries have a place, in which order they stand in the map, and the places of their keys."""
        flat = self.queries.reshape(-1)
        rows = np.flatnonzero(flat >= 0)
        keys = np.repeat(self.keys, self.queries.shape[1], axis=0)[rows]
        parts = (rows, np.argsort(flat[rows], kind="stable"), keys[None])
        made = [torch.from_numpy(np.ascontiguousarray(part)).to(cut.device) for part in parts]
        return made[0], made[1], made[2]


def pair_layout(
    weights: Tensor,
    samples: int,
    query_ids: Tensor | None,
    key_ids: Tensor,
    query_grid: Size,
    key_grid: Size,
) -> PairLayout:
    """The layout of attention whose queries and keys lie at these positions.

    Args:
        weights: (..., Q, K), of ``samples`` images.
        query_ids, key_ids: (..., Q) and (..., K), as in `Positions.ids`. Without ids the queries have no positions.
        query_grid, key_grid: of the maps whose positions the ids name.

    Raises:
        Unusual: where they are no positions of a map, or too many.
    """
    leading, count = weights.shape[:-2], weights.shape[-2]
    maps = int(np.prod(leading)) if leading else 1
    keys = key_ids.expand(*leading, weights.shape[-1]).reshape(maps, -1).numpy()
    queries = np.zeros((maps, count), np.int64)
    if query_ids is not None:
        queries = query_ids.expand(*leading, count).reshape(maps, -1).numpy()
    if maps % samples:
        raise Unusual("it mixes the images of a batch")
    each = maps // samples
    if not (keys > 0).any():
        raise Unusual("what it attends to has no position in the picture")
    sample = np.where(keys > 0, (keys - 1) // SAMPLE, -1)
    expected = np.repeat(np.arange(samples), each)[:, None]
    if not ((sample == expected) | (sample < 0)).all():
        raise Unusual("it mixes the images of a batch, or their windows stand in an order that is not followed")
    keys, queries = keys[:each], queries[:each]
    alike = np.concatenate([keys, queries], axis=1)
    _, first, window = np.unique(alike, axis=0, return_index=True, return_inverse=True)
    window = window.reshape(-1)
    counts = np.bincount(window)
    if len(np.unique(counts)) > 1:
        raise Unusual("its windows have different numbers of heads")
    ranks = np.argsort(first)
    order = np.stack([np.flatnonzero(window == rank) for rank in ranks])
    keys, queries = keys[order[:, 0]], queries[order[:, 0]]
    single = len(keys) == 1

    placed = (keys[keys > 0] - 1) % SAMPLE
    size, at, _ = _grid_of(placed, key_grid)
    absent = int((keys == 0).sum()) if single else int((keys == 0).any())
    key_places = np.zeros_like(keys)
    key_places[keys > 0] = at + absent
    if single:
        key_places[keys == 0] = np.arange(absent)
    query_size: Size | None = None
    query_places = np.full_like(queries, -1)
    if single and not (queries > 0).any():
        query_places[0] = np.arange(count)
        rows = count
    else:
        if not (queries > 0).any():
            raise Unusual("its queries have no position in the picture")
        query_size, at, _ = _grid_of((queries[queries > 0] - 1) % SAMPLE, query_grid)
        front = int((queries == 0).sum()) if single else 0
        query_places[queries > 0] = at + front
        if single:
            query_places[queries == 0] = np.arange(front)
        rows = front + query_size[0] * query_size[1]
        if len(np.unique(query_places[query_places >= 0])) != (query_places >= 0).sum():
            raise Unusual("some of its queries stand in several windows")
    sums = weights.float().sum(dim=-1)
    scale = MapScale.SOFTMAX if torch.allclose(sums, torch.ones_like(sums), atol=TOLERANCE) else MapScale.FACTOR
    layout = PairLayout(scale, order, query_places, key_places, rows, query_size, size, absent)
    largest = max(rows, absent + size[0] * size[1])
    if largest > MAX_POSITIONS and not layout.pooled:
        raise Unusual(f"its map has {largest:,} positions, and maps of up to {MAX_POSITIONS:,} are shown")
    return layout


@dataclass(frozen=True)
class Turned:
    """How an operand is turned so that its last two dimensions are queries and keys."""

    order: tuple[int, ...]
    added: int = 0

    def turn(self, weights: Tensor) -> Tensor:
        turned = weights.permute(self.order)
        for _ in range(self.added):
            turned = turned.unsqueeze(-2)
        return turned

    def back(self, turned: Tensor) -> Tensor:
        for _ in range(self.added):
            turned = turned.squeeze(-2)
        return turned.permute([self.order.index(dim) for dim in range(len(self.order))])
