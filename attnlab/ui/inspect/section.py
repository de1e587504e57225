"""A section of the Inspect page that is folded until a person opens it, and how it follows the viewer above it."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

VIEWER = "inspect.viewer"
"""Key of the viewer of the page."""
_FOLLOWED = "surgery.followed"


def open_section(title: str, *, key: str, icon: str) -> DeltaGenerator | None:
    """The box to draw the section in; `None` while it is folded, so that nothing in it is computed.

    Args:
        key: of the expander, and of the parameter in the link that says whether it is open.
    """
    box = st.expander(title, key=key, on_change="rerun", bind="query-params", icon=icon)
    return box if box.open else None


def following() -> bool:
    """Whether the viewer of the page tells which map it shows, because Surgery is open."""
    return bool(st.session_state.setdefault(_FOLLOWED, st.query_params.get("surgery") == "true"))


def follow_viewer(opened: bool) -> bool:
    """Called by Surgery; returns whether the page must be drawn once more, since the viewer does not tell its map yet."""
    followed = following()
    st.session_state[_FOLLOWED] = opened
    return opened and not followed
