"""A section of the Inspect page that is folded until a person opens it."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator


def open_section(title: str, *, key: str, icon: str) -> DeltaGenerator | None:
    """The box to draw the section in; `None` while it is folded, so that nothing in it is computed.

    Args:
        key: of the expander, and of the parameter in the link that says whether it is open.
    """
    box = st.expander(title, key=key, on_change="rerun", bind="query-params", icon=icon)
    return box if box.open else None
