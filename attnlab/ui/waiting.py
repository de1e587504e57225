"""What a page shows until torch is there."""

from __future__ import annotations

import streamlit as st

from attnlab.ui import warmup
from attnlab.ui.shell import inside_app


def wait_for_torch() -> None:
    """Returns when torch and the registries can be imported; until then the page says what it waits for."""
    inside_app()
    if warmup.ready():
        return
    place = st.empty()
    with place.container(), st.spinner("Loading torch. Only the first page after a start waits for it."):
        st.skeleton(height=320)
        warmup.wait()
    place.empty()
