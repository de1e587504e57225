"""What the attention viewer shows, as plain arrays: panels (an image through one run) with layers (the maps of one tap).

Weights are sent to the browser as one byte each. Every *row* of a layer (the map of one moment; for ELEMENT of one
channel, for PAIRWISE of one query, for BRANCH the branches of one channel) has its own floor and peak, so weights are shown
true to within (peak - floor) / 510:

    weight = floor + code / 255 * (peak - floor)

Nothing here imports torch: shipped snapshots can be drawn before torch is loaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attnlab.geometry import Cells
from attnlab.maps import MAX_POSITIONS, MapKind, MapScale, derived, neutral_weight, quantise

_Grid: TypeAlias = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """The weights of one tap on one image, at one moment or at T steps of a training. Made by `layer`.

    Attributes:
        name: path of the tap in the network; the viewer matches the layers of several panels by it.
        title: as shown.
        kind: what the weights are indexed by.
        scale: gate (each in [0, 1]), softmax (a row sums to 1) or factor (any number).
        codes: uint8 (T, rows, length): rows x length is 1 x C (channel), 1 x HW (spatial), C x HW (element),
            queries x keys (pairwise), C x M (branch).
        floor, peak: float32 (T, rows), the weights that code 0 and code 255 stand for.
        grid: (H, W) of a row; (1, C) for channel, (1, M) for branch; (H, 1) or (1, W) for a margin, which is the same along the
            other side.
        queries: (H, W) of the queries of a pairwise map; else (1, rows).
        reference: smallest and largest weight of this tap over many images, for the colour scale "this layer"; of softmax
            weights without outliers, see `attnlab.maps.colour_ends`.
        window: how many neighbouring channels decide a gate (ECA's k); 0 where that has no meaning.
        note: one sentence shown beside the map.
        cells: where the cells of a row lie in the picture; `None` where that is not known, and for channel.
        picture: (H, W) in the pixels that `cells` counts.
        features: the features that the gates of a channel map multiply, as an element layer with one row per channel.
        neutral: the weight that changes nothing; `None` where no weight does. Factors are drawn around it.
        branches: what the branches of a branch map are called; empty where they have no names.
        class_token: what the class token attends to, as a spatial layer; `None` where there is none.
    """

    name: str
    title: str
    kind: MapKind
    scale: MapScale
    codes: NDArray[np.uint8]
    floor: NDArray[np.float32]
    peak: NDArray[np.float32]
    grid: tuple[int, int]
    queries: tuple[int, int]
    reference: tuple[float, float] | None = None
    window: int = 0
    note: str = ""
    cells: Cells | None = None
    picture: tuple[int, int] = (1, 1)
    features: Layer | None = None
    neutral: float | None = None
    branches: tuple[str, ...] = ()
    class_token: Layer | None = None

    @property
    def moments(self) -> int:
        return self.codes.shape[0]

    def weights(self, moment: int = -1) -> NDArray[np.float32]:
        """The weights (rows, length) at one moment, as the viewer decodes them."""
        span = (self.peak[moment] - self.floor[moment])[:, None]
        return self.floor[moment][:, None] + self.codes[moment].astype(np.float32) / 255 * span


@dataclass(frozen=True, eq=False)
class Panel:
    """One image through one network.

    Attributes:
        title: what tells panels apart, mostly the run.
        image: uint8 (H, W), (H, W, 1) or (H, W, 3).
        layers: the maps, in the order of the network; may be empty (a network without attention).
        subtitle: one short line under the title.
        classes: class names, in label order.
        probabilities: (classes,) or (T, classes).
        truth: index of the true class; `None` when unknown.
        steps: the T training steps of layers and probabilities with T > 1.
        tested: the step at the end of the epoch that was tested; `None` where there is none, or none yet.
        mask: bool (H, W), true on the object; `None` where there is none.
        colour: CSS colour of the run; the theme's when empty.
        run: id of the run, for captions and file names of saved pictures.
    """

    title: str
    image: NDArray[np.uint8]
    layers: Sequence[Layer] = ()
    subtitle: str = ""
    classes: Sequence[str] = ()
    probabilities: ArrayLike | None = None
    truth: int | None = None
    steps: Sequence[int] = ()
    tested: int | None = None
    mask: NDArray[np.bool_] | None = None
    colour: str = ""
    run: str = ""


def layer(
    name: str,
    kind: MapKind | str,
    values: ArrayLike,
    *,
    title: str = "",
    scale: MapScale | str = MapScale.GATE,
    over_time: bool = False,
    grid: tuple[int, int] | None = None,
    reference: tuple[float, float] | None = None,
    window: int = 0,
    note: str = "",
    cells: Cells | None = None,
    picture: tuple[int, int] = (1, 1),
    features: Layer | None = None,
    neutral: float | None = None,
    queries: tuple[int, int] | None = None,
    prefix: int = 0,
    branches: Sequence[str] = (),
    class_token: bool = False,
) -> Layer:
    """A `Layer` from float weights.

    Args:
        kind, scale: members of the enums, or their values.
        values: the map of one image: (C,) or (C, 1, 1) for channel, (H, W) or (1, H, W) for spatial, (C, H, W) for
            element, (queries, keys) for pairwise, (M, C) or (M, C, 1, 1) for branch; with ``over_time`` one more axis of T
            steps in front.
        grid, queries, prefix: for pairwise: (H, W) of the keys and of the queries, and how many keys have no position and come
            first. They are not shown, nor are queries in front of the grid; a sentence says how much weight goes to such keys.
            Queries lie on a grid of the keys' proportions where nothing is said.
        cells, picture: where the map lies, and in a picture of which size; see `Layer`.
        neutral: the weight that changes nothing; that of `attnlab.maps.neutral_weight` when left out.
        class_token: whether the first of the queries in front of the grid is a class token, whose row is shown on demand.

    Raises:
        ValueError: for an unknown kind or scale, a wrong number of axes, a missing grid, or weights that are not finite.
    """
    kind, scale = _kind_and_scale(name, kind, scale)
    weights = np.asarray(values, dtype=np.float32)
    if not over_time:
        weights = weights[None]
    if not np.isfinite(weights).all():
        raise ValueError(f"layer {name!r}: weights must be finite numbers")
    read: Layer | None = None
    if kind is MapKind.PAIRWISE and queries is not None:
        if class_token and grid is not None and weights.shape[1] > math.prod(queries):
            row = weights[:, 0, prefix:].reshape(-1, *grid)
            read = layer(name, MapKind.SPATIAL, row, scale=scale, over_time=True, cells=cells, picture=picture)
        weights, aside = _placed(weights, queries, prefix)
        note = " ".join(filter(None, (note, aside)))
    rows, keys, queries = _arrange(name, kind, weights, grid)
    if kind is MapKind.PAIRWISE and max(rows.shape[1:]) > MAX_POSITIONS:
        rows, keys, queries, factor = _pool_pairs(rows, keys, queries)
        cells = cells and cells.merged(factor)
        note = " ".join(filter(None, (note, f"Shown on a grid {factor} times coarser: keys summed, queries averaged.")))
    codes, floor, peak = quantise(rows)
    neutral = neutral_weight(kind, scale) if neutral is None else neutral
    title = title or name
    return Layer(
        name,
        title,
        kind,
        scale,
        codes,
        floor,
        peak,
        keys,
        queries,
        reference,
        window,
        note,
        cells,
        picture,
        features,
        neutral,
        tuple(branches),
        read,
    )


def layer_from_codes(
    name: str,
    kind: MapKind | str,
    codes: NDArray[np.uint8],
    peak: ArrayLike,
    *,
    title: str = "",
    scale: MapScale | str = MapScale.GATE,
    grid: tuple[int, int] | None = None,
    reference: tuple[float, float] | None = None,
    window: int = 0,
    note: str = "",
    cells: Cells | None = None,
    picture: tuple[int, int] = (1, 1),
    floor: ArrayLike = 0.0,
    neutral: float | None = None,
    branches: Sequence[str] = (),
) -> Layer:
    """A `Layer` over T steps from stored bytes (a training's snapshots): ``weight = floor + code / 255 * (peak - floor)``.

    Args:
        codes: uint8 (T, ...), the other axes as in `layer`.
        peak, floor: (T,), the weights that 255 and 0 stand for at each step, or one number for all steps.

    Raises:
        ValueError: as `layer`, or when codes are not uint8 or there is not one peak per step.
    """
    kind, scale = _kind_and_scale(name, kind, scale)
    if codes.dtype != np.uint8:
        raise ValueError(f"layer {name!r}: codes must be uint8, not {codes.dtype}")
    peaks = np.asarray(peak, dtype=np.float32)
    if peaks.shape != codes.shape[:1]:
        raise ValueError(f"layer {name!r}: one peak needed for each of {codes.shape[0]} steps, got shape {peaks.shape}")
    rows, keys, queries = _arrange(name, kind, codes, grid)
    row_peaks = np.repeat(peaks[:, None], rows.shape[1], axis=1)
    floors = np.broadcast_to(np.asarray(floor, dtype=np.float32).reshape(-1, 1), row_peaks.shape)
    neutral = neutral_weight(kind, scale) if neutral is None else neutral
    title = title or name
    return Layer(
        name,
        title,
        kind,
        scale,
        rows,
        floors,
        row_peaks,
        keys,
        queries,
        reference,
        window,
        note,
        cells,
        picture,
        None,
        neutral,
        tuple(branches),
    )


def _kind_and_scale(name: str, kind: str, scale: str) -> tuple[MapKind, MapScale]:
    if kind not in list(MapKind):
        raise ValueError(f"layer {name!r}: unknown kind {kind!r}; known: {', '.join(MapKind)}")
    if scale not in list(MapScale):
        raise ValueError(f"layer {name!r}: unknown scale {scale!r}; known: {', '.join(MapScale)}")
    return MapKind(kind), MapScale(scale)


def pack(panels: Sequence[Panel]) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """Panels as a JSON-ready description and one flat array of bytes that the description points into.

    Raises:
        ValueError: when an image, mask, probability table or step list does not fit, naming the panel.
    """
    writer = _Writer()
    return {"version": 1, "panels": [_pack_panel(panel, writer) for panel in panels]}, writer.joined()


class _Writer:
    """Puts arrays one after the other, each at a multiple of four bytes so that float32 can be read in place."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[bytes, int] = {}

    def put(self, array: NDArray[Any]) -> int:
        """The offset of the array's bytes. Equal bytes are stored once: many panels may show the same image."""
        content = np.ascontiguousarray(array).tobytes()
        if content not in self._known:
            self._known[content] = self._size
            padding = -len(content) % 4
            self._parts += [content, b"\0" * padding]
            self._size += len(content) + padding
        return self._known[content]

    def joined(self) -> NDArray[np.uint8]:
        return np.frombuffer(b"".join(self._parts), dtype=np.uint8)


def _pack_panel(panel: Panel, writer: _Writer) -> dict[str, Any]:
    image = np.asarray(panel.image)
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3)):
        raise ValueError(f"panel {panel.title!r}: image must be uint8 (H, W) or (H, W, 3), got {image.dtype} {image.shape}")
    height, width = image.shape[:2]
    if image.ndim == 2:
        image = image[:, :, None]
    colours = np.broadcast_to(image, (height, width, 3))
    packed: dict[str, Any] = {
        "title": panel.title,
        "subtitle": panel.subtitle,
        "colour": panel.colour,
        "run": panel.run,
        "image": {"width": width, "height": height, "at": writer.put(colours)},
        "classes": list(panel.classes),
        "truth": None if panel.truth is None else int(panel.truth),
        "steps": [int(step) for step in panel.steps],
        "tested": panel.tested,
        "layers": [_pack_layer(panel, item, writer) for item in panel.layers],
    }
    if panel.mask is not None:
        if panel.mask.shape != (height, width):
            raise ValueError(f"panel {panel.title!r}: mask {panel.mask.shape} does not fit the image {(height, width)}")
        packed["mask"] = writer.put(panel.mask.astype(np.uint8))
    if panel.probabilities is not None:
        table = np.atleast_2d(np.asarray(panel.probabilities, dtype=np.float32))
        if table.shape[1] != len(panel.classes) or table.shape[0] not in (1, len(panel.steps)):
            raise ValueError(
                f"panel {panel.title!r}: probabilities {table.shape} do not fit {len(panel.classes)} classes"
                f" and {len(panel.steps)} steps"
            )
        packed["probabilities"] = {"rows": table.shape[0], "at": writer.put(table)}
    return packed


