"""The left side of Train: presets, the form, the cost of the run, and the button that starts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count as naturals
from pathlib import Path

import streamlit as st

from attnlab.attention import NONE, list_attention
from attnlab.config import DatasetConfig, ModelConfig, RunConfig
from attnlab.data import list_datasets
from attnlab.explain.cost import count_flops, count_parameters, single_positions
from attnlab.maps import tap_titles
from attnlab.models import REPORT_ROWS, ImageShape, report_config
from attnlab.queue.lesson import SHORTEST
from attnlab.runs.errors import UnknownRun
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import run_name
from attnlab.runs.records import RunRecord, RunState
from attnlab.training.presets import one_minute, one_minute_transformer
from attnlab.ui.form import draft, own_images
from attnlab.ui.form.run_form import FormContent, run_form
from attnlab.ui.format import duration, plain
from attnlab.ui.problems import told
from attnlab.ui.state import add_to_chart, manager
from attnlab.ui.train import timing
from attnlab.ui.train.executor_form import executor_form

_ASKED = "train.already.asked"
MOST_LISTED = 8
MOST_EPOCHS = 1000
"""That a link can ask for."""
REFRESH_SECONDS = 3.0
LONG_WAIT = 300
"""Seconds in the queue from which on a shorter run is offered."""

ONE_MINUTE, TRANSFORMER, PUBLISHED, DESCRIBED = "one minute", "transformer", "published", "described"
TITLES = {ONE_MINUTE: "One minute", TRANSFORMER: "Transformer", PUBLISHED: "As the code does", DESCRIBED: "As the paper says"}
START_FROM = {
    ONE_MINUTE: "A small network, and as many epochs as fit into a minute here. It learns the images chosen below.",
    TRANSFORMER: "A small vision transformer on the digits, in about a minute. In two trainings it was right on 89%.",
    PUBLISHED: "A row of the report's Table 1 with the published protocol: trained as the report's code does.",
    DESCRIBED: "A row of the report's Table 1 with the described protocol: trained as the report's text says.",
}


@st.fragment
def launcher() -> None:
    """Shows the form. Start submits one run per seed to the manager and draws the page again."""
    with told((OSError,)):
        _first_draft()
        _presets()
        above = st.container()  # the buttons stay in sight, however long the form below them is
        content = run_form(fits_time=True)
        with above:
            _buttons(content)
        executor_form()


def _buttons(form: FormContent) -> None:
    problem = form.problem or _cost_line(form.config)
    if problem:
        st.error(plain(problem).replace("\n", "  \n"), icon=":material/error:")
    same = {} if form.config is None else manager().same_settings(form.config, fitted=form.budget is not None)
    seeds = form.seeds or (_free_seed(same),)
    count = len(seeds)
    with st.container(horizontal=True):
        start = st.button(
            f"Start {count} runs" if count > 1 else "Start",
            type="primary",
            icon=":material/play_arrow:",
            key="train.start",
            disabled=bool(problem) or timing.busy(),
        )
        estimate = st.button(
            "Estimate the time", icon=":material/timer:", key="train.estimate", disabled=bool(problem) or timing.busy()
        )
    if form.config is not None and not problem:
        if estimate:
            timing.begin(form, None)
        _begin(form, seeds, same, start)
    timing.show()


def _begin(form: FormContent, seeds: Sequence[int], same: Mapping[int, RunRecord], start: bool) -> None:
    """Starts the runs, or says that there are some of these settings; before that, what they wait for.

    Args:
        same: seed -> the run of these settings.
        start: whether the button was pressed.
    """
    assert form.config is not None
    if not form.seeds and same:
        st.caption(f"It gets seed {seeds[0]}: these settings have been trained with {_listed(same)}.")
    if _in_queue():
        st.fragment(_queue_note, run_every=REFRESH_SECONDS)(form.budget)
    asked = (form.config.group, form.seeds)
    if start:
        st.session_state.pop(_ASKED, None)
        known = [same[seed] for seed in form.seeds if seed in same] or _still_live(same, form.seeds)
        if not known:
            _start(form, seeds)
        else:
            st.session_state[_ASKED] = (asked, [record.run_id for record in known])
    if (question := st.session_state.get(_ASKED)) and question[0] == asked:
        known = [record for record in same.values() if record.run_id in question[1]]
        _already(form, known, [seed for seed in seeds if seed not in same] or [_free_seed(same)])


def _free_seed(same: Mapping[int, RunRecord]) -> int:
    return next(seed for seed in naturals() if seed not in same)


def _still_live(same: Mapping[int, RunRecord], chosen: Sequence[int]) -> list[RunRecord]:
    """Runs of these settings that this browser has started and that have not ended, where no seed was chosen: a second click
    is more often one too many than a wish for another seed.
    """
    return [] if chosen else [record for record in same.values() if record.state.live and manager().mine(record)]


def _listed(same: Mapping[int, RunRecord]) -> str:
    seeds = sorted(same)
    names = ", ".join(map(str, seeds[:MOST_LISTED])) + (", ..." if len(seeds) > MOST_LISTED else "")
    return f"seed {names}" if len(seeds) == 1 else f"seeds {names}"


def _in_queue() -> int:
    """Runs that train or wait; for a program of its own nobody waits."""
    return sum(not record.config.recorded for record in manager().live())


def _queue_note(budget: int | None) -> None:
    """Says how long a run that is started now would wait, before it is started; where that is long, offers a shorter run.

    Args:
        budget: seconds that the run may take; `None` where its number of epochs is given.
    """
    live = _in_queue()
    if not live:
        return
    wait = manager().waits()[""]
    text = f"{'1 run is' if live == 1 else f'{live} runs are'} ahead of a new one"
    text += "." if wait is None else f", which starts in about {duration(wait)}."
    st.caption(text, help="Judged by how long like runs have taken here.")
    if wait is not None and wait > LONG_WAIT and budget is not None:
        shorter = max(SHORTEST, int(budget * LONG_WAIT / wait) // 10 * 10)
        if shorter < budget:
            st.button(
                f"Train for {shorter} s instead of {budget} s, so that everybody waits less",
                icon=":material/hourglass_bottom:",
                type="tertiary",
                key="train.shorter",
                on_click=draft.set_budget,
                args=(shorter,),
            )


def _already(form: FormContent, known: Sequence[RunRecord], others: Sequence[int]) -> None:
    """Says that runs of these settings exist, and offers to open them or to take other seeds."""
    with st.container(border=True, key="train.already"):
        for record in known:
            live = record.state.live
            st.fragment(_how_it_is, run_every=REFRESH_SECONDS if live else None)(record.run_id, live)
            if record.state is RunState.FINISHED:
                if RunFolder(record.folder).has_weights:
                    page, icon = "pages/inspect_attention.py", ":material/visibility:"
                else:  # of some shipped runs there are only the figures
                    page, icon = "pages/compare.py", ":material/bar_chart:"
                st.page_link(page, label="Open it", icon=icon, query_params={"run": record.run_id})
        text = f"Start seed {others[0]} instead" if len(others) == 1 else f"Start the {len(others)} other seeds"
        with st.container(horizontal=True):
            if st.button(text, key="train.other_seed", icon=":material/play_arrow:"):
                st.session_state.pop(_ASKED, None)
                _start(form, others)
            st.button("Close", key="train.already.close", type="tertiary", on_click=lambda: st.session_state.pop(_ASKED, None))


def _how_it_is(run_id: str, was_live: bool) -> None:
    """What has become of a run that exists; draws the page again when it has ended."""
    try:
        record = manager().get(run_id)
    except UnknownRun:
        return
    if was_live and not record.state.live:
        st.rerun()
    ended = "has been trained already" if record.state is RunState.FINISHED else f"exists already: it is {record.state}"
    st.markdown(f"**{plain(run_name(record))}** {ended}{' (shipped)' if record.demo else ''}.")


def _first_draft() -> None:
    """Loads the one-minute preset, with what the link asks for: the variant, the seconds or the epochs, and the seed."""
    attention, *numbers = (st.query_params.pop(name, "") for name in ("attention", "seconds", "epochs", "seed"))
    seconds, epochs, seed = (int(text) if text.isdecimal() and len(text) < 6 else None for text in numbers)
    seconds = None if seconds is None or seconds < SHORTEST else seconds
    known = attention == NONE or (attention != "" and all(part in list_attention() for part in attention.split("+")))
    if known or (not attention and (seconds or epochs)):
        config = one_minute(attention or NONE)
        if epochs:
            draft.load(config.changed(training__epochs=min(epochs, MOST_EPOCHS)))
        else:
            draft.load(config, budget=seconds or draft.MINUTE)
    if not draft.draft():
        draft.load(one_minute(), budget=draft.MINUTE)
    if seed is not None:
        st.session_state[draft.SEEDS] = str(seed)


def _presets() -> None:
    st.session_state.setdefault("train.preset", ONE_MINUTE)
    chosen = st.segmented_control(
        "Start from",
        list(START_FROM),
        format_func=TITLES.__getitem__,
        key="train.preset",
        on_change=_load_preset,
        help="Fills in the form below.",
        persist_state="session",
    )
    if chosen:
        st.caption(START_FROM[chosen])
    if chosen in (PUBLISHED, DESCRIBED):
        st.selectbox("Row of Table 1", list(REPORT_ROWS), key="train.row", on_change=_load_preset, persist_state="session")


def _load_preset() -> None:
    chosen = st.session_state.get("train.preset")
    if chosen == ONE_MINUTE:
        tree = draft.draft()
        draft.load(one_minute(tree["model"]["attention"] if tree else NONE), budget=draft.MINUTE)
    elif chosen == TRANSFORMER:
        draft.load(one_minute_transformer(), budget=draft.MINUTE)
    elif chosen is not None:
        draft.load(report_config(st.session_state.get("train.row", next(iter(REPORT_ROWS))), chosen))


def _cost_line(config: RunConfig | None) -> str:
    """Shows parameters and operations; returns a sentence on what is wrong with the network."""
    if config is None:
        return ""
    try:
        shape, classes = _pictures(config.dataset)
        parameters, flops, idle = _cost(config.model.model_dump_json(), shape, classes)
    except ValueError as error:
        return str(error)
    st.caption(f"**{parameters:,}** parameters · **{flops / 1e6:,.1f}** MFLOPs per image of {shape[1]} × {shape[2]}")
    if idle:
        st.info(
            f"At {', '.join(tap_titles(idle).values())} the map has one position. Attention over one position is the identity: "
            "its weight is always 1. Use larger images or another placement.",
            icon=":material/info:",
        )
    return ""


def _pictures(config: DatasetConfig) -> tuple[tuple[int, int, int], int]:
    """Shape of the images and number of classes.

    Raises:
        DataError: when a folder or archive cannot be read.
    """
    info = list_datasets().get(config.name)
    if info is not None:
        size = config.image_size or info.image_size
        return (info.channels, size, size), len(info.class_names)
    path = Path(config.name)
    size = config.image_size or own_images.side(path, config.options)
    return (1 if config.options.get("grey") else 3, size, size), len(own_images.reading(config.model_dump()).class_names)


@st.cache_data(max_entries=512, show_spinner=False)
def _cost(model: str, shape: tuple[int, int, int], classes: int) -> tuple[int, int, list[str]]:
    config = ModelConfig.model_validate_json(model)
    network = (config, ImageShape(*shape), classes)
    return count_parameters(*network), count_flops(*network), single_positions(*network)


def _start(form: FormContent, seeds: Sequence[int]) -> None:
    if form.config is None:
        return
    desk, chosen = manager(), bool(form.seeds)
    if form.budget is not None:
        timing.begin(form, lambda config: desk.submit_new(config, seeds, form.budget, chosen=chosen))
        return
    try:
        add_to_chart(desk.submit_new(form.config, seeds, None, chosen=chosen))
    except ValueError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()
