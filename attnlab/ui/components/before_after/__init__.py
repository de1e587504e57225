"""Bars of the class probabilities before and after a change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from attnlab.ui.components.mount import mount

MOST_BARS = 6
"""At most this many classes are shown."""

_mount = mount("before_after")


def before_after(
    classes: Sequence[str], before: NDArray[np.floating], after: NDArray[np.floating], *, truth: int | None, key: str
) -> None:
    """Shows the classes that are likely before or after, and the true one.

    Args:
        classes: names. before, after: (classes,) probabilities.
        truth: index of the true class; `None` when unknown.
    """
    likely = np.argsort(-np.maximum(before, after), kind="stable")[:MOST_BARS].tolist()
    if truth is not None and truth not in likely:
        likely[-1] = truth
    rows = [
        {
            "name": classes[index],
            "before": round(float(before[index]), 4),
            "after": round(float(after[index]), 4),
            "truth": index == truth,
            "best": index == int(after.argmax()),
        }
        for index in likely
    ]
    _mount(key=key, data={"rows": rows, "judged": truth is not None})