def _pack_layer(panel: Panel, item: Layer, writer: _Writer) -> dict[str, Any]:
    if item.features is not None and item.features.codes.shape[1] != item.codes.shape[2]:
        raise ValueError(
            f"panel {panel.title!r}: {item.name!r} gates {item.codes.shape[2]} channels,"
            f" its features have {item.features.codes.shape[1]}"
        )
    if item.moments not in (1, len(panel.steps)):
        raise ValueError(f"panel {panel.title!r}: {item.name!r} has {item.moments} moments for {len(panel.steps)} steps")
    return {
        "name": item.name,
        "title": item.title,
        "kind": item.kind,
        "scale": item.scale,
        "moments": item.moments,
        "rows": item.codes.shape[1],
        "length": item.codes.shape[2],
        "codes": writer.put(item.codes),
        "floor": writer.put(item.floor.astype(np.float32)),
        "peak": writer.put(item.peak.astype(np.float32)),
        "grid": list(item.grid),
        "queries": list(item.queries),
        "reference": None if item.reference is None else [float(value) for value in item.reference],
        "window": item.window,
        "note": item.note,
        "unit": "" if (made := derived(item.name)) is None else made.unit,
        "branches": list(item.branches),
        "frame": None if item.cells is None else list(item.cells.frame(item.grid, item.picture)),
        "field": None if item.cells is None else [item.cells.rows.field, item.cells.columns.field],
        "picture": list(item.picture),
        "neutral": item.neutral,
        "features": None if item.features is None else _pack_layer(panel, item.features, writer),
        "class_token": None if item.class_token is None else _pack_layer(panel, item.class_token, writer),
    }


