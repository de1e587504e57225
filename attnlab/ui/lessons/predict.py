"""Predict first: the guess, then what the network does, how near the guess was, and what the class has guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from attnlab.desk.permissions import Mode, NotAllowed
from attnlab.lessons.answers import Answer
from attnlab.lessons.predictions import ONE, OTHER, SAME, Kept, Prediction, kept, outcome, peak, predictions, score
from attnlab.lessons.runs import UnknownShippedRun, shipped_run
from attnlab.rooms.room import Room, RoomError
from attnlab.runs.errors import FolderError
from attnlab.runs.naming import attention_name
from attnlab.ui.components.pointing import Place, pointing
from attnlab.ui.format import plain
from attnlab.ui.problems import told
from attnlab.ui.state import manager, rooms
from attnlab.viz.guesses import click_map, map_with_peak

LOOKS_EVERY = 2.0
"""Seconds after which a browser looks whether its room shows what comes out."""
KINDS = {"place": "Where will it look?", "class": "Which class will it say?", "better": "Which one is better?"}


def predict_page() -> None:
    """All predictions of the bank, one at a time."""
    st.title("Predict first", anchor=False)
    st.markdown(
        "Say what a network will do before you see it. Whoever predicts first understands better what is shown afterwards "
        "than whoever only watches ([Crouch and others, 2004](https://doi.org/10.1119/1.1707018))."
    )
    bank = predictions()
    kind = st.segmented_control(
        "Kind", list(KINDS), default="place", required=True, format_func=KINDS.__getitem__, key="kind", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    names = [name for name, each in bank.items() if each.kind == kind]
    linked = st.query_params.get("item", "")
    key = f"predict.at.{kind}"
    if key not in st.session_state:
        st.session_state[key] = names.index(linked) if linked in names else 0
    place = st.session_state[key]
    st.query_params["item"] = names[place]
    st.fragment(_one)(names[place], f"predict.{names[place]}", f"{place + 1} of {len(names)}")
    with st.container(horizontal=True):
        for label, to in (("Back", place - 1), ("Next", place + 1)):
            st.button(label, key=f"predict.{label}", disabled=not 0 <= to < len(names), on_click=_go, args=(key, to))


def _go(key: str, to: int) -> None:
    st.session_state[key] = to


def _one(name: str, key: str, count: str) -> None:
    st.caption(f"Prediction {count}")
    prediction_box(predictions()[name], key, wide=True)


def prediction_box(prediction: Prediction, key: str, *, wide: bool = False) -> bool:
    """Asks for a prediction, and shows what comes out after it; whether it was made.

    While the room of this browser asks the same, the prediction is one of the room, and the teacher says when what comes out is
    shown.

    Args:
        wide: what comes out stands beside each other, not below.
    """
    given: str | None = st.session_state.get(f"{key}.given")
    desk, room = rooms(), rooms().mine()
    if room is not None and not desk.leads and room.question is not None and room.question.item == prediction.name:
        said, revealed = desk.my_prediction(), room.question.revealed
        if given is None or said is not None:  # else it was made, and is shown, since before the room asked
            if revealed and said is not None:
                st.session_state[f"{key}.given"] = said  # it stays when the room asks no more
            st.fragment(_watch, run_every=LOOKS_EVERY)(room.code, prediction.name, revealed=revealed)
            return room_prediction(room, prediction, f"{key}.{room.code}.{len(room.asked)}", wide=wide)

    def keep(value: str) -> None:
        st.session_state[f"{key}.given"] = value
        try:
            manager().answer({prediction.name: value}, kind="prediction")
        except (NotAllowed, OSError) as error:  # whoever may not is told, and goes on
            st.session_state["predict.trouble"] = str(error)

    everybody = manager().predicted(prediction.name) if manager().person.mode is Mode.CLASSROOM else []
    asked = prediction_asked(prediction, key, given, keep, revealed=given is not None, everybody=everybody, wide=wide)
    if given is not None and (trouble := st.session_state.get("predict.trouble")):
        st.caption(f"Your prediction could not be kept: {plain(trouble)}")
    return given is not None or not asked


def room_prediction(room: Room, prediction: Prediction, key: str, *, wide: bool) -> bool:
    """The question that the room of this browser asks, and what comes out as soon as the teacher shows it.

    Returns whether this browser need not wait for itself: it has predicted, or can no more.
    """
    desk, asked = rooms(), room.question
    given, revealed = desk.my_prediction(), asked is not None and asked.revealed

    def keep(value: str) -> None:
        with told((RoomError, ValueError, OSError), st.toast):
            rooms().predict(value)

    prediction_asked(prediction, key, given, keep, revealed=revealed, everybody=desk.predicted(room), wide=wide)
    if given is not None and not revealed:
        st.success("Your prediction is kept. Wait until the teacher shows what comes out.", icon=":material/check:")
    return given is not None or revealed


def _watch(code: str, item: str, *, revealed: bool) -> None:
    """Draws the page again when the room no longer asks this, or shows what comes out."""
    room = rooms().mine()
    question = room.question if room is not None and room.code == code else None
    if question is None or question.item != item or question.revealed != revealed:
        st.rerun()


def prediction_asked(
    prediction: Prediction,
    key: str,
    given: str | None,
    keep: Callable[[str], None] | None,
    *,
    revealed: bool,
    everybody: Sequence[str] = (),
    wide: bool = False,
) -> bool:
    """The question, and what comes out where it is revealed. Returns whether it can be asked here.

    Args:
        given: what this person has predicted, as `attnlab.lessons.answers.Answer.value`.
        keep: called with the prediction; `None` shows the question to somebody who predicts nothing.
        everybody: what a whole class has predicted, shown with what comes out.
    """
    st.markdown(f"**{prediction.ask}**")
    about = _Asked(prediction, key, given, None if revealed or given is not None else keep, revealed, everybody, wide)
    try:
        if prediction.kind == "better":
            _better(about)
        elif prediction.kind == "place":
            return _place(about, kept(prediction))
        else:
            _class(about, kept(prediction))
    except (UnknownShippedRun, FolderError) as error:
        st.info(f"This cannot be asked here: {plain(str(error))}", icon=":material/info:")
        return False
    return True


@dataclass(frozen=True)
class _Asked:
    """As the arguments of `prediction_asked`; ``keep`` is there as long as a prediction can be made."""

    prediction: Prediction
    key: str
    given: str | None
    keep: Callable[[str], None] | None
    revealed: bool
    everybody: Sequence[str]
    wide: bool


def _place(about: _Asked, shown: Kept) -> bool:
    if shown.weights is None:
        st.info("The maps of this run have no positions.", icon=":material/info:")
        return False
    size = (shown.image.shape[0], shown.image.shape[1])
    given = _clicked(about.given)
    if not about.revealed:
        _picture(about, shown, given)
        return True
    at = peak(shown.weights, shown.cells, size)
    clicks = [place for place in map(_clicked, about.everybody) if place is not None]
    pictures = [(map_with_peak(shown.image, shown.weights, shown.cells, at.pixels), "its map, the peak area outlined")]
    if given is not None:
        pictures[0] = (pictures[0][0], f"{pictures[0][1]}, and your click")
    if len(clicks) > (given is not None):
        words = f"the clicks of {len(clicks)} browsers" if len(clicks) > 1 else "the click of one browser"
        pictures.append((click_map(shown.image, clicks), words))
    for number, ((picture, words), column) in enumerate(zip(pictures, _columns(len(pictures), about.wide), strict=True)):
        with column:
            marks = [] if given is None else [given]
            pointing(picture, key=f"{about.key}.out.{number}", label=words, caption=words[0].upper() + words[1:], marks=marks)
    if given is not None:
        found = score(*given, shown.weights, shown.cells, size)
        verdict = "Your click lies **in** the peak area" if found.inside else "Your click lies **outside** the peak area"
        st.markdown(
            f"{verdict}; a click at random lies in it in {at.share:.0%} of cases. It is {found.distance * size[1]:.1f} of "
            f"{size[1]} pixels from the centre of the highest cell, and {found.above:.0%} of the picture has a lower weight."
        )
    if len(clicks) > 1:
        inside = sum(score(*place, shown.weights, shown.cells, size).inside for place in clicks)
        st.markdown(
            f"Of the class, **{inside} of {len(clicks)}** clicks lie in the peak area; at random it would be {at.share:.0%}."
        )
    st.caption(
        f"The map: {plain(shown.title)}. The peak area is made of the highest cells of the map, as few whole ones as cover a "
        "tenth of the picture."
    )
    st.markdown(about.prediction.why)
    return True


def _picture(about: _Asked, shown: Kept, given: Place | None) -> None:
    """The image, on which a person points as long as a prediction can be made."""
    keep = about.keep

    def pointed(place: Place) -> None:
        assert keep is not None
        keep(f"{place[0]:.3f}_{place[1]:.3f}")

    ask = about.prediction.ask
    pointing(
        shown.image,
        key=about.key if keep is not None else f"{about.key}.closed",
        label=f"Image. {ask} Point with the arrow keys, choose with Enter." if keep is not None else f"Image. {ask}",
        caption="Click where you think its highest weight lies." if keep is not None else "",
        pointed=None if keep is None else pointed,
        marks=[] if given is None else [given],
    )


def _class(about: _Asked, shown: Kept) -> None:
    left, right = st.columns([1, 2]) if about.wide else (st.container(), st.container())
    with left:
        pointing(shown.image, key=f"{about.key}.image", label="The image")
    with right:
        names = [plain(name) for name in shown.classes]
        guess = _choice(about, names)
        if not about.revealed:
            return
        said = int(shown.probabilities.argmax())
        order = np.argsort(-shown.probabilities)[:3]
        sure = ", ".join(f"{names[each]}: {float(shown.probabilities[each]):.0%}" for each in order)
        hit = "" if guess is None else "You predicted that." if guess == said else f"You predicted {names[guess]}."
        st.markdown(f"The network says **{names[said]}** ({sure}). {hit}")
        st.markdown(f"The true class is {names[shown.truth]}.")
        _said(about, names)
        st.markdown(about.prediction.why)


def _better(about: _Asked) -> None:
    prediction = about.prediction
    found = outcome(prediction, manager().runs())
    one, other = (plain(attention_name(shipped_run(run).config)) for run in (prediction.one, prediction.other) if run)
    options = {ONE: one, OTHER: other, SAME: "No difference can be told"}
    guess = _choice(about, list(options.values()))
    if not about.revealed:
        return
    hit = (
        "You predicted that." if guess is not None and list(options)[guess] == found.answer else "You predicted something else."
    )
    st.markdown(f"**{options[found.answer]}.** {plain(found.words)} {'' if guess is None else hit}")
    _said(about, list(options.values()))
    st.markdown(prediction.why)


def _choice(about: _Asked, options: Sequence[str]) -> int | None:
    """The option that a person has chosen; asks for it as long as it can be."""
    text, keep, key = about.given or "", about.keep, about.key
    given = int(text) if text.isdecimal() and len(text) < 4 and int(text) < len(options) else None
    st.radio(
        about.prediction.ask,
        range(len(options)),
        index=given,
        format_func=lambda number: options[number],
        key=key if keep is not None else f"{key}.closed",  # another widget, since one whose default changes loses its value
        label_visibility="collapsed",
        disabled=keep is None,
        horizontal=len(options) > 5,
        on_change=None if keep is None else lambda: keep(str(st.session_state[key])),
    )
    return given


def _clicked(value: str | None) -> Place | None:
    """The place of a prediction; `None` for another one."""
    return None if value is None else Answer(kind="prediction", item="click", value=value, person="").place


def _said(about: _Asked, options: Sequence[str]) -> None:
    """How many of a class have said what."""
    counts = Counter(about.everybody)
    if counts.total() > (about.given is not None):
        st.markdown("**The class has said**")
        for number, option in enumerate(options):
            if count := counts[str(number)]:
                st.progress(count / counts.total(), text=f"{option}: {count}")


def _columns(count: int, wide: bool) -> Sequence[st.delta_generator.DeltaGenerator]:
    return (
        st.columns([1] * count + [max(0, 3 - count)] * (count < 3))[:count] if wide else [st.container() for _ in range(count)]
    )
