"""What the teacher does to a room, from the page and from the projector alike: steps, questions, reveal, follow."""

from __future__ import annotations

import streamlit as st

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.lesson import Step
from attnlab.lessons.predictions import predictions
from attnlab.rooms.room import Room
from attnlab.ui.problems import told
from attnlab.ui.state import rooms

SHOWN = "room.answer"
"""The step whose right answer is shown."""


def step_of(room: Room) -> Step | None:
    """The step that the class takes; `None` without a lesson."""
    lesson = lessons()[0].get(room.lesson)
    return None if lesson is None else lesson.steps[min(room.step, len(lesson.steps)) - 1]


def move(code: str, by: int) -> None:
    """The next step of the lesson, or one back; without a lesson the next prediction of the bank. A step that begins with a
    prediction asks it.
    """
    with told(say=st.toast):
        desk = rooms()
        room = desk.get(code)
        lesson = lessons()[0].get(room.lesson)
        if lesson is None:
            names = list(predictions())
            at = names.index(room.asked[-1].item) + by if room.asked and room.asked[-1].item in names else 0
            if 0 <= at < len(names):
                desk.ask(code, names[at])
            return
        step = min(max(room.step + by, 1), len(lesson.steps))
        if step != room.step:
            take_step(code, room.lesson, step)


def take_step(code: str, lesson: str, step: int) -> None:
    """Takes a step of a lesson, from 1."""
    desk = rooms()
    room = desk.change(code, lesson=lesson, step=step)
    taken = step_of(room)
    if taken is not None and taken.predict:
        desk.ask(code, taken.predict)
    elif room.asking:
        desk.close_question(code)


def reveal(code: str) -> None:
    """Shows what comes out of the prediction, or else the right answer of the step's question."""
    with told(say=st.toast):
        room = rooms().get(code)
        if room.question is not None:
            rooms().reveal(code)
        else:
            st.session_state[SHOWN] = (room.lesson, room.step)


def switch_follow(code: str) -> None:
    """Whether the room follows the teacher's view; the other way than now."""
    with told(say=st.toast):
        rooms().change(code, follows=not rooms().get(code).follows)
