"""A folder or archive of one's own images, uploaded or given by its path, and what it contains."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import streamlit as st

from attnlab.data import DataError, Listing, keep_upload, list_path, own_side, tables_at
from attnlab.data.uploads import SUFFIXES

MOST_MEGABYTES = 300
"""Per upload. Streamlit holds uploads in memory, and many browsers may send one at a time; larger ones go by their path."""
MOST_LISTED = 50


def choose_archive(prefix: str, *, holds: str, placeholder: str, initial: str = "") -> str:
    """Asks for an upload or a path and returns the path, empty while there is none. A refused upload changes nothing.

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
            st.session_state[path_key] = str(keep_upload(file.name, file))
        except DataError as error:
            st.session_state[trouble_key] = str(error)

    st.file_uploader(
        "Upload an archive",
        type=list(SUFFIXES),
        max_upload_size=MOST_MEGABYTES,
        key=upload_key,
        on_change=uploaded,
        help=f"{holds} A .zip, .tar, .tar.gz or .tar.xz of at most {MOST_MEGABYTES} MB. For a larger one, give its path.",
    )
    if trouble := st.session_state.get(trouble_key):
        st.error(trouble, icon=":material/error:")
    typed = st.text_input(
        "Or the path of a folder or archive on the server",
        key=path_key,
        placeholder=placeholder,
        help=f"{holds} A folder, .zip, .tar, .tar.gz or .tar.xz on the machine that runs the app.",
    )
    st.session_state[kept_key] = typed
    return typed.strip()


def absolute_path(text: str) -> Path:
    """What was typed as a path, so that a run does not depend on where the app was started."""
    return Path(text).expanduser().resolve()


def tables(path: Path) -> dict[str, tuple[str, ...]]:
    """The tables at the top level of a folder or archive, with their columns; cached until the source changes.

    Raises:
        DataError: as `attnlab.data.tables_at`.
    """
    return _tables(str(path), _stamp(path))


def listing(path: Path, options: dict[str, Any]) -> Listing:
    """The images that would be read; cached until the source changes.

    Raises:
        DataError: as `attnlab.data.list_path`.
    """
    return _listing(str(path), _stamp(path), repr(sorted(options.items())), options)


def side(path: Path, options: dict[str, Any]) -> int:
    """The images' own side in pixels; cached until the source changes.

    Raises:
        DataError: as `attnlab.data.own_side`.
    """
    return _side(str(path), _stamp(path), repr(sorted(options.items())), options)


def describe(listing: Listing, mask_name: str = "masks") -> None:
    """Shows what is in the source, and which images are left out and why."""
    used = [item for item in listing.items if item.part.name != "UNUSED"]
    classes = Counter(listing.class_names[item.label] for item in used)
    parts = Counter(item.part.name.lower() for item in used)
    masks = sum(item.mask is not None for item in used)
    per_class = ", ".join(f"{count:,} of class {name}" for name, count in sorted(classes.items()))
    counted = [f"**{len(used):,}** images", per_class if len(classes) <= 6 else f"{len(classes)} classes"]
    counted.append(", ".join(f"{count:,} for {part}" for part, count in parts.items()))
    counted.append(f"{masks:,} {mask_name}" if masks else f"no {mask_name}")
    st.caption(" · ".join(counted) + f"  \n{listing.note}")
    if listing.skipped:
        with st.expander(f"Images left out: {len(listing.skipped):,}", icon=":material/warning:"):
            st.code("\n".join(listing.skipped[:MOST_LISTED]), language=None)
            if len(listing.skipped) > MOST_LISTED:
                st.caption(f"and {len(listing.skipped) - MOST_LISTED:,} more")


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@st.cache_data(max_entries=16, show_spinner="Reading the table")
def _tables(path: str, stamp: int) -> dict[str, tuple[str, ...]]:
    return tables_at(Path(path))


@st.cache_resource(max_entries=32, show_spinner="Counting the images")
def _listing(path: str, stamp: int, named: str, _options: dict[str, Any]) -> Listing:
    return list_path(Path(path), _options)


@st.cache_data(max_entries=32, show_spinner=False)
def _side(path: str, stamp: int, named: str, _options: dict[str, Any]) -> int:
    return own_side(Path(path), _options)
