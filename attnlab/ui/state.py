"""What the pages share: the runs, their colours, and which of them are in the chart of a session."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

import streamlit as st

from attnlab.desk.desk import Desk
from attnlab.desk.rooms import RoomsDesk
from attnlab.runs.records import RunRecord
from attnlab.ui.who import person

_CHART = "chart.runs"
_PICKED = "chart.picked"
_colours: dict[str, int] = {}
_colour_lock = threading.Lock()


def manager() -> Desk:
    """The runs of this server, as the person at this browser may see and change them."""
    return Desk(person())


def rooms() -> RoomsDesk:
    """The rooms of this server, as the person at this browser may see and change them."""
    return RoomsDesk(manager())


def owner_name(owner: str) -> str:
    """What the owner of a run is called in a classroom: ``browser 3F2A``. It says nothing by which a browser is known."""
    return f"browser {owner[:4].upper()}" if owner else "the teacher"


def colours(records: Iterable[RunRecord]) -> dict[str, int]:
    """Group -> index of its colour. A group gets one when it is first shown and keeps it as long as the server runs."""
    with _colour_lock:
        for record in sorted(records, key=lambda record: (record.created, record.run_id)):
            _colours.setdefault(record.group, len(_colours))
        return dict(_colours)


def chart_runs(records: Sequence[RunRecord]) -> list[str]:
    """The ids of the runs in this session's chart: those in the link, else the live ones, else the newest."""
    known = [record.run_id for record in records]
    if _CHART not in st.session_state:
        linked = st.query_params.get_all("run")
        live = [record.run_id for record in records if record.state.live]
        trained = [record for record in records if record.total_steps]  # an opened checkpoint has no curve
        newest = [max(trained, key=lambda record: record.created).run_id] if trained else []
        st.session_state[_CHART] = [run_id for run_id in linked if run_id in known] or live or newest
    return [run_id for run_id in st.session_state[_CHART] if run_id in known]


def set_chart_runs(run_ids: Iterable[str], *, picked: bool = False) -> None:
    """Puts exactly these runs in the chart, and in the link.

    Args:
        picked: whether the person chose them; such runs stay when others are started.
    """
    st.session_state[_CHART] = list(dict.fromkeys(run_ids))
    st.session_state[_PICKED] = picked
    st.query_params["run"] = st.session_state[_CHART]


def add_to_chart(run_ids: Iterable[str]) -> None:
    """Puts newly started runs in the chart, beside live ones and those the person has picked."""
    now = st.session_state.get(_CHART, [])
    if not st.session_state.get(_PICKED):
        live = {record.run_id for record in manager().live()}
        now = [run_id for run_id in now if run_id in live]
    set_chart_runs([*run_ids, *now], picked=st.session_state.get(_PICKED, False))