def _arrange(name: str, kind: MapKind, values: NDArray[Any], grid: _Grid | None) -> tuple[NDArray[Any], _Grid, _Grid]:
    """Values (T, ...) as (T, rows, length), the grid of a row, and the grid of the rows."""
    moments, shape = values.shape[0], values.shape[1:]
    if kind is MapKind.CHANNEL:
        if len(shape) == 3 and shape[1:] == (1, 1):
            shape = shape[:1]
        if len(shape) != 1:
            raise ValueError(f"layer {name!r}: a channel map is (C,) or (C, 1, 1), got {shape}")
        return values.reshape(moments, 1, shape[0]), (1, shape[0]), (1, 1)
    if kind is MapKind.SPATIAL:
        if len(shape) == 3 and shape[0] == 1:
            shape = shape[1:]
        if len(shape) != 2:
            raise ValueError(f"layer {name!r}: a spatial map is (H, W) or (1, H, W), got {shape}")
        return values.reshape(moments, 1, -1), (shape[0], shape[1]), (1, 1)
    if kind is MapKind.ELEMENT:
        if len(shape) != 3:
            raise ValueError(f"layer {name!r}: an element map is (C, H, W), got {shape}")
        return values.reshape(moments, shape[0], -1), (shape[1], shape[2]), (1, shape[0])
    if kind is MapKind.BRANCH:
        if len(shape) == 4 and shape[2:] == (1, 1):
            shape = shape[:2]
        if len(shape) != 2:
            raise ValueError(f"layer {name!r}: a branch map is (M, C) or (M, C, 1, 1), got {shape}")
        return values.reshape(moments, *shape).swapaxes(1, 2), (1, shape[0]), (1, shape[1])
    if len(shape) != 2 or grid is None or grid[0] * grid[1] != shape[1]:
        raise ValueError(f"layer {name!r}: a pairwise map is (queries, keys) with the grid of its keys, got {shape} and {grid}")
    return values, grid, _query_grid(name, shape[0], grid)


