"""The Search page: the form of Train, a study over the options of its attention, and the results of the study."""

from __future__ import annotations

import streamlit as st

from attnlab.config import RunConfig
from attnlab.desk.permissions import Action
from attnlab.experiments.search import (
    MAX_TRIALS,
    PLACEMENT,
    Search,
    SearchError,
    Trial,
    at_work,
    importances,
    list_searches,
    load_search,
    make_search,
    open_study,
    trials,
)
from attnlab.training.presets import one_minute
from attnlab.ui.form import draft
from attnlab.ui.form.run_form import run_form
from attnlab.ui.format import plain
from attnlab.ui.problems import told
from attnlab.ui.state import manager
from attnlab.viz.search_figures import history_figure, importance_figure, slice_figure

PRESET = "conv_autoencoder"
_TICK_SECONDS = 2.0


def searches() -> list[str]:
    """Names of the searches on this server, newest first."""
    return list_searches(manager().home)


@st.fragment
def start_form() -> None:
    """Asks for what all trials share and how many there are, and starts the search."""
    if not manager().may(Action.START_SEARCH):
        st.info("In this classroom the teacher starts searches. Their results appear below.", icon=":material/info:")
        return
    if "draft" not in st.session_state or st.button(
        "The report's future work: a convolutional autoencoder, one minute per trial",
        icon=":material/bolt:",
        key="search.preset",
    ):
        draft.load(one_minute(PRESET))
    above = st.container()
    form = run_form()
    with above:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            count = st.number_input("Trials", 1, MAX_TRIALS, 12, key="search.trials")
            seed = st.number_input(
                "Sampler seed", 0, 10_000, 0, key="search.seed", help="Seed for choosing the configurations."
            )
            start = st.button(
                "Start the search",
                type="primary",
                icon=":material/play_arrow:",
                key="search.start",
                disabled=bool(form.problem),
            )
        if form.problem or form.config is None:
            st.error(plain(form.problem), icon=":material/error:")
            return
        _show_space(form.config)
    if start:
        with told(say=above.error):
            search = make_search(form.config, int(count), seed=int(seed))
            manager().start_search(search).began.wait(5)
            st.session_state["search.name"] = search.name
            st.rerun()


def _show_space(config: RunConfig) -> None:
    space = Search("", config, 1).space()
    size = 1
    for values in space.values():
        size *= len(values)
    options = "; ".join(f"{_option_name(name)}: {', '.join(str(value) for value in values)}" for name, values in space.items())
    st.caption(f"{size} configurations. {options}" if space else "This attention has no options to search.")


def choose_search() -> Search | None:
    """Asks which search to show; `None` when there is none, or it cannot be read."""
    names = searches()
    if not names:
        return None
    if st.session_state.get("search.name") not in names:
        st.session_state["search.name"] = names[0]
    name = st.selectbox("Search", names, key="search.name") if len(names) > 1 else names[0]
    try:
        return load_search(manager().home, name)
    except SearchError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def board(search: Search) -> None:
    """History, importance and values of the options; they follow the study while it runs."""
    working = at_work(manager().home, search.name)
    st.fragment(_board, run_every=_TICK_SECONDS if working else None)(search, working)


def _board(search: Search, was_working: bool) -> None:
    with told():
        _draw_board(search, was_working)


def _draw_board(search: Search, was_working: bool) -> None:
    thread = manager().search_thread(search.name)
    working = at_work(manager().home, search.name)
    if working != was_working:
        st.rerun()
    study = open_study(manager().home, search)
    tried = trials(study)
    done = [trial for trial in tried if trial.state == "complete"]
    pruned = [trial for trial in tried if trial.state == "pruned"]
    over = len(done) + len(pruned)
    st.progress(min(1.0, over / search.trials), text=f"{over} of {search.trials} trials, {len(pruned)} stopped early")
    if thread is not None and thread.trouble:
        st.error(f"The search has stopped: {plain(thread.trouble)}", icon=":material/error:")
    if working and thread is not None and thread.is_alive():
        if manager().may(Action.CHANGE_SEARCH):
            st.button("Pause", icon=":material/pause:", key="search.pause", on_click=manager().pause_search, args=(search,))
    elif working:
        st.caption("Running in another process, which alone can pause it.")
    elif over < search.trials and manager().may(Action.START_SEARCH):
        st.button("Resume", icon=":material/play_arrow:", key="search.go_on", on_click=_resume, args=(search,))
    if not done:
        st.info("The first result appears here when a trial has finished.", icon=":material/info:")
        return
    finished, stopped = ({trial.number: trial.value or 0.0 for trial in some} for some in (done, pruned))
    st.plotly_chart(
        history_figure(finished, stopped, {trial.number: _choice_text(trial) for trial in tried}),
        key="search.history",
        alt="Validation accuracy of every trial",
    )
    _best(search, max(done, key=lambda trial: trial.value or 0.0), len(tried))
    shares = importances(study)
    if shares:
        st.markdown("**Which options matter**")
        st.plotly_chart(
            importance_figure({_option_name(name): share for name, share in shares.items()}),
            key="search.importances",
            alt="Importance of each option",
        )
    else:
        st.caption("The importance of the options needs at least four finished trials with different options and results.")
    st.markdown("**Accuracy by value**")
    for column, (name, offered) in zip(st.columns(2) * len(search.space()), search.space().items(), strict=False):
        reached = [
            [(trial.choice[name], trial.value or 0.0) for trial in some if name in trial.choice] for some in (done, pruned)
        ]
        column.plotly_chart(
            slice_figure(_option_name(name), offered, *reached),
            key=f"search.slice.{name}",
            alt=f"Results by {_option_name(name)}",
        )


def _resume(search: Search) -> None:
    with told(say=st.toast):
        manager().start_search(search).began.wait(5)


def _best(search: Search, best: Trial, tried: int) -> None:
    st.markdown(f"**Best by validation: {best.value:.1%}** with {_choice_text(best)}")
    st.caption(
        f"The best of {tried} trials looks better than it is, because it was chosen by the number shown. For a fair number, "
        "train it with new seeds and compare its test accuracy with that of the variant at its default options."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        count = st.number_input("Seeds", 1, 16, 3, key="search.seeds")
        if st.button(f"Train this with {count} seeds", icon=":material/replay:", key="search.train"):
            config = search.config(best.choice)
            first = search.base.seed + 1  # the seed of the trials was used to choose this configuration
            with told():
                manager().submit_many(config, range(first, first + int(count)))
                st.success(f"{count} runs were added to the queue; see Train and Compare.", icon=":material/check:")


def _choice_text(trial: Trial) -> str:
    return ", ".join(f"{_option_name(name)} {draft.readable(value)}" for name, value in trial.choice.items())


def _option_name(name: str) -> str:
    return PLACEMENT if name == PLACEMENT else name.rpartition(".")[2].replace("_", " ")
