"""The student's side of a room: the code, and then the question, the lesson, the own seed, and the board."""

from __future__ import annotations

import streamlit as st

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.checking import link_of
from attnlab.lessons.predictions import predictions
from attnlab.lessons.views import PAGES
from attnlab.rooms.room import Room, RoomError
from attnlab.ui.format import plain
from attnlab.ui.lessons.predict import room_prediction
from attnlab.ui.problems import told
from attnlab.ui.room.board import class_board, variant_title
from attnlab.ui.room.share import seed_link
from attnlab.ui.room.strip import EVERY_SECONDS, ROOM
from attnlab.ui.state import rooms

_REFUSED = "room.refused"
_TYPED = "room.code"
_WAS_IN = "room.was_in"


def student() -> None:
    """The code to enter, or the room."""
    room = rooms().mine()
    if room is None:
        room = _enter()
    if room is None:
        return
    st.session_state[_WAS_IN] = room.code
    st.fragment(_watch, run_every=EVERY_SECONDS)(_stamp(room))
    _question(room)
    _lesson(room)
    _own_runs(room)
    st.subheader("Class board", anchor=False)
    class_board(room.code)
    st.button("Leave the room", key="room.leave", type="tertiary", icon=":material/logout:", on_click=_leave)


def _enter() -> Room | None:
    """By the link, once, or by the code that is typed; the room that was entered."""
    linked = st.query_params.get(ROOM, "")
    if st.session_state.pop(_WAS_IN, None):
        st.info("The room has ended, or you have left it.", icon=":material/door_front:")
        st.session_state[_REFUSED] = linked
    if linked and st.session_state.get(_REFUSED) != linked:
        st.session_state[_REFUSED] = linked  # asked once: a wrong code counts as a guess
        with told():
            rooms().enter(linked)
            st.rerun()
    st.markdown(
        "Enter the code that your teacher shows. You get a number, and no name is asked for. The teacher sees that number, the "
        "page you are on, what you predict, and the runs you start while you are here."
    )
    with st.form("room.form", border=False):
        st.text_input("Code of the room", key=_TYPED, max_chars=20, placeholder="six letters", width=280)
        sent = st.form_submit_button("Enter", type="primary", icon=":material/login:")
    if sent:
        with told():
            rooms().enter(st.session_state[_TYPED])
            st.rerun()
    return None


def _leave() -> None:
    with told((RoomError, OSError), st.toast):
        rooms().leave()


def _stamp(room: Room) -> tuple[object, ...]:
    """What of a room is drawn here; the board is drawn by itself."""
    question = room.question
    asked = (len(room.asked), question.revealed) if question else ()
    return room.code, room.lesson, room.step, room.variants, room.epochs, asked


def _watch(stamp: tuple[object, ...]) -> None:
    room = rooms().mine()
    if room is not None and _stamp(room) != stamp:  # that it has ended, the line above the page notices
        st.rerun()


def _question(room: Room) -> None:
    asked = room.question
    prediction = predictions().get(asked.item) if asked is not None else None
    if prediction is not None:
        with st.container(border=True, key="room-question"):
            st.caption("Predict first")
            room_prediction(room, prediction, f"room.{room.code}.{len(room.asked)}", wide=True)


def _lesson(room: Room) -> None:
    lesson = lessons()[0].get(room.lesson)
    if lesson is None:
        return
    place = min(room.step, len(lesson.steps)) - 1
    view = lesson.view_at(place)
    with st.container(border=True, key="room-lesson"):
        st.markdown(f"**{plain(lesson.title)}** · step {place + 1} of {len(lesson.steps)}: {plain(lesson.steps[place].title)}")
        if view is not None:
            st.page_link(
                PAGES[view.page].file,
                label="Open this step",
                icon=":material/play_arrow:",
                query_params={**link_of(view), "lesson": room.lesson, "step": str(place + 1)},
            )


def _own_runs(room: Room) -> None:
    me = rooms().me()
    if me is None or not room.variants:
        return
    with st.container(border=True, key="room-runs"):
        st.markdown(
            f"**Your seed is {me.seed}.** Everybody trains the same networks, each with a seed of their own. A button opens "
            "*Train* with everything filled in; press *Start* there."
        )
        with st.container(horizontal=True):
            for variant in room.variants:
                st.page_link(
                    "pages/train.py",
                    label=f"Train {variant_title(variant)} with seed {me.seed}",
                    icon=":material/play_circle:",
                    query_params=seed_link(variant, room.epochs, me.seed),
                )
