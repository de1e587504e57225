"""Predict first: the guess, then what the network does, how near the guess was, and what the class has guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import streamlit as st

from attnlab.desk.permissions import Mode, NotAllowed
from attnlab.lessons.predictions import ONE, OTHER, SAME, Kept, Prediction, kept, outcome, peak, predictions, score
from attnlab.lessons.runs import UnknownShippedRun, shipped_run
from attnlab.runs.errors import FolderError
from attnlab.runs.naming import attention_name
from attnlab.ui.components.pointing import Place, pointing
from attnlab.ui.format import plain
from attnlab.ui.state import manager
from attnlab.viz.guesses import click_map, map_with_peak

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

    Args:
        wide: what comes out stands beside each other, not below.
    """
    st.markdown(f"**{prediction.ask}**")
    try:
        if prediction.kind == "better":
            return _better(prediction, key)
        shown = kept(prediction)
        return _place(prediction, shown, key, wide) if prediction.kind == "place" else _class(prediction, shown, key, wide)
    except (UnknownShippedRun, FolderError) as error:
        st.info(f"This cannot be asked here: {plain(str(error))}", icon=":material/info:")
        return True


def _place(prediction: Prediction, shown: Kept, key: str, wide: bool) -> bool:
    if shown.weights is None:
        st.info("The maps of this run have no positions.", icon=":material/info:")
        return True
    size = (shown.image.shape[0], shown.image.shape[1])
    given: Place | None = st.session_state.get(f"{key}.given")
    if given is None:

        def pointed(place: Place) -> None:
            _keep(prediction, f"{place[0]:.3f}_{place[1]:.3f}")
            st.session_state[f"{key}.given"] = place

        pointing(
            shown.image,
            key=key,
            label=f"Image. {prediction.ask} Point with the arrow keys, choose with Enter.",
            caption="Click where you think its highest weight lies.",
            pointed=pointed,
        )
        return False
    found, at = score(*given, shown.weights, shown.cells, size), peak(shown.weights, shown.cells, size)
    clicks = _clicks(prediction, given)
    pictures = [
        (map_with_peak(shown.image, shown.weights, shown.cells, at.pixels), "its map, the peak area outlined, and your click")
    ]
    if manager().person.mode is Mode.CLASSROOM and len(clicks) > 1:
        pictures.append((click_map(shown.image, clicks), f"the clicks of {len(clicks)} browsers"))
    for number, ((picture, words), column) in enumerate(zip(pictures, _columns(len(pictures), wide), strict=True)):
        with column:
            pointing(picture, key=f"{key}.out.{number}", label=words, caption=words[0].upper() + words[1:], marks=[given])
    verdict = "Your click lies **in** the peak area" if found.inside else "Your click lies **outside** the peak area"
    st.markdown(
        f"{verdict}; a click at random lies in it in {at.share:.0%} of cases. It is {found.distance * size[1]:.1f} of "
        f"{size[1]} pixels from the centre of the highest cell, and {found.above:.0%} of the picture has a lower weight."
    )
    st.caption(
        f"The map: {plain(shown.title)}. The peak area is made of the highest cells of the map, as few whole ones as cover a "
        "tenth of the picture."
    )
    st.markdown(prediction.why)
    return True


def _class(prediction: Prediction, shown: Kept, key: str, wide: bool) -> bool:
    left, right = st.columns([1, 2]) if wide else (st.container(), st.container())
    with left:
        pointing(shown.image, key=f"{key}.image", label="The image")
    with right:
        guess = _choice(prediction, [plain(name) for name in shown.classes], key)
        if guess is None:
            return False
        said = int(shown.probabilities.argmax())
        order = np.argsort(-shown.probabilities)[:3]
        sure = ", ".join(f"{plain(shown.classes[each])}: {float(shown.probabilities[each]):.0%}" for each in order)
        hit = "You predicted that." if guess == said else f"You predicted {plain(shown.classes[guess])}."
        st.markdown(f"The network says **{plain(shown.classes[said])}** ({sure}). {hit}")
        st.markdown(f"The true class is {plain(shown.classes[shown.truth])}.")
        _class_guesses(prediction, [plain(name) for name in shown.classes])
        st.markdown(prediction.why)
    return True


def _better(prediction: Prediction, key: str) -> bool:
    found = outcome(prediction, manager().runs())
    one, other = (plain(attention_name(shipped_run(run).config)) for run in (prediction.one, prediction.other) if run)
    options = {ONE: one, OTHER: other, SAME: "No difference can be told"}
    guess = _choice(prediction, list(options.values()), key)
    if guess is None:
        return False
    hit = "You predicted that." if list(options)[guess] == found.answer else "You predicted something else."
    st.markdown(f"**{options[found.answer]}.** {plain(found.words)} {hit}")
    _class_guesses(prediction, list(options.values()))
    st.markdown(prediction.why)
    return True


def _choice(prediction: Prediction, options: Sequence[str], key: str) -> int | None:
    """The option that a person chooses, once."""
    given: int | None = st.session_state.get(f"{key}.given")

    def chosen() -> None:
        _keep(prediction, str(st.session_state[key]))
        st.session_state[f"{key}.given"] = st.session_state[key]

    st.radio(
        prediction.ask,
        range(len(options)),
        index=given,
        format_func=lambda number: options[number],
        key=key if given is None else f"{key}.closed",  # another widget, since one whose default changes loses its value
        label_visibility="collapsed",
        disabled=given is not None,
        horizontal=len(options) > 5,
        on_change=chosen,
    )
    return given


def _keep(prediction: Prediction, value: str) -> None:
    """Keeps the guess; a browser that may not is told, and goes on."""
    try:
        manager().answer({prediction.name: value}, kind="prediction")
    except (NotAllowed, OSError) as error:
        st.session_state["predict.trouble"] = str(error)


def _clicks(prediction: Prediction, own: Place) -> list[Place]:
    """All clicks of the class; the own one where none could be kept."""
    places = []
    for value in manager().predicted(prediction.name):
        u, _, v = value.partition("_")
        places.append((float(u), float(v)))
    if trouble := st.session_state.get("predict.trouble"):
        st.caption(f"Your prediction could not be kept: {plain(trouble)}")
    return places or [own]


def _class_guesses(prediction: Prediction, options: Sequence[str]) -> None:
    """How many browsers have said what, in a classroom."""
    counts = Counter(manager().predicted(prediction.name))
    if manager().person.mode is Mode.CLASSROOM and counts.total() > 1:
        said = ", ".join(f"{option}: {counts[str(number)]}" for number, option in enumerate(options) if counts[str(number)])
        st.caption(f"The class has said: {said}.")


def _columns(count: int, wide: bool) -> Sequence[st.delta_generator.DeltaGenerator]:
    return (
        st.columns([1] * count + [max(0, 3 - count)] * (count < 3))[:count] if wide else [st.container() for _ in range(count)]
    )
