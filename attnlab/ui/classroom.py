"""The page Classroom, which exists in that mode only."""

from __future__ import annotations

import streamlit as st

from attnlab import paths
from attnlab.desk.desk import teachers_door
from attnlab.desk.limits import LIMITS
from attnlab.desk.permissions import Mode, NotAllowed
from attnlab.ui.format import duration, plain
from attnlab.ui.state import manager, owner_name
from attnlab.ui.who import person

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
        st.button("Make it an ordinary browser again", key="classroom.leave", on_click=_leave)
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
    st.subheader("For the teacher", anchor=False)
    with st.form("classroom.form", border=False):
        st.text_input("Token", type="password", key=_TOKEN, help="The command that started the server has printed it.")
        st.form_submit_button("Enter", on_click=_enter)
    if trouble := st.session_state.pop(_TROUBLE, None):
        st.error(plain(trouble), icon=":material/error:")


def _enter() -> None:
    token, st.session_state[_TOKEN] = st.session_state[_TOKEN], ""
    try:
        teachers_door(paths.home()).enter(person().browser, token)
    except NotAllowed as error:
        st.session_state[_TROUBLE] = str(error)


def _leave() -> None:
    teachers_door(paths.home()).leave(person().browser)
