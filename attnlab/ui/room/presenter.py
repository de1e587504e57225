"""The room on the projector: large type, the code and its QR code, the step or question, and the board; led by the keyboard."""

from __future__ import annotations

from string import ascii_uppercase

import streamlit as st

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.predictions import predictions
from attnlab.rooms.room import Room, RoomError
from attnlab.ui.components.room import keys
from attnlab.ui.format import plain
from attnlab.ui.lessons.predict import prediction_asked
from attnlab.ui.room import moves
from attnlab.ui.room.board import class_board
from attnlab.ui.room.share import address_of, qr_code
from attnlab.ui.room.strip import EVERY_SECONDS, ROOM
from attnlab.ui.state import rooms

NEXT, BACK, REVEAL, FOLLOW = "next", "back", "reveal", "follow"
ACTIONS = {
    "ArrowRight": NEXT,
    "ArrowDown": NEXT,
    "PageDown": NEXT,
    " ": NEXT,
    "ArrowLeft": BACK,
    "ArrowUp": BACK,
    "PageUp": BACK,
    "r": REVEAL,
    "f": FOLLOW,
}
_LOOK = """<style>
[data-testid=stHeader] { visibility: hidden; }
[data-testid=stMainBlockContainer] { padding: 1.5rem 2.5rem; max-width: none; }
.st-key-room-projector [data-testid=stMarkdownContainer] :is(p, li, td, th, label) { font-size: 1.5rem; line-height: 1.4; }
.st-key-room-projector [data-testid=stCaptionContainer] p { font-size: 1.15rem; }
.st-key-room-projector h2 { font-size: 2.4rem; padding-top: 0; }
.st-key-room-projector h1.room-code {
  margin: 0; padding: 0; font: 700 clamp(2rem, 4.6vw, 5.5rem)/1.1 ui-monospace, monospace; white-space: nowrap;
}
</style>"""


def presenter(code: str) -> None:
    """The projector's view of an open room."""
    room = rooms().get(code)
    st.html(_LOOK)
    keys(ACTIONS, key="room.keys", pressed=lambda action: _press(code, action))
    st.fragment(_watch, run_every=1.0)(code, _stamp(room))
    with st.container(key="room-projector"):
        left, right = st.columns([3, 7], gap="large")
        with left:
            _door(room)
        with right:
            _content(room)
        _moves(room)


def _door(room: Room) -> None:
    st.html(f'<h1 class="room-code" aria-label="Room {" ".join(room.code)}">{room.code[:3]}&thinsp;{room.code[3:]}</h1>')
    link = f"{address_of(room)}/{ROOM}?room={room.code}"
    qr_code(link, "min(45vh, 100%)")
    st.markdown(f"Open **{plain(address_of(room))}/{ROOM}** and enter the code, or scan it.")
    st.fragment(_count, run_every=EVERY_SECONDS)(room.code)


def _count(code: str) -> None:
    """How many are in, and how many have answered."""
    room = rooms().get(code)
    present = rooms().present(code)
    st.markdown(f"**{present}** {'student is' if present == 1 else 'students are'} in")
    if room.question is not None and not room.question.revealed:
        st.markdown(f"**{len(room.question.said)}** {'has' if len(room.question.said) == 1 else 'have'} answered")


def _content(room: Room) -> None:
    """The step of the lesson and the question; without a question the board, where there are runs or nothing else."""
    lesson, step = lessons()[0].get(room.lesson), moves.step_of(room)
    if lesson is not None and step is not None:
        st.caption(f"{plain(lesson.title)} · step {room.step} of {len(lesson.steps)}")
        st.header(step.title, anchor=False)
        st.markdown(step.text)
    asked = room.question
    prediction = predictions().get(asked.item) if asked is not None else None
    if asked is not None and prediction is not None:
        key = f"room.present.{room.code}.{len(room.asked)}"
        prediction_asked(prediction, key, None, None, revealed=asked.revealed, everybody=rooms().predicted(room), wide=True)
    elif step is not None and step.question is not None:
        question = step.question
        lines = [f"{letter}. {answer}" for letter, answer in zip(ascii_uppercase, question.answers, strict=False)]
        st.markdown(f"**{question.ask}**\n\n" + "  \n".join(lines))
        if st.session_state.get(moves.SHOWN) == (room.lesson, room.step):
            st.success(f"**{question.right}.** {question.why}")
    if asked is None and (room.runs or step is None):
        st.header("Class board", anchor=False)
        class_board(room.code, large=True)


def _moves(room: Room) -> None:
    """What the keys do, as buttons too."""
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, action in (
            ("Back (←)", BACK),
            ("Next (→)", NEXT),
            ("Reveal (R)", REVEAL),
            ("Stop following (F)" if room.follows else "Follow (F)", FOLLOW),
        ):
            st.button(label, key=f"room.present.{action}", on_click=_press, args=(room.code, action))
        st.page_link("pages/room.py", label="Close", icon=":material/close:", query_params={ROOM: room.code})
    st.caption("The room follows your view." if room.follows else "The room does not follow your view.")


def _press(code: str, action: str) -> None:
    if action in (NEXT, BACK):
        moves.move(code, 1 if action == NEXT else -1)
    elif action == REVEAL:
        moves.reveal(code)
    else:
        moves.switch_follow(code)


def _stamp(room: Room) -> tuple[object, ...]:
    question = room.question
    return (
        *(room.lesson, room.step, room.follows, room.address, len(room.asked), bool(room.runs)),
        question is not None and (True, question.revealed),
    )


def _watch(code: str, stamp: tuple[object, ...]) -> None:
    try:
        room = rooms().get(code)
    except RoomError:
        st.rerun()
    if not room.open or _stamp(room) != stamp:
        st.rerun()
