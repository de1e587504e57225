"""Bars of the class probabilities before and after a change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

MOST = 6
"""So many classes have bars."""

_HERE = Path(__file__).parent
_mount = st.components.v2.component(
    "attnlab_shift",
    html=(_HERE / "before_after.html").read_text(encoding="utf-8"),
    css=(_HERE / "before_after.css").read_text(encoding="utf-8"),
    js=(_HERE / "before_after.js").read_text(encoding="utf-8"),
)


def shift(
    classes: Sequence[str], before: NDArray[np.floating], after: NDArray[np.floating], *, truth: int | None, key: str
) -> None:
    """Shows the classes that are likely before or after, and the true one.

    Args:
        classes: names. before, after: (classes,) probabilities.
        truth: index of the true class; `None` when unknown.
    """
    likely = np.argsort(-np.maximum(before, after), kind="stable")[:MOST].tolist()
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
