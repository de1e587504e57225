"""The right side of Train: the live chart, the runs that are training or waiting, and those that have ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from attnlab.desk.permissions import Action, Mode
from attnlab.experiments import tensorboard
from attnlab.runs.bin import KEPT_DAYS
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history, steps_per_epoch
from attnlab.runs.naming import run_name, run_names, short_name
from attnlab.runs.records import RunRecord, RunState
from attnlab.ui.components.curves import Curve, curves
from attnlab.ui.format import duration, plain
from attnlab.ui.hidden import download_button
from attnlab.ui.snapshots import tested_step, weights_of_maps
from attnlab.ui.state import chart_runs, colours, manager, owner_name, set_chart_runs

BADGES = {
    RunState.QUEUED: ("queued", "gray", ":material/schedule:"),
    RunState.STARTING: ("starting", "blue", ":material/hourglass_top:"),
    RunState.RUNNING: ("running", "green", ":material/play_arrow:"),
    RunState.PAUSED: ("paused", "orange", ":material/pause:"),
    RunState.FINISHED: ("finished", "blue", ":material/check:"),
    RunState.STOPPED: ("stopped", "orange", ":material/stop:"),
    RunState.FAILED: ("failed", "red", ":material/error:"),
    RunState.INTERRUPTED: ("interrupted", "orange", ":material/power_off:"),
}
SHOWN_DONE = 6
SHOWN_EARLIER = 20
SHOWN_WAITING = 20
SHOWN_BROKEN = 50
BOARD = "train_board"
"""Key of the container that the page puts the board in."""
_FIRST_WHERE_NARROW = (
    f"<style>@media (max-width: 640px) {{ [data-testid=stColumn]:has(.st-key-{BOARD}) {{ order: -1; }} }}</style>"
)
"""On a phone the columns are stacked; while a run is live, the board comes first."""


def board() -> None:
    """The chart and the queue. While a run is live, a timer draws them again every second; otherwise it only checks whether
    another browser or the command line has changed anything.
    """
    records = manager().runs()
    _choose(records)
    live = frozenset(record.run_id for record in manager().live())
    st.fragment(_growing, run_every=1.0 if live else None)(live)
    if live:
        st.html(_FIRST_WHERE_NARROW)
    else:
        watch(manager().version())
    _done([record for record in records if not record.state.live and not record.demo])
    _bin()
    _left_out(manager().broken())


@st.fragment(run_every=2.0)
def watch(version: int) -> None:
    """Draws the page again when a run was created, ended, renamed or removed elsewhere; it only compares a number."""
    if manager().version() != version:
        st.rerun()


def _choose(records: Sequence[RunRecord]) -> None:
    names = run_names(records)
    key = "train.charted"
    st.session_state[key] = chart_runs(records)
    st.multiselect(
        "Runs in the chart",
        list(names),
        format_func=lambda run_id: names.get(run_id, run_id),
        key=key,
        on_change=lambda: set_chart_runs(st.session_state[key], picked=True),
        placeholder="choose runs",
        select_all=False,
    )


def _growing(were_live: frozenset[str]) -> None:
    records = manager().runs()
    live = manager().live()
    if {record.run_id for record in live} != were_live:
        st.rerun()
    if manager().trouble:
        st.warning(plain(manager().trouble), icon=":material/warning:")
    by_id = {record.run_id: record for record in records}
    in_chart = [by_id[run_id] for run_id in chart_runs(records)]
    curves(_curves(in_chart, colours(in_chart)), key="train.curves")
    weights_of_maps([record for record in in_chart if record.state.live], "train")
    waits = manager().waits() if len(live) > 1 else {}
    for record in _shown(live):
        _live_row(record, waits.get(record.run_id))


def _shown(live: Sequence[RunRecord]) -> list[RunRecord]:
    """What trains, and a page of what waits: a queue may hold a thousand runs, and each row has widgets. In a classroom the
    browser's own runs are always shown.
    """
    waiting = [record for record in live if record.state is RunState.QUEUED]
    page = waiting if len(waiting) <= SHOWN_WAITING else _page(waiting, SHOWN_WAITING, "waiting", "Waiting runs, page")
    shown = {record.run_id for record in page}
    classroom = manager().person.mode is Mode.CLASSROOM
    return [
        record
        for record in live
        if record.state is not RunState.QUEUED or record.run_id in shown or (classroom and manager().mine(record))
    ]


def _page(records: Sequence[RunRecord], size: int, key: str, label: str) -> Sequence[RunRecord]:
    """The page of them that the person has chosen; the first to begin with."""
    pages = -(-len(records) // size)
    chosen = 1
    if pages > 1:
        chosen = int(st.number_input(f"{label} (of {pages:,})", 1, pages, key=f"train.{key}.page", width=200))
    return records[(chosen - 1) * size : chosen * size]


def _curves(records: Sequence[RunRecord], index: Mapping[str, int]) -> list[Curve]:
    lines = []
    siblings: Counter[str] = Counter()
    for record in sorted(records, key=lambda record: (record.created, record.run_id)):
        rows = history(record)
        lines.append(
            Curve(
                record.run_id,
                run_name(record),
                index[record.group],
                record.attempt,
                rows.steps,
                rows.losses,
                rows.epochs,
                steps_per_epoch=steps_per_epoch(record, rows),
                sibling=siblings[record.group],
                tested=tested_step(record),
            )
        )
        siblings[record.group] += 1
    return lines


def _live_row(record: RunRecord, wait: float | None) -> None:
    with st.container(border=True, key=f"train.live.{record.run_id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"{_badge(record)} **{plain(run_name(record))}**{_owner(record)}", width="stretch")
            ours = not record.config.recorded
            if ours and record.state is RunState.RUNNING and manager().may(Action.PAUSE, record):
                _button(record, "pause", "Pause", ":material/pause:", manager().pause)
            if ours and manager().may(Action.STOP, record):
                _button(record, "stop", "Stop", ":material/stop:", manager().stop)
            moves = (record.queue_position or 0) > 1 and manager().may(Action.MOVE, record)
            if moves or manager().may(Action.RENAME, record):
                with _more(record):
                    _rename(record)
                    if moves:
                        icon = ":material/vertical_align_top:"
                        _button(record, "first", "Move to the front of the queue", icon, _move_to_front)
        if record.config.recorded:
            st.caption(f"{_progress(record)} · recorded from a program of its own, which alone can stop it")
        elif record.state is RunState.RUNNING:
            st.progress(min(1.0, record.step / max(1, record.total_steps)), text=_progress(record))
        elif record.queue_position is not None:
            when = "" if wait is None else f", starts in about {duration(wait)}"
            st.caption(f"position {record.queue_position} in the queue{when}")
        else:
            st.caption(plain(record.phase) or "preparing")
        _recovered(record)


def _progress(record: RunRecord) -> str:
    parts = [f"epoch {record.epoch} of {record.config.training.epochs}", f"step {record.step:,} of {record.total_steps:,}"]
    if record.config.recorded:
        parts = [f"epoch {record.epoch}", f"step {record.step:,}"]
    if record.eta_seconds is not None:
        parts.append(f"{duration(record.eta_seconds)} left")
    if record.images_per_second is not None:
        parts.append(f"{record.images_per_second:,.0f} images/s")
    if record.device:
        parts.append(f":gray-badge[:material/memory: {plain(record.device)}]")
    return " · ".join(parts)


def _done(records: Sequence[RunRecord]) -> None:
    newest = sorted(records, key=lambda record: (not record.demo, record.created), reverse=True)
    for record in newest[:SHOWN_DONE]:
        _done_row(record)
    if len(newest) > SHOWN_DONE:
        _earlier(newest[SHOWN_DONE:])


def _earlier(records: Sequence[RunRecord]) -> None:
    """A page of them at a time: each row has widgets, and a server may have thousands of runs."""
    with st.expander(f"Earlier runs ({len(records):,})", key="train.earlier"):
        for record in _page(records, SHOWN_EARLIER, "earlier", "Page"):
            _done_row(record)


def _left_out(broken: Mapping[str, str]) -> None:
    """The folders of runs that cannot be read, and why."""
    if not broken:
        return
    with st.expander(f"Folders that cannot be read as runs ({len(broken)})", icon=":material/warning:", key="train.broken"):
        st.caption("Put the file right, or delete it or the folder; the run appears again by itself.")
        lines = [f"{name}: {reason}" for name, reason in sorted(broken.items())]
        st.code("\n".join(lines[:SHOWN_BROKEN]), language=None, wrap_lines=True)


def _done_row(record: RunRecord) -> None:
    with st.container(border=True, key=f"train.done.{record.run_id}"):
        _done_line(record)
        _recovered(record)


def _done_line(record: RunRecord) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{_badge(record)} **{plain(run_name(record))}**{_owner(record)}  \n{_outcome(record)}", width="stretch")
        if record.resumable and manager().may(Action.RESUME, record):
            _button(record, "resume", "Resume", ":material/play_arrow:", manager().resume)
        if record.test_accuracy is not None or "imported" in record.result or record.config.recorded:
            st.page_link(
                "pages/inspect_attention.py", label="Inspect", icon=":material/visibility:", query_params={"run": record.run_id}
            )
        with _more(record):
            _rename(record)
            _events(record)
            _delete(record)


def _recovered(record: RunRecord) -> None:
    """Says that the run was resumed after a damaged checkpoint, and what was lost."""
    try:
        notice = RunFolder(record.folder).progress().get("recovered") if record.attempt > 1 else ""
    except FolderError:  # changed a moment ago; the next look at the folder says what is wrong with it
        return
    if notice:
        st.caption(f":material/healing: {plain(notice)}")


def _outcome(record: RunRecord) -> str:
    if record.reason:
        return f":red[{plain(record.reason)}]" if record.state is RunState.FAILED else plain(record.reason)
    parts = [plain(record.note)] if record.note and record.state is RunState.STOPPED else []
    if record.test_accuracy is not None:
        parts.append(f"test accuracy **{record.test_accuracy:.1%}**")
    if record.seconds is not None:
        parts.append(duration(record.seconds))
    if record.parameters is not None:
        parts.append(f"{record.parameters:,} parameters")
    if not parts:
        parts.append(f"step {record.step:,} of {record.total_steps:,}")
    return " · ".join(parts)


def _more(record: RunRecord) -> DeltaGenerator:
    return st.popover("", icon=":material/more_vert:", type="tertiary", help="More actions", key=f"train.more.{record.run_id}")


def _move_to_front(run_id: str) -> None:
    manager().move(run_id, 1)


def _rename(record: RunRecord) -> None:
    if not manager().may(Action.RENAME, record):
        return
    key = f"train.title.{record.run_id}"

    def rename() -> None:
        try:
            manager().rename(record.run_id, st.session_state[key])
        except (OSError, ValueError) as error:
            st.toast(plain(str(error)), icon=":material/error:")

    st.text_input("Name", value=run_name(record), key=key, on_change=rename, max_chars=80)


def _events(record: RunRecord) -> None:
    download_button(
        "TensorBoard files",
        lambda: tensorboard.events_zip([RunFolder(record.folder)]),
        file_name=f"{record.run_id}.tensorboard.zip",
        mime="application/zip",
        icon=":material/download:",
        type="tertiary",
        key=f"train.tensorboard.{record.run_id}",
        on_click="ignore",
        disabled=not tensorboard.available(),
        help=None if tensorboard.available() else tensorboard.MISSING,
    )


def _button(record: RunRecord, action: str, label: str, icon: str, act: Callable[[str], object]) -> None:
    if st.button(label, icon=icon, key=f"train.{action}.{record.run_id}", type="tertiary"):
        try:
            act(record.run_id)
        except (OSError, ValueError) as error:
            st.toast(plain(str(error)), icon=":material/error:")
        else:
            st.rerun()


def _delete(record: RunRecord) -> None:
    """Asks again before the run goes to the bin."""
    if not manager().may(Action.DELETE, record):
        return
    asked = f"train.deleting.{record.run_id}"
    if not st.session_state.get(asked):
        st.button(
            "Delete",
            icon=":material/delete:",
            key=f"train.delete.{record.run_id}",
            type="tertiary",
            on_click=lambda: st.session_state.update({asked: True}),
        )
        return
    st.caption(f"It goes to the bin below, and can be restored for {KEPT_DAYS} days.")
    with st.container(horizontal=True):
        _button(record, "bin", "Move to the bin", ":material/delete:", manager().delete)
        st.button("Keep it", key=f"train.keep.{record.run_id}", type="tertiary", on_click=lambda: st.session_state.pop(asked))


def _bin() -> None:
    """The deleted runs that this person may restore."""
    deleted = manager().deleted()
    if not deleted:
        return
    with st.expander(f"Bin ({len(deleted)})", icon=":material/delete:", key="train.bin"):
        for number, (item, config) in enumerate(deleted):
            title = str(item.folder.meta()["title"]) or short_name(config)
            with st.container(horizontal=True, vertical_alignment="center"):
                st.markdown(f"{plain(title)}  \n:gray[{plain(item.run_id)}, kept for {item.days_left} days]", width="stretch")
                st.button(
                    "Restore",
                    icon=":material/restore_from_trash:",
                    key=f"train.restore.{number}.{item.run_id}",
                    type="tertiary",
                    on_click=_restore,
                    args=(item.run_id,),
                )


def _restore(run_id: str) -> None:
    try:
        manager().restore(run_id)
    except (OSError, ValueError) as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _owner(record: RunRecord) -> str:
    """Whose run it is, in a classroom."""
    if manager().person.mode is Mode.PERSONAL:
        return ""
    return f" :gray-badge[{'yours' if manager().mine(record) else owner_name(record.owner)}]"


def _badge(record: RunRecord) -> str:
    text, colour, icon = BADGES[record.state]
    return f":{colour}-badge[{icon} {text}]"
