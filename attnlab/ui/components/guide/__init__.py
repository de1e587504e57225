"""The moves of a lesson's panel: what is to be done, back, next, leave, and the line around the control it speaks of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attnlab.ui.components.mount import mount

_mount = mount("guide")


def guide(data: Mapping[str, Any], *, key: str) -> tuple[int | None, bool]:
    """Shows the moves.

    Args:
        data: as GuideData in guide.js says.

    Returns:
        The step a person goes to where its view stays as it is, and whether they leave; steps that open a view are visited by
        the browser itself.
    """
    told = _mount(key=key, data=dict(data), on_go_change=lambda: None, on_leave_change=lambda: None)
    step = told.get("go")
    return (int(step) if step is not None else None), bool(told.get("leave"))
