"""The form that chooses where this server trains its runs."""

from __future__ import annotations

import streamlit as st

from attnlab import paths
from attnlab.config import explain
from attnlab.desk.permissions import Action
from attnlab.queue.settings import ExecutorSettings, load_settings, overridden
from attnlab.ui.format import plain
from attnlab.ui.state import manager

_TITLES = {
    "process": "A separate process",
    "thread": "The process of the app",
    "ray": "A Ray cluster",
}
_MEANINGS = {
    "process": "The default: a crash ends one run, not the app.",
    "thread": "For machines without enough memory for a second process. Pages respond more slowly while a run is training.",
    "ray": "One job per run, on any node that has room. Needs requirements-ray.txt and a folder that all nodes share.",
}


def executor_form() -> None:
    """A folded form. The choice applies to everyone who uses this server, and is kept for its next start."""
    try:
        now = load_settings(paths.home())
    except ValueError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    fixed = overridden()
    if not manager().may(Action.SETTINGS):
        return
    with st.expander(f"Run training in: {_in_sentence(now.executor)}", key="train.where"):
        names = list(_TITLES)
        chosen = st.radio(
            "Executor",
            names,
            index=names.index(now.executor),
            format_func=_TITLES.__getitem__,
            captions=[_MEANINGS[name] for name in names],
            disabled="executor" in fixed,
            key="train.where.executor",
        )
        changes: dict[str, object] = {"executor": chosen}
        if chosen == "ray":
            st.caption(
                f"The Ray Jobs server at {plain(now.ray_address)}, as ATTNLAB_RAY_ADDRESS says where the app is started. Its "
                "access token is read from RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH, and sent to this address only."
            )
            changes["ray_cpus"] = st.number_input(
                "CPUs per run", 1, 1024, now.ray_cpus, disabled="ray_cpus" in fixed, key="train.where.cpus"
            )
        if fixed:
            st.caption("Greyed-out settings are fixed by environment variables.")
        if st.button("Save", key="train.where.save"):
            _change(now, changes)
        if saved := st.session_state.pop("train.where.saved", None):
            st.success(saved, icon=":material/check:")


def _change(now: ExecutorSettings, changes: dict[str, object]) -> None:
    try:
        settings = ExecutorSettings.model_validate(now.model_dump() | changes)
        manager().change_executor(settings)
    except ValueError as error:
        st.error(plain(explain(error)), icon=":material/error:")
        return
    title = _in_sentence(settings.executor)
    st.session_state["train.where.saved"] = f"Saved: new runs train in {title}, for everyone who uses this server."
    st.rerun(scope="app")


def _in_sentence(name: str) -> str:
    title = _TITLES[name]
    return title[0].lower() + title[1:]
