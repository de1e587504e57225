"""Which images Inspect shows, by the strip of thumbnails and the link, and the colour of their run."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from attnlab.runs.records import RunRecord
from attnlab.ui.components.picker import picked_indices
from attnlab.ui.state import colours, manager
from attnlab.viz.palette import colour

_MOST_DIGITS = 9
"""Of the number of an image in a link; Python refuses to read thousands of digits."""


def run_colour(record: RunRecord) -> str:
    """The colour this run has in every chart."""
    return colour(colours(manager().runs())[record.group])


def images_to_show(offered: Sequence[int], key: str, parameter: str, most: int = 1) -> list[int]:
    """The images just picked in the strip with this key, else those in the link, else the first. Updates the link.

    Args:
        offered: not empty.
    """
    chosen = [index for index in wanted_images(key, parameter) if index in offered][:most] or [offered[0]]
    st.query_params[parameter] = [str(index) for index in chosen]
    return chosen


def wanted_images(key: str, parameter: str) -> list[int]:
    """The images that a person asked for last: by a button of the page, in the strip with this key, or by the link."""
    picked = picked_indices(key)
    asked, before = st.session_state.get(f"{key}.asked", (None, None))
    if asked is not None and before == picked:
        return [asked]
    return linked_indices(parameter) if picked is None else picked


def ask_for_image(key: str, index: int) -> None:
    """A button of the page shows this image, until a person picks another in the strip with this key."""
    st.session_state[f"{key}.asked"] = (index, picked_indices(key))


def linked_indices(parameter: str) -> list[int]:
    """The images that the link names, each once."""
    texts = st.query_params.get_all(parameter)
    return list(dict.fromkeys(int(text) for text in texts if text.isdecimal() and len(text) <= _MOST_DIGITS))