def _placed(weights: NDArray[np.float32], queries: _Grid, prefix: int) -> tuple[NDArray[np.float32], str]:
    """The weights (T, queries, keys) between positions, and a sentence on those of other keys."""
    placed = weights[:, -math.prod(queries) :]
    if not prefix:
        return placed, ""
    aside = placed[..., :prefix].sum(axis=-1).mean()
    return placed[..., prefix:], f"On average {aside:.0%} of the weight of a position goes to what has no place in the map."


def _query_grid(name: str, queries: int, keys: _Grid) -> _Grid:
    """The grid of the queries: the proportions of the keys' grid, finer by a whole factor where there are more queries."""
    finer = math.isqrt(round(queries / (keys[0] * keys[1])))
    grid = (keys[0] * finer, keys[1] * finer)
    if grid[0] * grid[1] != queries:
        raise ValueError(f"layer {name!r}: {queries} queries do not fill a whole multiple of the grid {keys}")
    return grid


def _pool_pairs(rows: NDArray[np.float32], keys: _Grid, queries: _Grid) -> tuple[NDArray[np.float32], _Grid, _Grid, int]:
    """Coarsens both grids by the same whole factor until neither has more than `MAX_POSITIONS` positions.

    Weights of keys that are merged are summed, so that rows still sum to 1; those of queries are averaged.
    """
    factor = math.ceil(math.sqrt(max(keys[0] * keys[1], queries[0] * queries[1]) / MAX_POSITIONS))
    while max(math.prod(_coarse(keys, factor)), math.prod(_coarse(queries, factor))) > MAX_POSITIONS:
        factor += 1
    by_key = _groups(keys, factor)
    by_query = _groups(queries, factor)
    small_keys, small_queries = _coarse(keys, factor), _coarse(queries, factor)
    share = np.zeros((math.prod(small_queries), len(by_query)), np.float32)
    share[by_query, np.arange(len(by_query))] = 1
    share /= share.sum(axis=1, keepdims=True)
    gather = np.zeros((len(by_key), math.prod(small_keys)), np.float32)
    gather[np.arange(len(by_key)), by_key] = 1
    pooled = (share @ rows @ gather).astype(np.float32)
    return pooled, small_keys, small_queries, factor


def _coarse(grid: _Grid, factor: int) -> _Grid:
    return math.ceil(grid[0] / factor), math.ceil(grid[1] / factor)


def _groups(grid: _Grid, factor: int) -> NDArray[np.int64]:
    """The coarse position that each position of the grid falls into, row by row."""
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return (row // factor) * _coarse(grid, factor)[1] + column // factor
