"""The questions before and after the lessons, and what a class has learned between them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from string import ascii_uppercase

import streamlit as st

from attnlab.desk.permissions import Action, NotAllowed
from attnlab.lessons.answers import anonymous
from attnlab.lessons.questions import BankQuestion, Result, Time, form_for, questions, results
from attnlab.ui.format import plain
from attnlab.ui.hidden import download_button
from attnlab.ui.state import manager

_CSV = ("question", "topic", "n_before", "right_before", "n_after", "right_after", "gain", "gain_low", "gain_high")
TITLES = {Time.BEFORE: "Before the lessons", Time.AFTER: "After the lessons"}


def forms() -> None:
    """The two forms, and the results for whoever may see them."""
    st.subheader("What do you know, before and after?", anchor=False)
    st.markdown(
        "Two short forms with the same topics and different questions. Fill in the first one before you start the lessons, and "
        "the second one when you have finished them. No names are kept."
    )
    before, after = st.columns(2, gap="large")
    for time, column in ((Time.BEFORE, before), (Time.AFTER, after)):
        with column, st.expander(TITLES[time], icon=":material/quiz:", key=f"forms.{time}"):
            st.fragment(_form)(time)
    if manager().may(Action.SEE_RESULTS):
        with st.expander("Results of the class", icon=":material/bar_chart:", key="forms.results"):
            _results()


def _form(time: Time) -> None:
    me = anonymous(manager().home, manager().person.browser)
    asked = form_for(me, time)
    given = {
        answer.item: answer.value
        for answer in manager().my_answers()
        if answer.kind == "question" and answer.time == time.value and answer.item in questions()
    }
    if given:
        _marked(asked, given, time)
        return
    with st.form(f"forms.form.{time}", border=False):
        chosen = {question.name: _ask(number, question, time) for number, question in enumerate(asked, 1)}
        sent = st.form_submit_button("Send my answers", type="primary")
    if not sent:
        return
    if missing := [str(number) for number, answer in enumerate(chosen.values(), 1) if answer is None]:
        st.warning(f"Please answer these too: {', '.join(missing)}. A guess is an answer.", icon=":material/edit:")
        return
    try:
        manager().answer({name: str(letter) for name, letter in chosen.items()}, kind="question", time=time)
    except (NotAllowed, OSError) as error:
        st.error(f"Your answers could not be kept: {plain(str(error))}", icon=":material/error:")
        return
    st.rerun(scope="app")


def _ask(number: int, question: BankQuestion, time: Time) -> str | None:
    letters = list(ascii_uppercase[: len(question.answers)])
    return st.radio(
        f"**{number}.** {question.ask}",
        letters,
        index=None,
        format_func=lambda letter: question.answers[letters.index(letter)],
        key=f"forms.{time}.{question.name}",
    )


def _marked(asked: Sequence[BankQuestion], given: dict[str, str], time: Time) -> None:
    """What was right. The answers are told after the second form, since the first would teach its twin."""
    right = sum(given.get(question.name) == question.right for question in asked)
    st.success(f"{right} of {len(asked)} are right.", icon=":material/check:")
    if time is Time.BEFORE:
        st.caption("Which ones, and why, is said after the second form.")
        return
    earlier = {answer.item: answer.value for answer in manager().my_answers() if answer.time == Time.BEFORE.value}
    for question in [*asked, *(question for question in questions().values() if question.name in earlier)]:
        answer = given.get(question.name) or earlier.get(question.name, "")
        mark = ":green[right]" if answer == question.right else f"you said: {_said(question, answer)}"
        st.markdown(f"**{question.ask}**  \n{question.answers[question.place]} ({mark})")
        st.caption(question.why)


def _said(question: BankQuestion, letter: str) -> str:
    place = ascii_uppercase.find(letter) if letter else -1
    return question.answers[place] if 0 <= place < len(question.answers) else "nothing"


def _results() -> None:
    found = results(manager().class_answers())
    total = found[-1]
    if total.gain is not None:
        st.markdown(
            f"**{total.before} {'student has' if total.before == 1 else 'students have'} answered both forms.** Of what could "
            f"be gained, {total.gain.value:.0%} was gained{_interval(total)}: right answers went from {total.right_before:.0%} "
            f"to {total.right_after:.0%}."
        )
    st.dataframe(_rows(found), hide_index=True, key="forms.table", alt="One row per question: right answers and gain")
    st.caption(
        "Gain: (after - before) / (1 - before), Hake 1998; 1 is all that could be gained. The interval is a bootstrap, from "
        "five answers on each side on. Each student answers one of the two questions of a topic before and the other one "
        "after, and half of the class the other way round: a question that is harder than its counterpart does not "
        "look like a gain."
    )
    download_button(
        "Download results as CSV",
        results_csv(found),
        file_name="attnlab-questions.csv",
        mime="text/csv",
        icon=":material/download:",
        key="forms.csv",
        on_click="ignore",
    )
    if manager().may(Action.ERASE_ANSWERS):
        with st.popover("Erase all answers", icon=":material/delete:", key="forms.erase"):
            st.markdown("All answers and predictions of the class are removed. This cannot be undone.")
            if st.button("Erase", type="primary", key="forms.erase.yes"):
                manager().erase_answers()
                st.rerun()


def _interval(result: Result) -> str:
    if result.gain is None or math.isnan(result.gain.low):
        return ""
    return f" (95% interval {result.gain.low:.0%} to {result.gain.high:.0%})"


def _rows(found: Sequence[Result]) -> list[dict[str, object]]:
    def percent(share: float | None) -> str:
        return "" if share is None else f"{share:.0%}"

    return [
        {
            "question": "all, by students who answered both" if each.name == "all" else questions()[each.name].ask,
            "topic": "" if each.name == "all" else each.topic,
            "answers before": each.before,
            "right before": percent(each.right_before),
            "answers after": each.after,
            "right after": percent(each.right_after),
            "gain": "" if each.gain is None else f"{each.gain.value:+.2f}",
            "95% interval": ""
            if not _interval(each) or each.gain is None
            else f"{each.gain.low:+.2f} to {each.gain.high:+.2f}",
        }
        for each in found
    ]


def results_csv(found: Sequence[Result]) -> str:
    """One line per question and a last one for all, without any person."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(
        ("question", "topic", "n_before", "right_before", "n_after", "right_after", "gain", "gain_low", "gain_high")
    )
    for each in found:
        gain = ("", "", "") if each.gain is None else (each.gain.value, each.gain.low, each.gain.high)
        figures = ["" if value == "" or value is None or math.isnan(float(value)) else f"{float(value):.4f}" for value in gain]
        shares = ["" if share is None else f"{share:.4f}" for share in (each.right_before, each.right_after)]
        writer.writerow((each.name, each.topic, each.before, shares[0], each.after, shares[1], *figures))
    return stream.getvalue()
