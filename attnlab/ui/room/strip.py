"""The line that a room draws above every page: it says where a browser is, and takes those who follow to the teacher's view.

A fragment that runs every two seconds and draws nothing else. A view is visited by the browser itself, by the view's link,
since widgets keep what was set before and links do not.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from attnlab.desk.rooms import RoomsDesk
from attnlab.rooms.room import Room, RoomError
from attnlab.ui.components.room import follow
from attnlab.ui.problems import told
from attnlab.ui.shell import CLASSROOM_PAGE, PAGES
from attnlab.ui.state import rooms

EVERY_SECONDS, LEADER_SECONDS = 2.0, 1.0
ROOM = "room"
"""The address of the page Room."""
OWN = ("room", "hide", "lock", "present")
"""Parameters of a browser's own, which its view does not have."""
_SEEN = "room.view"
_LOOK = """<style>
.st-key-room-strip { gap: 0; margin: -1.25rem 0 -1.75rem; }
@media (max-width: 640px) { .st-key-room-strip { margin: 0.25rem 0 -1rem; } }
</style>"""


def room_strip(page: StreamlitPage) -> None:
    """The line, for whoever is in a room or leads one; others have none."""
    desk = rooms()
    room = desk.mine()
    if room is not None:
        st.html(_LOOK)
        every = LEADER_SECONDS if desk.leads else EVERY_SECONDS
        with st.container(key="room-strip"):
            st.fragment(_strip, run_every=every)(page.url_path, page.title, room.code)


def _strip(page: str, title: str, code: str) -> None:
    desk = rooms()
    room = desk.mine()
    if room is None or room.code != code:
        st.rerun()
    if desk.leads:
        _leader(desk, room, page)
    else:
        _member(desk, room, page, title)


def _leader(desk: RoomsDesk, room: Room, page: str) -> None:
    if room.follows and page != CLASSROOM_PAGE[0].removeprefix("pages/").removesuffix(".py"):
        _show(desk, room, page)
    if page == ROOM:
        return
    present = desk.present(room.code)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            f":material/groups: Room **{room.code}** · {present} {'student' if present == 1 else 'students'} · "
            + ("the room follows your view" if room.follows else "the room does not follow your view"),
            width="content",
        )
        st.page_link("pages/room.py", label="To the room", icon=":material/arrow_back:")


def _show(desk: RoomsDesk, room: Room, page: str) -> None:
    """Sends the room to the view of this tab, when it has changed and stays for a moment."""
    view = (page, _link())
    before, shown = st.session_state.get(_SEEN, (None, None))
    if view == before and view != shown:
        with told((RoomError, OSError)):
            desk.show(room.code, *view)
        shown = view
    st.session_state[_SEEN] = (view, shown)


def _link() -> str:
    """The parameters in the address bar that belong to the view."""
    context = get_script_run_ctx()
    pairs = parse_qsl(context.query_string if context else "", keep_blank_values=True)
    return urlencode([(name, value) for name, value in pairs if name not in OWN])


def _member(desk: RoomsDesk, room: Room, page: str, title: str) -> None:
    desk.look_at(title)
    me = desk.me()
    assert me is not None  # who does not lead has a room as a member only
    going = room.follows and me.follows
    with st.container(horizontal=True, vertical_alignment="center"):
        where = f":material/groups: Room **{room.code}** · you are **Student {me.number}**"
        if room.follows:
            there = "where the teacher is" if not room.view.serial else f"the teacher is on *{_title(room.view.page)}*"
            where += f" · you follow; {there}" if going else f" · you look around by yourself; {there}"
        st.caption(where, width="content")
        if room.follows:
            st.button(
                "Look around by yourself" if going else "Follow again",
                key="room.around",
                type="tertiary",
                on_click=_look_around,
                args=(going,),
            )
        if page != ROOM:
            st.page_link("pages/room.py", label="To the room", icon=":material/arrow_back:")
    serial = room.view.serial if going else 0
    follow(room.code, serial, page, room.view.page, room.view.link, key="room.follow")


def _look_around(alone: bool) -> None:
    with told(say=st.toast):
        rooms().look_around(alone=alone)


def _title(address: str) -> str:
    """What a page is called in the menu."""
    for file, title, _ in PAGES:
        if address in (file.removeprefix("pages/").removesuffix(".py"), "" if file == PAGES[0][0] else None):
            return title
    return {"inspect": "Inspect", "open": "Open"}.get(address, "another page")
