"""One map before and after an operation, with a brush to paint on it; the cells are sent when the brush is lifted."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.maps import FACTOR_REACH, SOFTMAX_TOP, MapScale
from attnlab.ui.components.mount import mount

LEFT_ALONE, PAINTED, ERASED = 0, 1, 2

_mount = mount("mask_editor")


@dataclass(frozen=True, eq=False)
class Canvas:
    """What is painted on.

    Attributes:
        label: of the map, for people.
        values: float (h, w) as the network made them: gates, factors, or softmax weights in units of the uniform one.
        image: uint8 (H, W, 3) below the map; `None` for channels, which lie nowhere in the image.
        scale: what the values mean.
        neutral: the factor that changes nothing, in the middle of the colour scale.
        frame: the part of the image that the map fills, in shares: (left, top, right, bottom).
    """

    label: str
    values: NDArray[np.float32]
    image: NDArray[np.uint8] | None = None
    scale: MapScale = MapScale.GATE
    frame: tuple[float, float, float, float] = (0, 0, 1, 1)
    neutral: float | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """Where the colour scale begins and ends."""
        if self.scale is MapScale.FACTOR:
            centre = self.neutral or 0.0
            return centre - FACTOR_REACH, centre + FACTOR_REACH
        return 0.0, SOFTMAX_TOP if self.scale is MapScale.SOFTMAX else 1.0

    @property
    def identity(self) -> str:
        """Differs for another map or picture: cells belong to one of them."""
        digest = hashlib.blake2b(self.label.encode(), digest_size=12)
        for array in (self.values, self.image):
            digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def painted_cells(canvas: Canvas, key: str) -> NDArray[np.uint8] | None:
    """The cells painted on this canvas in this session: uint8 (h, w) of `LEFT_ALONE`, `PAINTED` and `ERASED`.

    `None` when the browser has sent none for it.
    """
    return decode_cells((st.session_state.get(key) or {}).get("painted"), canvas)


def decode_cells(message: Mapping[str, Any] | None, canvas: Canvas) -> NDArray[np.uint8] | None:
    """The cells in a browser's message, one byte each in base64; `None` when they are not those of this canvas."""
    if not message or message.get("id") != canvas.identity:
        return None
    try:
        content = base64.b64decode(str(message.get("cells", "")), validate=True)
    except (binascii.Error, ValueError):
        return None
    cells = np.frombuffer(content, np.uint8)
    if cells.size != canvas.values.size or cells.max(initial=0) > ERASED:
        return None
    return cells.reshape(canvas.values.shape)


def cells_to_link(cells: NDArray[np.uint8]) -> str:
    """The cells as a short text for an address; empty when nothing is painted.

    Runs of equal cells in reading order, as their value (0 to 2) and their number: ``0x12.1x3`` leaves twelve cells alone
    and paints three; the rest is left alone.
    """
    flat = cells.ravel()
    begins = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    runs = [(int(flat[begin]), end - begin) for begin, end in pairwise(begins)]
    if runs and runs[-1][0] == LEFT_ALONE:
        runs.pop()
    return ".".join(f"{cell}x{count}" for cell, count in runs)


def cells_from_link(text: str, canvas: Canvas) -> NDArray[np.uint8]:
    """The cells of `cells_to_link`; nothing painted when the text does not fit a canvas of this size."""
    cells = np.zeros(canvas.values.shape, np.uint8)
    if not re.fullmatch(r"[0-2]x\d{1,6}(\.[0-2]x\d{1,6})*", text):
        return cells
    runs = [[int(part) for part in run.split("x")] for run in text.split(".")]
    if sum(count for _, count in runs) > cells.size:
        return cells
    painted = np.repeat(*np.asarray(runs, np.int64).T)
    cells.ravel()[: painted.size] = painted
    return cells


def mask_editor(
    canvas: Canvas,
    after: NDArray[np.float32],
    cells: NDArray[np.uint8] | None,
    *,
    key: str,
) -> None:
    """Shows the map before and after; `painted_cells` with the same key returns what was painted on it.

    Args:
        after: (h, w) as `Canvas.values`.
        cells: uint8 (h, w), painted already; without them there is no brush, only the two pictures and the numbers under
            the pointer.

    Raises:
        ValueError: when the two maps have different sizes.
    """
    if after.shape != canvas.values.shape:
        raise ValueError(f"the map after has {after.shape} weights, before {canvas.values.shape}")
    parts = [canvas.values.astype(np.float32).tobytes(), after.astype(np.float32).tobytes()]
    size = (0, 0) if canvas.image is None else canvas.image.shape[:2]
    if canvas.image is not None:
        parts.append(np.ascontiguousarray(np.broadcast_to(canvas.image, (*size, 3))).tobytes())
    data = {
        "id": canvas.identity,
        "label": canvas.label,
        "grid": list(canvas.values.shape),
        "frame": list(canvas.frame),
        "size": list(size),
        "channels": canvas.image is None,
        "scale": canvas.scale,
        "captions": ["original map", "after the operation"],
        "unit": canvas.scale,
        "brush": PAINTED,
        "bottom": canvas.ends[0],
        "top": canvas.ends[1],
        "paintable": cells is not None,
        "painted": "" if cells is None or not cells.any() else base64.b64encode(cells.tobytes()).decode(),
        "bytes": np.frombuffer(b"".join(parts), np.uint8),
    }
    _mount(key=key, data=data, default={"painted": None}, on_painted_change=lambda: None)
