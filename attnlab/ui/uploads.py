"""The widgets that take files. Pages show them through this file only: the server refuses what no widget has asked for."""

from __future__ import annotations

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from attnlab.desk.limits import LIMITS
from attnlab.desk.permissions import Action
from attnlab.ui.door import UPLOADS
from attnlab.ui.who import person

_SHOWN = "uploads.page"


def file_uploader(label: str, *, most_megabytes: int, key: str, place: DeltaGenerator | None = None, **options: Any) -> Any:
    """As `streamlit.file_uploader` for one file.

    Args:
        most_megabytes: of the file; less where a classroom allows less.
        place: where it stands; `None`: here.
    """
    most = most_for(most_megabytes)
    _expect(key, most)
    return (place or st).file_uploader(label, max_upload_size=most, key=key, **options)


def camera_input(label: str, *, most_megabytes: int, key: str, **options: Any) -> UploadedFile | None:
    """As `streamlit.camera_input`."""
    _expect(key, most_for(most_megabytes))
    return st.camera_input(label, key=key, **options)


def most_for(megabytes: int) -> int:
    """Megabytes that this person may send where a widget would take so many."""
    return megabytes if person().may(Action.NO_LIMITS) else min(megabytes, LIMITS.upload_bytes >> 20)


def page_shown(page: str) -> None:
    """Forgets the widgets of the page that this session showed before; `page` names the one that is drawn now."""
    if st.session_state.get(_SHOWN) != page:
        st.session_state[_SHOWN] = page
        if (context := get_script_run_ctx()) is not None:
            UPLOADS.close(context.session_id)


def _expect(key: str, megabytes: int) -> None:
    if (context := get_script_run_ctx()) is not None and person().may(Action.UPLOAD):
        UPLOADS.expect(context.session_id, person().browser, key, megabytes << 20)
