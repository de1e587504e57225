"""What the drawn data sets share: checks of their options, smooth random fields, and drawings that are kept.

Drawing 13,000 small images takes seconds, and each worker needs them anew. So they are kept in the cache of the home, one file
for each recipe, whose checksums are compared when it is read; where it is damaged, or cannot be written, they are drawn.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from attnlab.data._dataset import DataError
from attnlab.files import write_file
from attnlab.paths import cache_dir

MOST_KEPT, MOST_BYTES = 8, 300_000_000
"""Recipes that are kept, the last used ones, and the size up to which one is."""


class Drawing(NamedTuple):
    """The images of a recipe: uint8 (n, 3, S, S), their masks (n, S, S) and labels (n,)."""

    images: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    labels: NDArray[np.int64]


def drawn(recipe: str, draw: Callable[[], Drawing]) -> Drawing:
    """The drawing of a recipe, as it was kept or else drawn now.

    Args:
        recipe: all that decides about it, except the versions of the libraries that draw.
    """
    about = f"{recipe}, OpenCV {cv2.__version__}, NumPy {np.__version__}"
    file = cache_dir() / "drawn" / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(file) as known:
        drawing = Drawing(known["images"], known["masks"], known["labels"])
        os.utime(file)
        return drawing
    drawing = draw()
    if sum(array.nbytes for array in drawing) <= MOST_BYTES:
        with suppress(OSError):  # where there is no room, it is drawn again
            _keep(file, drawing)
    return drawing


def _keep(file: Path, drawing: Drawing) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, lambda stream: np.savez(stream, **drawing._asdict()), sync=False)
    for old in sorted(file.parent.glob("*.npz"), key=lambda each: -each.stat().st_mtime)[MOST_KEPT:]:
        old.unlink(missing_ok=True)


def require_whole(dataset: str, option: str, value: object, least: int, most: int | None = None) -> None:
    """Checks that an option is a whole number in a range.

    Raises:
        DataError: when it is not, naming data set, option and range.
    """
    if not isinstance(value, int) or value < least or (most is not None and value > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise DataError(f"{dataset} {option} must be a whole number {span}, got {value!r}")


def smooth_fields(count: int, cells: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Random fields that vary smoothly over ``cells`` x ``cells`` patches, in about [0, 1]: float32 (n, S, S)."""
    grids = rng.random((count, cells, cells), np.float32)
    return np.stack([cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) for grid in grids])
