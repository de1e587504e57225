"""What is wrong with a run or with a request, said in its place on the page; the rest of the page stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from attnlab import paths
from attnlab.files import why_not_written
from attnlab.ui.format import plain

FOR_PEOPLE = (ValueError, OSError)
"""Errors whose text is written for a person: of run folders, data, grids, searches and requests; and those of the disk."""


@contextmanager
def told(kinds: tuple[type[Exception], ...] = FOR_PEOPLE, say: Callable[..., object] = st.error) -> Iterator[None]:
    """Around a section of a page. A file that is damaged or cannot be written, or a request that is refused, is one message.

    Args:
        kinds: of errors.
        say: shows the message; `st.toast` in a callback, which has no place on the page.
    """
    try:
        yield
    except kinds as error:
        text = f"This did not work: {why_not_written(error, paths.home())}." if isinstance(error, OSError) else str(error)
        say(plain(text), icon=":material/error:")
