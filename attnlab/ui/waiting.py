"""What a page shows until torch is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from attnlab.ui import warmup
from attnlab.ui.shell import inside_app


def wait_for_torch() -> None:
    """Returns when torch and the registries are loaded; until then the page says what it waits for."""
    with until_drawn():
        pass


@contextmanager
def until_drawn(height: int = 320) -> Iterator[None]:
    """As `wait_for_torch`, and what was shown meanwhile stays until the body of the ``with`` is drawn below it."""
    inside_app()
    if warmup.ready():
        yield
        return
    place = st.empty()
    with place.container():
        st.caption(":material/hourglass_top: Loading PyTorch. Only the first page after a start waits for it.")
        st.skeleton(height=height)
    warmup.wait()
    yield
    place.empty()
