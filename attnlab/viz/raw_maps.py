"""Maps as files for other programs: NPZ (numpy), and JSON for programs without numpy. Both are exact to the last bit."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnlab.geometry import Cells
from attnlab.viz.panels import Panel


def npz_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as a compressed .npz file, under the same names."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def json_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The arrays as JSON: name -> ``{"shape", "dtype", "values"}``, the values as nested lists.

    A float32 is written with nine digits, from which it can be read back exactly.
    """
    tree = {
        name: {"shape": list(array.shape), "dtype": str(array.dtype), "values": _nested(array)}
        for name, array in arrays.items()
    }
    return json.dumps(tree, separators=(",", ":")).encode()


def panel_arrays(panels: Sequence[Panel]) -> dict[str, NDArray[Any]]:
    """The arrays of panels: for each ``<run>/image``, ``<run>/steps``, ``<run>/probabilities`` and ``<run>/<tap>``.

    A tap is float32 (T, rows, length) as in `attnlab.viz.panels.Layer`, as precise as the byte that stores it, with
    `place_arrays` beside it.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for panel in panels:
        name = panel.run or panel.title
        arrays[f"{name}/image"] = np.asarray(panel.image)
        if panel.steps:
            arrays[f"{name}/steps"] = np.array(panel.steps, np.int64)
        if panel.probabilities is not None:
            arrays[f"{name}/probabilities"] = np.asarray(panel.probabilities, np.float32)
        for layer in panel.layers:
            arrays[f"{name}/{layer.name}"] = np.stack([layer.weights(moment) for moment in range(layer.moments)])
            arrays |= place_arrays(f"{name}/{layer.name}", layer.cells)
    return arrays


def place_arrays(name: str, cells: Cells | None) -> dict[str, NDArray[np.float64]]:
    """Where a map lies in the picture, as ``<name>/cells``: start, step and field (`attnlab.geometry.Axis`) of the rows, then
    of the columns, float64 (2, 3). Nothing for a map whose place is not known.
    """
    if cells is None:
        return {}
    return {f"{name}/cells": np.array([[axis.start, axis.step, axis.field] for axis in (cells.rows, cells.columns)])}


def _nested(array: NDArray[Any]) -> Any:
    if array.dtype != np.float32:
        return array.tolist()
    short = [float(f"{value:.9g}") for value in array.ravel()]
    return np.array(short, dtype=np.float64).reshape(array.shape).tolist()
