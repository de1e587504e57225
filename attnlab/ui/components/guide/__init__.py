"""The moves of a lesson's panel: what is to be done, back, next, leave, and the line around the control it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import streamlit as st

from attnlab.ui.components.mount import mount

_mount = mount("guide")


def guide(data: Mapping[str, Any], *, key: str, go: Callable[[int], None], leave: Callable[[], None]) -> None:
    """Shows the moves.

    Args:
        data: as GuideData in guide.js says.
        go: called with the step a person goes to, from 1, where the view stays as it is; steps that open a view are visited by
            the browser itself.
        leave: called when the person leaves the lesson.
    """

    def moved() -> None:
        step = (st.session_state.get(key) or {}).get("go")
        if step is not None:
            go(int(step))

    _mount(key=key, data=dict(data), on_go_change=moved, on_leave_change=leave)
