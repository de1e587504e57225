"""Attention maps too large for the browser: a picture that asks for one row at a time, and the wire that brings it.

Two components, because Streamlit sends all data of one with each answer: the picture gets its image once; the wire, alone
in a fragment, brings a row and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount_picture = mount("large_maps")
_mount_wire = mount("large_maps", "wire")


@dataclass(frozen=True)
class LargeMapLayer:
    """One map that can be asked about.

    Attributes:
        title: for people.
        grid: (H, W) of the queries.
        key_grid: (H', W') of the keys.
        heads: how many there are to choose from.
        frame: the part of the image that the positions fill, in shares: (left, top, right, bottom).
    """

    title: str
    grid: tuple[int, int]
    key_grid: tuple[int, int]
    heads: int = 1
    frame: tuple[float, float, float, float] = (0, 0, 1, 1)


@dataclass(frozen=True)
class Question:
    """What the browser asks for.

    Attributes:
        layer: index of the map.
        place: (row, column) of the query, or of the key.
        column: the attention the place receives, instead of the attention it pays.
        head: from 0; `None` for the mean.
    """

    layer: int
    place: tuple[int, int]
    column: bool = False
    head: int | None = None


def identity(layers: Sequence[LargeMapLayer], image: NDArray[np.uint8], of: str) -> str:
    """Names what is asked about, so that an answer about another picture is never drawn.

    Args:
        of: what else the answers depend on: the run and its weights.
    """
    digest = hashlib.blake2b(repr((of, layers, image.shape)).encode(), digest_size=12)
    digest.update(np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()


def large_maps_picture(layers: Sequence[LargeMapLayer], image: NDArray[np.uint8], *, id: str, key: str) -> None:
    """Shows the picture. Its state (map, position, pins, direction, head) is kept in the page's address.

    Args:
        image: uint8 (H, W, 3) or (H, W, 1).
        id: see `identity`; the wire must have the same.
    """
    height, width = image.shape[:2]
    pixels = np.ascontiguousarray(np.broadcast_to(image.reshape(height, width, -1), (height, width, 3)))
    data = {"id": id, "layers": [asdict(layer) for layer in layers], "size": [height, width], "bytes": pixels.ravel()}
    _mount_picture(key=key, data=data)


def latest_question(layers: Sequence[LargeMapLayer], *, id: str, key: str) -> Question | None:
    """The question that arrived last on the wire of this key; `None` for none, or one that does not fit these maps."""
    return decode_question((st.session_state.get(key) or {}).get("asked"), layers, id)


def large_maps_wire(question: Question | None, values: NDArray[np.float32] | None, *, id: str, key: str) -> None:
    """Brings the answer to the picture; call it in a fragment.

    Args:
        values: the row or column, in units of the uniform weight (1 is uniform).
    """
    data: dict[str, Any] = {"id": id}
    if question is not None and values is not None:
        data["answer"] = {**asdict(question), **encode_weights(values)}
    _mount_wire(key=key, data=data, default={"asked": None}, on_asked_change=lambda: None)


def encode_weights(values: NDArray[np.float32]) -> dict[str, Any]:
    """Weights as little-endian float16 shares of the greatest one, in base64.

    The error of each is at most 0.05% of itself, or of 6e-5 of the greatest weight where it is smaller than that. One byte
    per weight would not do: a row may peak at hundreds of times uniform.
    """
    peak = float(values.max())
    shares = values.ravel() / (peak or 1.0)
    return {"peak": peak, "shares": base64.b64encode(shares.astype("<f2").tobytes()).decode()}


def decode_question(message: Mapping[str, Any] | None, layers: Sequence[LargeMapLayer], id: str) -> Question | None:
    """A browser's message as a question about these maps; `None` where it is about others or makes no sense."""
    if not message or message.get("id") != id:
        return None
    numbers = [number for number in map(message.get, ("layer", "row", "col", "head")) if isinstance(number, int)]
    if len(numbers) != 4:
        return None
    index, row, col, head = numbers
    if not 0 <= index < len(layers):
        return None
    by_column = bool(message.get("column"))
    height, width = layers[index].key_grid if by_column else layers[index].grid
    if not (0 <= row < height and 0 <= col < width and -1 <= head < layers[index].heads):
        return None
    return Question(index, (row, col), by_column, None if head < 0 else head)
