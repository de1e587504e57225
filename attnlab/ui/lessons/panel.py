"""The panel of a lesson, which stands beside whatever page is open until the lesson is left.

Which lesson and step it is stands in the link, so a lesson can be resumed by it. A step that opens a view is visited by the
browser itself, with the view's link: then everything on the page is as the link says, whatever was set before.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from urllib.parse import urlencode

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from attnlab.lessons.catalogue import lessons
from attnlab.lessons.checking import in_link, link_of
from attnlab.lessons.lesson import Lesson, Question, Step
from attnlab.lessons.predictions import predictions
from attnlab.lessons.views import PAGES
from attnlab.ui.components.guide import guide
from attnlab.ui.format import plain
from attnlab.ui.lessons.predict import prediction_box

_AT = "lesson.at"
_LOOK = """<style>
[data-testid=stColumn]:has(> div .st-key-lesson-panel) { min-width: 17rem; }
@media (min-width: 641px) {
  [data-testid=stColumn]:has(> div .st-key-lesson-panel) {
    position: sticky; top: 4rem; align-self: flex-start; max-height: calc(100vh - 5rem); overflow-y: auto;
  }
}
@media (max-width: 640px) { [data-testid=stMainBlockContainer] { padding-bottom: 5rem; } }
.st-key-lesson-panel h3 { padding: 0; font-size: 1.15rem; }
</style>"""
"""The panel stays where the page is scrolled; on a phone it is above the page, and its moves are at the lower edge."""


@dataclass(frozen=True)
class At:
    """A step of a lesson. ``place`` counts from 0."""

    name: str
    lesson: Lesson
    place: int

    @property
    def step(self) -> Step:
        return self.lesson.steps[self.place]

    @property
    def key(self) -> str:
        return f"lesson.{self.name}.{self.step.name}"

    def address(self, place: int) -> str:
        """Of the view that is open at a step, below the app's own address."""
        view = self.lesson.view_at(place)
        link = {} if view is None else link_of(view)
        query = urlencode({**link, "lesson": self.name, "step": place + 1}, doseq=True)
        return f"{'' if view is None else view.page}?{query}"


def with_lesson(page: StreamlitPage) -> None:
    """Runs the page, with the panel of the lesson beside it where one is under way."""
    at = _lesson_at(page)
    if at is None:
        page.run()
        return
    st.html(_LOOK)
    left, right = st.columns([1, 2.7], gap="medium")
    with left, st.container(border=True, key="lesson-panel"):
        st.fragment(_panel)(page.url_path)
    with right:
        page.run()


def _lesson_at(page: StreamlitPage) -> At | None:
    """The lesson and step of the link, else of this session; `None` without one. A bare link opens the view of its step."""
    linked = st.query_params.get("lesson", "")
    known, _ = lessons()
    if not linked:
        before = st.session_state.get(_AT)
        at = before if isinstance(before, At) and before.name in known else None
        if at is not None:
            _into_link(at)  # the menu leads to another page without it
        return at
    lesson = known.get(linked)
    if lesson is None:
        st.warning(f"There is no lesson {plain(linked)} on this server.", icon=":material/link_off:")
        return None
    text = st.query_params.get("step", "")
    number = int(text) if text.isdecimal() and len(text) < 4 else 1
    at = At(linked, lesson, min(max(number, 1), len(lesson.steps)) - 1)
    fresh = _AT not in st.session_state
    st.session_state[_AT] = at
    _into_link(at)
    view = lesson.view_at(at.place)
    bare = set(st.query_params) <= {"lesson", "step"}
    if (
        fresh
        and view is not None
        and (page.url_path not in (view.page, Path(PAGES[view.page].file).stem) or (bare and link_of(view)))
    ):
        st.switch_page(PAGES[view.page].file, query_params={**link_of(view), "lesson": at.name, "step": str(at.place + 1)})
    return at


