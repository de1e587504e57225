"""What a link hides and locks: ``hide=menu,surgery`` and ``lock=run``, of the parts in `attnlab.lessons.views.PARTS`.

A session keeps what the link with which it was opened says, on every page, and puts it back into the address. It makes a page
simpler for a class; it keeps no secret, since whoever knows the address without it can open that.
"""

from __future__ import annotations

import streamlit as st

from attnlab.lessons.views import PARTS
from attnlab.ui.components.room import locks

HIDE, LOCK = "hide", "lock"
_KEPT = "hidden.{}"


def keep_hidden() -> None:
    """Reads the link, at the beginning of every page."""
    for name in (HIDE, LOCK):
        linked = parts_in(st.query_params.get(name, ""))
        kept = st.session_state.setdefault(_KEPT.format(name), linked)
        if linked and linked != kept:
            st.session_state[_KEPT.format(name)] = kept = linked
        text = ",".join(kept)
        if st.query_params.get(name, "") != text:
            if text:
                st.query_params[name] = text
            else:
                st.query_params.pop(name, None)


def shown(part: str) -> bool:
    """Whether a part is drawn in this session."""
    return part not in st.session_state.get(_KEPT.format(HIDE), ())


def lock_parts() -> None:
    """Locks what the link locks, on whichever page is open."""
    locked = st.session_state.get(_KEPT.format(LOCK), ())
    if locked:
        locks([selector for part in locked for selector in PARTS[part].selectors], key="hidden.locks")


def parts_in(text: str) -> tuple[str, ...]:
    """The known parts that a parameter names, each once, in the order of `PARTS`."""
    named = set(text[:500].split(","))
    return tuple(part for part in PARTS if part in named)


def download_button(label: str, *arguments: object, **options: object) -> bool:
    """As `streamlit.download_button`, where downloads are not hidden. Pages use no other."""
    return shown("downloads") and bool(st.download_button(label, *arguments, **options))  # type: ignore[arg-type]
