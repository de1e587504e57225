"""The page Room: to a student the code and what the room does, to the teacher the room's controls or the projector's view."""

from __future__ import annotations

import streamlit as st

from attnlab.ui.room.presenter import presenter
from attnlab.ui.room.student import student
from attnlab.ui.room.teacher import choose_room, teacher
from attnlab.ui.state import rooms

PRESENT = "present"


def room_page() -> None:
    """Draws the side of whoever is at this browser."""
    desk = rooms()
    if desk.leads and st.query_params.get(PRESENT) == "1" and (room := choose_room(asked=False)) is not None:
        presenter(room.code)
        return
    st.title("Room", anchor=False)
    if desk.leads:
        teacher(choose_room(asked=True))
    else:
        student()
