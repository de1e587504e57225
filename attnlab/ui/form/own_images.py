"""A folder or archive of one's own images, uploaded or given by its path, and what it contains."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from attnlab.config import DatasetConfig
from attnlab.data import (
    Choice,
    DataError,
    Reading,
    TableColumns,
    own_side,
    read_path,
    tables_at,
)
from attnlab.data.uploads import SUFFIXES
from attnlab.desk.permissions import Action, NotAllowed
from attnlab.ui.format import plain
from attnlab.ui.run_cache import source_stamp
from attnlab.ui.state import manager
from attnlab.ui.uploads import file_uploader, most_for

MOST_MEGABYTES = 300
"""Per upload. Streamlit holds uploads in memory, and many browsers may send one at a time; larger ones go by their path."""


def choose_archive(prefix: str, *, holds: str, placeholder: str, initial: str = "") -> str:
    """Asks for an upload or a path and returns the path, empty while there is none. A refused upload changes nothing.

    Where the person may not read paths on the server, only for an upload.

    Args:
        prefix: of the widgets' keys.
        holds: a sentence on what should be inside.
        initial: the path to begin with.
    """
    path_key, upload_key, trouble_key = f"{prefix}.path", f"{prefix}.upload", f"{prefix}.upload_trouble"
    kept_key = f"{prefix}.path_kept"  # Streamlit drops the widget's own value when another data set is shown in between
    st.session_state.setdefault(path_key, initial or st.session_state.get(kept_key, ""))

    def uploaded() -> None:
        st.session_state.pop(trouble_key, None)
        file = st.session_state[upload_key]
        if file is None:
            return
        try:
            st.session_state[path_key] = str(manager().keep_upload(file.name, file))
        except ValueError as error:
            st.session_state[trouble_key] = str(error)

    by_path = manager().may(Action.READ_PATH)
    most = most_for(MOST_MEGABYTES)
    file_uploader(
        "Upload an archive",
        type=list(SUFFIXES),
        most_megabytes=MOST_MEGABYTES,
        key=upload_key,
        on_change=uploaded,
        help=f"{holds} A .zip, .tar, .tar.gz or .tar.xz of at most {most} MB."
        + (" For a larger one, give its path." if by_path else ""),
    )
    if trouble := st.session_state.get(trouble_key):
        st.error(plain(trouble), icon=":material/error:")
    if not by_path:
        st.session_state[path_key] = st.session_state[path_key]  # kept though no widget shows it
        return str(st.session_state[path_key]).strip()
    typed = st.text_input(
        "Or the path of a folder or archive on the server",
        key=path_key,
        placeholder=placeholder,
        help=f"{holds} A folder, .zip, .tar, .tar.gz or .tar.xz on the machine that runs the app.",
    )
    st.session_state[kept_key] = typed
    return typed.strip()


def absolute_path(text: str) -> Path:
    """What was typed as a path, so that a run does not depend on where the app was started.

    Raises:
        DataError: when it is no path, or the person may not read it.
    """
    try:
        return manager().path(text)
    except NotAllowed as error:
        raise DataError(str(error)) from error


def tables(path: Path, name_encoding: str = "auto") -> dict[str, TableColumns]:
    """The tables of a folder or archive, with their columns; cached until the source changes.

    Args:
        name_encoding: as in `attnlab.data.PathOptions`.

    Raises:
        DataError: as `attnlab.data.tables_at`.
    """
    return _tables(str(path), source_stamp(str(path)), name_encoding)


def reading(dataset: Mapping[str, Any]) -> Reading:
    """How a folder or archive would be read; cached until the source changes.

    Args:
        dataset: the tree of a `DatasetConfig`.

    Raises:
        DataError: as `attnlab.data.read_path`.
        ValueError: when the tree is not valid.
    """
    config = DatasetConfig.model_validate(dict(dataset))
    return _reading(config.model_dump_json(exclude={"image_size"}), source_stamp(config.name))


def side(path: Path, options: dict[str, Any]) -> int:
    """The images' own side in pixels; cached until the source changes.

    Raises:
        DataError: as `attnlab.data.own_side`.
    """
    return _side(str(path), source_stamp(str(path)), repr(sorted(options.items())), options)


def ask_reading(current: str, choices: Sequence[Choice], key: str) -> dict[str, Any] | None:
    """Offers the other ways to read the source. Returns the options of the one that was just chosen, or `None`.

    Args:
        current: how it is read now, or that it cannot be.
        key: prefix of the widget's key.
    """
    labels = [current, *(choice.label for choice in choices)]
    chosen = st.selectbox(
        "Read it like this",
        range(len(labels)),
        format_func=labels.__getitem__,
        key=f"{key}.read_as.{hashlib.sha256(repr(labels).encode()).hexdigest()[:12]}",
        help="The same files can be understood in more than one way. The first way is the likeliest one.",
    )
    return choices[chosen - 1].options if chosen else None


@st.cache_data(max_entries=16, show_spinner="Reading the tables")
def _tables(path: str, stamp: str, name_encoding: str) -> dict[str, TableColumns]:
    return tables_at(Path(path), name_encoding)


@st.cache_resource(max_entries=32, show_spinner="Looking at the pictures")
def _reading(config: str, stamp: str) -> Reading:
    return read_path(DatasetConfig.model_validate_json(config))


@st.cache_data(max_entries=32, show_spinner=False)
def _side(path: str, stamp: str, named: str, _options: dict[str, Any]) -> int:
    return own_side(Path(path), _options)
