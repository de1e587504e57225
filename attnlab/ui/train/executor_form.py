"""Where runs are trained: the setting of this server, for whoever stands at it."""

from __future__ import annotations

import streamlit as st
from pydantic import ValidationError

from attnlab import paths
from attnlab.config import explain
from attnlab.queue.executors.make import make_executor
from attnlab.queue.settings import ExecutorSettings, load_settings, overridden, save_settings
from attnlab.runs.errors import RequestRefused
from attnlab.ui.state import manager

_WORDS = {
    "process": "A process beside the app",
    "thread": "Inside the app",
    "ray": "A Ray cluster",
}
_MEANING = {
    "process": "The default: a crash of the arithmetic costs one run and not the app.",
    "thread": "For machines where a second process does not fit into memory; pages answer more slowly meanwhile.",
    "ray": "One job for each run, on whichever node has room. Needs requirements-ray.txt and a folder that all nodes share.",
}


def where_runs_train() -> None:
    """A folded form; what is chosen holds for everybody who uses this server, and for the next start."""
    try:
        now = load_settings(paths.home())
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    fixed = overridden()
    with st.expander(f"Where it trains: {_WORDS[now.executor].lower()}", key="train.where"):
        names = list(_WORDS)
        chosen = st.radio(
            "Executor",
            names,
            index=names.index(now.executor),
            format_func=_WORDS.__getitem__,
            captions=[_MEANING[name] for name in names],
            disabled="executor" in fixed,
            key="train.where.executor",
        )
        given: dict[str, object] = {"executor": chosen}
        if chosen == "ray":
            given["ray_address"] = st.text_input(
                "Address of the cluster's Jobs server",
                now.ray_address,
                disabled="ray_address" in fixed,
                help="Its token comes from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH of this server; without one it is not used.",
                key="train.where.address",
            )
            given["ray_cpus"] = st.number_input(
                "CPUs of one run", 1, 1024, now.ray_cpus, disabled="ray_cpus" in fixed, key="train.where.cpus"
            )
        if fixed:
            st.caption("The environment of this server decides what is greyed out.")
        if st.button("Train there from now on", key="train.where.save"):
            _change(now, given)
        if said := st.session_state.pop("train.where.said", None):
            st.success(said, icon=":material/check:")


def _change(now: ExecutorSettings, given: dict[str, object]) -> None:
    try:
        wanted = ExecutorSettings.model_validate(now.model_dump() | given)
        executor = make_executor(wanted)
    except ValidationError as error:
        st.error(explain(error), icon=":material/error:")
        return
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    try:
        manager().change_executor(executor)
    except RequestRefused as error:
        executor.close()
        st.error(str(error), icon=":material/error:")
        return
    save_settings(paths.home(), wanted)
    st.session_state["train.where.said"] = f"{_WORDS[wanted.executor]} trains from now on, for everybody on this server."
    st.rerun(scope="app")
