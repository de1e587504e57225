"""What a room and a link do in the browser without anything to see: following the teacher, keys, and parts that are locked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import streamlit as st

from attnlab.ui.components.mount import mount

_follow = mount("room", "follow")
_keys = mount("room", "keys")
_locks = mount("room", "locks")


def follow(room: str, serial: int, page: str, target: str, link: str, *, key: str) -> None:
    """Sends the browser to a view of the app, once for each view, unless it is there already.

    Args:
        room: its code. serial: of the view; 0 goes nowhere, and forgets where it went.
        page: the address of the page that is shown, below the app's own. target: of the page to go to. link: its parameters.
    """
    _follow(key=key, data={"room": room, "serial": serial, "page": page, "target": target, "link": link}, height=1)


def keys(actions: Mapping[str, str], *, key: str, pressed: Callable[[str], None]) -> None:
    """Listens to the keyboard of the whole page, except while somebody types.

    Args:
        actions: what the browser calls a key, as ``ArrowRight`` -> the action it stands for.
        pressed: called with the action.
    """

    def told() -> None:
        action = (st.session_state.get(key) or {}).get("action")
        if action is not None:
            pressed(str(action))

    _keys(key=key, data={"actions": dict(actions)}, on_action_change=told, height=1)


def locks(selectors: Sequence[str], *, key: str) -> None:
    """Locks all parts of the page that the selectors find: they are seen, and answer neither pointer nor keyboard."""
    _locks(key=key, data={"selectors": list(selectors)}, height=1)
