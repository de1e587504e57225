"""Bars of the class probabilities before and after a change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

_mount = mount("before_after")


def before_after(
    classes: Sequence[str],
    before: NDArray[np.floating],
    after: NDArray[np.floating],
    *,
    truth: int | None,
    key: str,
    says: bool = False,
) -> None:
    """Shows the classes that are likely before or after, and the true one.

    Args:
        classes: names. before, after: (classes,) probabilities.
        truth: index of the true class; `None` when unknown.
        says: whether a sentence above the bars says what happened to the prediction.
    """
    shares = {name: np.round(values.astype(float), 5).tolist() for name, values in (("before", before), ("after", after))}
    _mount(key=key, data={"classes": list(classes), **shares, "truth": truth, "says": says})
