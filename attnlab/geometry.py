"""Where the cells of a map lie in the picture.

A map of h x w weights is made of features that a network computed with convolutions and pooling. Along each axis, cell k of a
layer with kernel K, stride S, padding P and dilation D is centred on the middle of the K input cells under its kernel,

    centre(k) = start + k * step,    start' = start + step * ((K - 1) D / 2 - P),    step' = step * S,
                                     field' = field + step * (K - 1) D

(Dumoulin and Visin, arXiv:1603.07285; Araujo et al., Distill 2019). Lengths are in pixels of the picture, whose first
pixel spans 0 to 1 and is centred at 0.5. A picture is its own map of cells with start 0.5, step 1 and field 1.

To stretch a map evenly over the picture, as is common, is right only where ``start = step / 2`` and ``step = H / h``.
Convolutions without padding move the cells inwards, strided ones with an odd kernel towards the first row and column.

Nothing here imports torch: stored maps are drawn before torch is loaded.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(H, W)"""


@dataclass(frozen=True)
class Axis:
    """The cells along one side of the picture.

    Attributes:
        start: where the first cell is centred, in pixels from the picture's edge.
        step: from one cell's centre to the next, in pixels.
        field: how many pixels a cell sees (its receptive field), also beyond the picture's edge.
    """

    start: float
    step: float
    field: float

    def after(self, kernel: int, stride: int = 1, padding: float = 0, dilation: int = 1) -> Axis:
        """The cells of a convolution or pooling over these cells."""
        reach = (kernel - 1) * dilation
        return Axis(self.start + self.step * (reach / 2 - padding), self.step * stride, self.field + self.step * reach)

    def after_transposed(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Axis:
        """The cells of a transposed convolution over these cells."""
        reach = (kernel - 1) * dilation
        step = self.step / stride
        return Axis(self.start + step * (padding - reach / 2), step, self.field + self.step * (reach // stride))

    def resized(self, before: int, after: int) -> Axis:
        """These ``before`` cells resampled to ``after`` cells over the same stretch."""
        step = self.step * before / after
        return Axis(self.start - self.step / 2 + step / 2, step, self.field)

    def merged(self, count: int) -> Axis:
        """Groups of ``count`` neighbouring cells, each as one cell."""
        return self.after(count, count)

    def joined(self, other: Axis) -> Axis:
        """Cells that see what these and the other cells see, as a sum of two branches does."""
        low = min(self.start - self.field / 2, other.start - other.field / 2)
        high = max(self.start + self.field / 2, other.start + other.field / 2)
        return Axis((low + high) / 2, self.step, high - low)

    def centres(self, count: int) -> NDArray[np.float64]:
        """Where the first ``count`` cells are centred, in pixels."""
        return self.start + self.step * np.arange(count, dtype=np.float64)

    def cells_at(self, count: int, length: int) -> NDArray[np.int64]:
        """The cell in which each of ``length`` pixels lies, of ``count`` cells as wide as the step; -1 outside them."""
        at = np.floor((np.arange(length) + 0.5 - self.edges(count)[0]) / self.step).astype(np.int64)
        return np.where((at >= 0) & (at < count), at, -1)

    def edges(self, count: int) -> tuple[float, float]:
        """From where to where ``count`` cells reach, each as wide as the step."""
        low = self.start - self.step / 2
        return low, low + self.step * count


@dataclass(frozen=True)
class Cells:
    """Where the cells of a map lie in the picture, row by row and column by column.

    >>> six = picture_cells().after(2, 2).after(3).after(2, 2)
    >>> six.rows
    Axis(start=4.0, step=4, field=8)
    >>> [float(centre) for centre in six.rows.centres(3)]
    [4.0, 8.0, 12.0]
    """

    rows: Axis
    columns: Axis

    def after(self, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Cells:
        """The cells of a square convolution or pooling over these cells."""
        return Cells(*(axis.after(kernel, stride, padding, dilation) for axis in (self.rows, self.columns)))

    def merged(self, rows: int, columns: int | None = None) -> Cells:
        """Groups of ``rows`` x ``columns`` cells (as many as rows without a number), each as one cell."""
        return Cells(self.rows.merged(rows), self.columns.merged(rows if columns is None else columns))

    def resized(self, before: Size, after: Size) -> Cells:
        """A map of ``before`` cells resampled to ``after`` cells over the same stretch."""
        return Cells(self.rows.resized(before[0], after[0]), self.columns.resized(before[1], after[1]))

    def joined(self, other: Cells) -> Cells:
        """Cells that see what both see."""
        return Cells(self.rows.joined(other.rows), self.columns.joined(other.columns))

    def frame(self, grid: Size, picture: Size) -> tuple[float, float, float, float]:
        """From where to where the cells reach, as shares of the picture: (left, top, right, bottom).

        Shares below 0 or above 1 lie outside the picture.

        Args:
            grid: (h, w) of the map. picture: (H, W) in pixels.
        """
        (top, bottom), (left, right) = self.rows.edges(grid[0]), self.columns.edges(grid[1])
        return left / picture[1], top / picture[0], right / picture[1], bottom / picture[0]

    def to_tree(self) -> dict[str, Any]:
        """JSON-ready; `from_tree` reads it back."""
        return asdict(self)

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Cells:
        """What `to_tree` wrote.

        Raises:
            KeyError, TypeError: for anything else.
        """
        return cls(Axis(**tree["rows"]), Axis(**tree["columns"]))


def picture_cells() -> Cells:
    """The pixels of a picture as cells."""
    return Cells(Axis(0.5, 1, 1), Axis(0.5, 1, 1))


def stretched(grid: Size, picture: Size) -> Cells:
    """The cells of a map that is stretched evenly over the picture, wherever its network looks.

    Args:
        grid: (h, w) of the map. picture: (H, W) in pixels.
    """
    return picture_cells().resized(picture, grid)


def place_map(values: NDArray[np.floating], cells: Cells | None, picture: Size) -> NDArray[np.float64]:
    """Maps (..., h, w) on the pixels of the picture, (..., H, W).

    Bilinear between the centres of the cells; beyond the outermost centres the nearest cell's weight holds, so that a
    uniform map stays uniform.

    Args:
        cells: where the cells lie; `None` stretches the map evenly.
    """
    grid = (values.shape[-2], values.shape[-1])
    where = cells or stretched(grid, picture)
    rows, columns = mixing(where, grid, picture)
    placed: NDArray[np.float64] = rows @ values @ columns.T
    return placed


def mixing(cells: Cells, grid: Size, picture: Size) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much each row of cells counts at each row of pixels, (H, h), and each column at each column, (W, w).

    Each row of both sums to 1. `place_map` lays maps with them.
    """
    return _mixing(cells.rows, grid[0], picture[0]), _mixing(cells.columns, grid[1], picture[1])


def centre_pixels(cells: Cells | None, grid: Size, picture: Size) -> NDArray[np.int64]:
    """The pixel in which each cell of a map is centred, as its index in reading order: (h, w).

    A cell that is centred outside the picture counts for the nearest pixel.
    """
    where = cells or stretched(grid, picture)
    rows = _pixels(where.rows, grid[0], picture[0])
    columns = _pixels(where.columns, grid[1], picture[1])
    return rows[:, None] * picture[1] + columns[None, :]


def nearest_cells(cells: Cells, grid: Size, others: Cells, other_grid: Size) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each cell of another map the nearest cell of this one, as an index: (rows (h', 1), columns (1, w'))."""
    rows = _nearest(cells.rows, grid[0], others.rows.centres(other_grid[0]))
    columns = _nearest(cells.columns, grid[1], others.columns.centres(other_grid[1]))
    return rows[:, None], columns[None, :]


def shift_of_stretch(cells: Cells, grid: Size, picture: Size) -> tuple[float, float]:
    """How far the plain stretch draws cells from where they lie, in pixels: (mean, largest) over both axes."""
    plain = stretched(grid, picture)
    shifts = np.concatenate(
        [
            np.abs(true.centres(count) - drawn.centres(count))
            for true, drawn, count in zip((cells.rows, cells.columns), (plain.rows, plain.columns), grid, strict=True)
        ]
    )
    return float(shifts.mean()), float(shifts.max())


def _nearest(axis: Axis, count: int, at: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.clip(np.floor((at - axis.edges(count)[0]) / axis.step).astype(np.int64), 0, count - 1)


def _mixing(axis: Axis, count: int, length: int) -> NDArray[np.float64]:
    """How much each of ``count`` cells counts at each of ``length`` pixels, (length, count); each row sums to 1."""
    at = np.clip((np.arange(length) + 0.5 - axis.start) / axis.step, 0, count - 1)
    low = np.minimum(at.astype(int), max(count - 2, 0))
    share = at - low
    mixing = np.zeros((length, count))
    mixing[np.arange(length), low] = 1 - share
    if count > 1:
        mixing[np.arange(length), low + 1] = share
    return mixing


def _pixels(axis: Axis, count: int, length: int) -> NDArray[np.int64]:
    return np.clip(np.floor(axis.centres(count)).astype(np.int64), 0, length - 1)
