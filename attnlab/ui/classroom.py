"""The page Classroom, which exists in that mode only."""

from __future__ import annotations

import streamlit as st

from attnlab import paths
from attnlab.desk.desk import teachers_door
from attnlab.desk.limits import LIMITS
from attnlab.desk.permissions import Mode, NotAllowed
from attnlab.queue.lesson import Offer
from attnlab.ui.format import duration, plain
from attnlab.ui.state import manager, owner_name
from attnlab.ui.waiting import wait_for_torch
from attnlab.ui.who import person

STUDENTS, MINUTES = 30, 20
_TOKEN = "classroom.token"
_TROUBLE = "classroom.trouble"


def classroom() -> None:
    """What this browser may do, and the field for the teacher's token."""
    st.title("Classroom", anchor=False)
    me = person()
    if me.mode is Mode.PERSONAL:
        st.info("This server answers its own machine only. `attnlab app --classroom` starts one for a class.")
        return
    if me.teacher:
        st.success("This browser is the teacher's. It may change every run, table and setting.", icon=":material/school:")
        st.page_link("pages/room.py", label="Make a room for the class, or go to it", icon=":material/groups:")
        st.button("Make it an ordinary browser again", key="classroom.leave", on_click=_leave)
        _lesson()
        return
    if not me.browser:
        st.warning(
            "This browser keeps no cookies, so nothing can belong to it. Allow them, and reload.", icon=":material/cookie:"
        )
        return
    mine = [record for record in manager().live() if manager().mine(record)]
    st.markdown(
        f"The runs that are started here belong to this browser, **{owner_name(me.browser)}**. Nobody else but the teacher can "
        "stop, rename or delete them, and nobody else sees pictures that are uploaded here. All other runs can be looked at "
        "and compared by everybody."
    )
    st.markdown(
        f"- Runs at a time, training or waiting: **{LIMITS.live_runs}**, now {len(mine)}; "
        f"those of all browsers together: {LIMITS.all_live_runs}\n"
        f"- A run sees at most {LIMITS.image_passes:,} images in all its epochs, of at most {LIMITS.image_size} × "
        f"{LIMITS.image_size} pixels, and trains for at most {duration(LIMITS.seconds)}\n"
        f"- A table has at most {LIMITS.cells} runs\n"
        f"- {LIMITS.uploads} uploaded archives, each of at most {LIMITS.upload_bytes >> 20} MB, "
        f"{LIMITS.kept_bytes >> 20} MB together"
    )
    _lesson()
    st.subheader("For the teacher", anchor=False)
    with st.form("classroom.form", border=False):
        st.text_input("Token", type="password", key=_TOKEN, help="The command that started the server has printed it.")
        st.form_submit_button("Enter", on_click=_enter)
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(plain(trouble), icon=":material/error:")


def _lesson() -> None:
    """How long the runs of a class take, before anybody starts one, and what fits into the lesson."""
    wait_for_torch()
    from attnlab.training.presets import one_minute

    st.subheader("What fits into a lesson", anchor=False)
    left, right = st.columns(2)
    students = int(left.number_input("Students who start a run", 1, 500, STUDENTS, key="classroom.students"))
    minutes = int(right.number_input("Minutes there are", 1, 600, MINUTES, key="classroom.minutes"))
    wish, *fitting = manager().lesson(one_minute(), students, 60.0 * minutes)
    verdict = "That fits." if wish.fits else "That does not fit." if fitting else "This does not fit, and no shorter run does."
    takes = f"takes about **{duration(wish.seconds)}**" + (" with what trains and waits now" if manager().live() else "")
    st.markdown(f"**{_words(wish, students)}** {takes}, one run after the other. {verdict}")
    for offer in fitting:
        with st.container(border=True, key=f"classroom.offer.{offer.sharing}.{offer.each}"):
            st.markdown(f"**{_words(offer, students)}** takes about {duration(offer.seconds)}. {_learned(offer)}")
            st.page_link(
                "pages/train.py",
                label=f"The form for a run of {duration(offer.each)}",
                icon=":material/play_circle:",
                query_params={"seconds": str(offer.each)},
            )


def _words(offer: Offer, students: int) -> str:
    if offer.sharing > 1:
        return f"One run of {duration(offer.each)} for every {offer.sharing} students ({offer.runs} runs)"
    return f"A run of {duration(offer.each)} for each of {students} students"


def _learned(offer: Offer) -> str:
    """What such a run learns here, as far as that was measured."""
    if offer.epochs is None:
        return "How many epochs that is gets measured when the first run is started."
    text = f"That is enough for {offer.epochs} {'epoch' if offer.epochs == 1 else 'epochs'}"
    return text + (f"; about {offer.accuracy:.0%} test accuracy is to be expected." if offer.accuracy is not None else ".")


def _enter() -> None:
    token, st.session_state[_TOKEN] = st.session_state[_TOKEN], ""
    try:
        teachers_door(paths.home()).enter(person().browser, token)
    except NotAllowed as error:
        st.session_state[_TROUBLE] = str(error)


def _leave() -> None:
    teachers_door(paths.home()).leave(person().browser)
