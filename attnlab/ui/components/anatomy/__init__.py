"""A block taken apart: a picture to point at, the formula with the numbers there, and the data path with its tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount
from attnlab.viz.mathml import formula
from attnlab.viz.step_diagram import Box, shape_words, step_diagram
from attnlab.viz.step_tensors import axes, pane_count, panes

_mount = mount("anatomy")


@dataclass(frozen=True, eq=False)
class Shown:
    """A part of the formula, or a step.

    Attributes:
        latex: of a part of the formula; empty for a step and for what stands in none.
        words: what it is.
        values: its numbers, of one image.
    """

    latex: str
    words: str
    values: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Block:
    """What is taken apart.

    Attributes:
        title: of the variant or network.
        image: uint8 (H, W, 3).
        frame: the part of the image that the map fills, in shares: (left, top, right, bottom).
        features: (C, H, W) of what enters.
        latex: the formula; empty for none.
        symbols: its parts, and other numbers.
        boxes: the steps. tensors: what each of them gives.
    """

    title: str
    image: NDArray[np.uint8]
    frame: tuple[float, float, float, float]
    features: tuple[int, int, int]
    latex: str
    symbols: Sequence[Shown]
    boxes: Sequence[Box]
    tensors: Sequence[Shown]


def block_view(block: Block, *, key: str) -> None:
    """Shows it. Pointing at anything sends no message to the server."""
    numbers: list[NDArray[np.float32]] = []
    length = 0

    def kept(values: NDArray[np.float32]) -> dict[str, int]:
        nonlocal length
        flat = np.ascontiguousarray(values, np.float32).ravel()
        numbers.append(flat)
        length += flat.size
        return {"offset": length - flat.size, "count": flat.size}

    def drawn(shown: Shown) -> dict[str, Any]:
        some = panes(shown.values)
        return {
            "words": shown.words,
            "shape": shape_words(shown.values.shape),
            "panes": {**kept(some), "grid": list(some.shape[1:]), "shown": len(some), "all": pane_count(shown.values.shape)},
            "ends": [float(shown.values.min()), float(shown.values.max())],
        }

    data = {
        "title": block.title,
        "size": list(block.image.shape[:2]),
        "frame": list(block.frame),
        "features": list(block.features),
        "formula": formula(block.latex, [each.latex for each in block.symbols]) if block.latex else "",
        "symbols": [
            {
                **drawn(each),
                **kept(each.values),
                "math": formula(each.latex) if each.latex else "",
                "sides": list(each.values.shape),
                "axes": axes(each.values.shape, block.features),
            }
            for each in block.symbols
        ],
        "steps": [drawn(each) for each in block.tensors],
        "diagram": step_diagram(block.boxes, f"Data path of {block.title}"),
    }
    parts = [each.tobytes() for each in numbers] + [np.ascontiguousarray(block.image).tobytes()]
    _mount(key=key, data={**data, "numbers": length, "bytes": np.frombuffer(b"".join(parts), np.uint8)})
