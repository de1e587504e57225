"""A folder or archive of a person's own: uploaded or by its path, what is in it, and the options with which it is read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import streamlit as st

from attnlab.data import DataError, Listing, keep_upload, list_path, own_side, tables_at
from attnlab.data.uploads import SUFFIXES

MOST_MEGABYTES = 300
"""Of one upload. Streamlit holds uploads in memory, so thirty browsers may each bring one; larger ones go by their path."""
MOST_SHOWN = 50


def choose_archive(prefix: str, *, holds: str, placeholder: str, given: str = "") -> str:
    """An upload or a path; the path, empty while there is none. What was typed stays when an upload is refused.

    Args:
        prefix: of the widgets' keys.
        holds: what is expected inside, in words.
        given: the path to begin with.
    """
    path_key, upload_key, trouble_key = f"{prefix}.path", f"{prefix}.upload", f"{prefix}.upload_trouble"
    kept_key = f"{prefix}.path_kept"  # that of the widget goes when another data set is looked at in between
    st.session_state.setdefault(path_key, given or st.session_state.get(kept_key, ""))

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
        help=f"{holds} As .zip, .tar, .tar.gz or .tar.xz, at most {MOST_MEGABYTES} MB; of what is larger, give the path.",
    )
    if trouble := st.session_state.get(trouble_key):
        st.error(trouble, icon=":material/error:")
    typed = st.text_input(
        "Or a folder or archive on the machine of the app",
        key=path_key,
        placeholder=placeholder,
        help=f"{holds} A folder, .zip, .tar, .tar.gz or .tar.xz on the machine that runs the app.",
    )
    st.session_state[kept_key] = typed
    return typed.strip()


def tables(path: Path) -> dict[str, tuple[str, ...]]:
    """The tables at the top of a folder or archive, with their columns; kept until the source changes.

    Raises:
        DataError: as `attnlab.data.tables_at`.
    """
    return _tables(str(path), _stamp(path))


def listing(path: Path, options: dict[str, Any]) -> Listing:
    """What would be read; kept until the source changes.

    Raises:
        DataError: as `attnlab.data.list_path`.
    """
    return _listed(str(path), _stamp(path), repr(sorted(options.items())), options)


def side(path: Path, options: dict[str, Any]) -> int:
    """The images' own side in pixels; kept until the source changes.

    Raises:
        DataError: as `attnlab.data.own_side`.
    """
    return _side(str(path), _stamp(path), repr(sorted(options.items())), options)


def found(listing: Listing, masks_are: str = "masks") -> None:
    """Says what is in the source, and what of it is left out, with the reasons.

    Args:
        masks_are: what the masks are called.
    """
    used = [item for item in listing.items if item.part.name != "UNUSED"]
    classes = Counter(listing.class_names[item.label] for item in used)
    parts = Counter(item.part.name.lower() for item in used)
    masks = sum(item.mask is not None for item in used)
    few = ", ".join(f"{count:,} of class {name}" for name, count in sorted(classes.items()))
    counted = [f"**{len(used):,}** images", few if len(classes) <= 6 else f"{len(classes)} classes"]
    counted.append(", ".join(f"{count:,} for {part}" for part, count in parts.items()))
    counted.append(f"{masks:,} {masks_are}" if masks else f"no {masks_are}")
    st.caption(" · ".join(counted) + f"  \n{listing.note}")
    if listing.skipped:
        with st.expander(f"Left out: {len(listing.skipped):,}", icon=":material/warning:"):
            st.code("\n".join(listing.skipped[:MOST_SHOWN]), language=None)
            if len(listing.skipped) > MOST_SHOWN:
                st.caption(f"and {len(listing.skipped) - MOST_SHOWN:,} more")


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@st.cache_data(max_entries=16, show_spinner="Looking at the table")
def _tables(path: str, stamp: int) -> dict[str, tuple[str, ...]]:
    return tables_at(Path(path))


@st.cache_resource(max_entries=32, show_spinner="Counting the images")
def _listed(path: str, stamp: int, named: str, _options: dict[str, Any]) -> Listing:
    return list_path(Path(path), _options)


@st.cache_data(max_entries=32, show_spinner=False)
def _side(path: str, stamp: int, named: str, _options: dict[str, Any]) -> int:
    return own_side(Path(path), _options)
