"""What the drawn data sets share: checks of their options, and smooth random fields."""

from __future__ import annotations

import cv2
import numpy as np

from attnlab.data._dataset import DataError


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