def _into_link(at: At) -> None:
    wanted = {"lesson": at.name, "step": str(at.place + 1)}
    for name, value in wanted.items():
        if st.query_params.get(name) != value:
            st.query_params[name] = value


def leave_lesson() -> None:
    """No lesson is under way any more."""
    st.session_state.pop(_AT, None)
    for name in ("lesson", "step"):
        st.query_params.pop(name, None)


def _panel(page: str) -> None:
    """A fragment: going to another step of the same view, or answering, draws the panel alone, never the page beside it."""
    at = st.session_state.get(_AT)
    if not isinstance(at, At):
        st.rerun()  # the lesson was left: without the panel the page is drawn otherwise
    step, count = at.step, len(at.lesson.steps)
    st.caption(f"{at.lesson.title} · step {at.place + 1} of {count}")
    st.progress((at.place + 1) / count)
    st.subheader(step.title, anchor=False)
    st.markdown(step.text)
    if step.source:
        st.caption(f"Measured: {plain(step.source)}")
    waiting = []
    if step.predict and not prediction_box(predictions()[step.predict], f"{at.key}.predict"):
        waiting.append("Make your prediction.")
    if step.question is not None and not _question(step.question, f"{at.key}.question"):
        waiting.append("Answer the question.")
    guide(_guide_data(at, page, " ".join(waiting)), key="lesson.guide", go=_go, leave=leave_lesson)


def _go(step: int) -> None:
    """Goes to a step, from 1, of the lesson that is under way."""
    at = st.session_state.get(_AT)
    if isinstance(at, At):
        st.session_state[_AT] = moved = At(at.name, at.lesson, min(max(step, 1), len(at.lesson.steps)) - 1)
        _into_link(moved)


def _question(question: Question, key: str) -> bool:
    """Asks it, and says why after an answer; whether it is answered."""
    letters = list(ascii_uppercase[: len(question.answers)])
    st.markdown(f"**{question.ask}**")
    given = st.session_state.get(f"{key}.given")
    st.radio(
        "Answer",
        letters,
        index=letters.index(given) if given else None,
        format_func=lambda letter: f"{letter}. {question.answers[letters.index(letter)]}",
        key=f"{key}.closed" if given else key,  # another widget, since one whose default changes loses what was chosen
        label_visibility="collapsed",
        disabled=bool(given),
        on_change=_answered,
        args=(key,),
    )
    if not given:
        return False
    right = given == question.right
    (st.success if right else st.info)(
        f"{'Right.' if right else f'The answer is {question.right}.'} {question.why}",
        icon=":material/check:" if right else ":material/lightbulb:",
    )
    return True


def _answered(key: str) -> None:
    st.session_state[f"{key}.given"] = st.session_state[key]


def _guide_data(at: At, page: str, waiting: str) -> dict[str, object]:
    """What the moves need, see GuideData in guide.js."""
    step, count = at.step, len(at.lesson.steps)
    view = at.lesson.view_at(at.place)
    control = PAGES[view.page].controls.get(step.point) if view is not None else None
    elsewhere = view is not None and page not in (view.page, Path(PAGES[view.page].file).stem)

    def target(place: int, opens: bool) -> dict[str, object]:
        return {"step": place + 1, "address": at.address(place) if opens or elsewhere else None}

    following = at.place + 1
    opened = link_of(view) if view is not None else {}
    return {
        "page": page,
        "key": at.key,
        "task": step.do,
        "needs": {
            name: [in_link(value) for value in (values if isinstance(values, tuple) else (values,))]
            for name, values in step.until.items()
        },
        "opened": {name: value for name, value in opened.items() if isinstance(value, str)},
        "answered": not waiting,
        "waiting": waiting,
        "away": at.address(at.place) if elsewhere else "",
        "selectors": list(control.selectors) if control else [],
        "control": control.words if control else "",
        "back": target(at.place - 1, step.open is not None) if at.place else None,
        "next": target(following, at.lesson.steps[following].open is not None)
        if following < count
        else {"step": 0, "address": "lessons"},
    }
