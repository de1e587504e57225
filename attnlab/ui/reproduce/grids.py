"""The upper half of the Reproduce page: start a table, watch its matrix of runs, pause and resume it.

Its results are shown by `attnlab.ui.reproduce.results`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import streamlit as st

from attnlab.data import list_datasets
from attnlab.desk.permissions import Action
from attnlab.experiments.exports import footnotes
from attnlab.experiments.grid import (
    Cell,
    Grid,
    GridState,
    Progress,
    continued,
    list_grids,
    load_grid,
)
from attnlab.experiments.grid import progress as grid_progress
from attnlab.experiments.grid_time import fitted, with_estimates, words
from attnlab.experiments.reproduce import Scale, departure_grid, table1
from attnlab.experiments.shipped import shipped_grids
from attnlab.models import REPORT_ROWS
from attnlab.training.budget import Speed
from attnlab.ui.costs import add_data_summary
from attnlab.ui.format import duration, plain
from attnlab.ui.problems import told
from attnlab.ui.state import manager
from attnlab.viz.grid_figures import progress_matrix

PUBLISHED, DESCRIBED, ON_AND_OFF = "Table 1, as the code does", "Table 1, as the paper says", "The seven departures, on and off"
TABLES = {
    PUBLISHED: "Nine networks with the published protocol: trained as the report's code does.",
    DESCRIBED: "Nine networks with the described protocol: trained as the report's text says.",
    ON_AND_OFF: "The published protocol, and the same with one departure at a time corrected.",
}


@dataclass(frozen=True)
class GridView:
    """The grid on the page.

    Attributes:
        progress: how far it is.
        notes: what its figures are based on.
        shipped: whether it came with the project, so that it cannot be resumed.
    """

    grid: Grid
    progress: Progress
    notes: tuple[str, ...]
    shipped: bool


def grids() -> list[Grid]:
    """The grids of this server, newest first."""
    return list_grids(manager().home)


def start_form() -> None:
    """Asks which table at which scale, and estimates or starts it."""
    what = st.segmented_control("Table", list(TABLES), default=PUBLISHED, required=True, key="reproduce.what") or PUBLISHED
    st.caption(TABLES[what])
    left, right = st.columns([2, 3])
    if manager().may(Action.READ_PATH):
        dataset = left.text_input(
            "Data",
            "cifar10",
            key="reproduce.dataset",
            help="cifar10 (downloaded once), or the path of a folder or archive with its images.",
        )
    else:
        known = list(list_datasets())
        dataset = left.selectbox("Data", known, index=known.index("cifar10"), key="reproduce.dataset.named")
    rows = right.multiselect(
        "Rows", list(REPORT_ROWS), key="reproduce.rows", placeholder="all nine", disabled=what == ON_AND_OFF
    )
    with st.grid(7, min_column_width=110):
        seeds = st.number_input("Seeds", 1, 64, 3, key="reproduce.seeds", help="The report uses 16.")
        subset = st.number_input(
            "Training images",
            0,
            50_000,
            2000,
            step=500,
            key="reproduce.subset",
            help="0 uses all images, as the report does (50,000).",
        )
        test = st.number_input("Test images", 0, 10_000, 2000, step=500, key="reproduce.test_subset", help="0 uses all images.")
        epochs = st.number_input("Epochs", 1, 200, 2, key="reproduce.epochs", help="The report uses 10.")
        width = st.number_input(
            "Width", 2, 256, 16, key="reproduce.width", help="Channels of the first block. The report uses 64."
        )
        batch = st.number_input("Batch size", 2, 1024, 128, key="reproduce.batch", help="The report uses 128.")
        minutes = st.number_input(
            "Minutes in all",
            1,
            100_000,
            None,
            key="reproduce.minutes",
            placeholder="no limit",
            help="How long the whole table may take on this machine, for example a lesson. Each row is timed first; then every "
            "run gets the same number of epochs: as many as fit, and at most those given here.",
        )
    scale = Scale(
        dataset=dataset.strip(), subset=subset or None, test_subset=test or None, epochs=epochs, width=width, batch_size=batch
    )
    with st.container(horizontal=True):
        start = st.button("Start", type="primary", icon=":material/play_arrow:", key="reproduce.start")
        estimate = st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="reproduce.estimate",
            help="Times a few training steps of each row on this machine.",
        )
    if fit := st.session_state.get("reproduce.fit"):
        st.success(plain(fit), icon=":material/timer:")
    if not (start or estimate):
        return
    st.session_state.pop("reproduce.fit", None)
    began = time.monotonic()
    with told():
        if what == ON_AND_OFF:
            grid = departure_grid(seeds=seeds, scale=scale)
        else:
            grid = table1("published" if what == PUBLISHED else "described", rows=rows, seeds=seeds, scale=scale)
        if estimate or minutes:
            speeds = _time_rows(grid)
            grid = with_estimates(grid, speeds)
            if minutes:
                grid = fitted(grid, speeds, 60 * minutes, spent=time.monotonic() - began)
                st.session_state["reproduce.fit"] = words(grid, 60 * minutes)
        grid = continued(manager().home, grid)
        if start:
            manager().start_grid(grid)
        else:
            manager().save_grid(grid)
        st.session_state["reproduce.grid"] = grid.grid_id
        st.rerun()


def _time_rows(grid: Grid) -> dict[str, Speed]:
    """Times a few steps of each row on a worker.

    Raises:
        RunRefused: when the runs of a row could not be trained.
    """
    with st.status("Starting a worker", expanded=False) as status:
        try:
            speeds = manager().row_speeds(
                grid,
                tell=lambda row, done: status.update(label=f"Timing {plain(row)}: {done:.0%}"),
            )
        except ValueError:
            status.update(label="The steps could not be timed", state="error")
            raise
        status.update(label="The steps are timed", state="complete")
    return speeds


def tables() -> dict[str, Grid]:
    """Grid id -> grid: those of this server, newest first, then the shipped ones."""
    mine = {grid.grid_id: grid for grid in grids()}
    return mine | {grid_id: shipped.grid for grid_id, shipped in shipped_grids().items() if grid_id not in mine}


def choose_grid() -> GridView | None:
    """Asks which grid to show; `None` when there is none."""
    mine, shipped, known = {grid.grid_id for grid in grids()}, shipped_grids(), tables()
    if not known:
        return None
    if st.session_state.get("reproduce.grid") not in known:
        st.session_state["reproduce.grid"] = next(iter(known))
    chosen = st.selectbox(
        "Table",
        list(known),
        format_func=lambda grid_id: _grid_title(known[grid_id]) + ("" if grid_id in mine else " · shipped"),
        key="reproduce.grid",
    )
    if chosen in mine:
        progress = grid_progress(known[chosen], manager().runs())
        return GridView(known[chosen], progress, tuple(footnotes(progress)), shipped=False)
    table = shipped[chosen]
    for record, run in zip(table.records, table.entries, strict=True):
        if run.get("dataset"):
            add_data_summary(record.group, run["dataset"])
    return GridView(table.grid, grid_progress(table.grid, table.records), table.notes, shipped=True)


def board(view: GridView) -> None:
    """The matrix of runs, and the buttons to pause, stop and resume it. A timer draws it again only while runs are live."""
    if view.shipped:
        st.caption("This table was trained for the project and shipped with it. Start one of your own above.")
        _matrix(view.grid, view.progress)
        return
    status = _status(view.grid, view.progress)
    st.fragment(_board, run_every=2.0 if status.live else None)(view.grid.grid_id, status)


@dataclass(frozen=True)
class _Status:
    """What the rest of the page was drawn for: when it changes, the whole page is drawn again."""

    state: GridState
    finished: int
    live: bool


def _status(grid: Grid, progress: Progress) -> _Status:
    live = any(cell.run is not None and cell.run.state.live for cell in progress.cells)
    return _Status(grid.state, progress.finished, live=live or grid.state is GridState.ACTIVE)


def _board(grid_id: str, before: _Status) -> None:
    with told():
        _draw_board(grid_id, before)


def _draw_board(grid_id: str, before: _Status) -> None:
    grid = load_grid(manager().home, grid_id)
    progress = grid_progress(grid, manager().runs())
    if _status(grid, progress) != before:
        st.rerun()
    st.progress(progress.finished / len(progress.cells), text=_progress_text(grid, progress))
    _buttons(grid, progress)
    _matrix(grid, progress)
    reasons = sorted({cell.run.reason for cell in progress.cells if cell.run is not None and cell.state == "failed"})
    for reason in reasons[:3]:
        st.error(plain(reason), icon=":material/error:")


def _matrix(grid: Grid, progress: Progress) -> None:
    st.plotly_chart(
        progress_matrix(
            [row.label for row in grid.rows],
            grid.seeds,
            {(cell.row, cell.seed): cell.state for cell in progress.cells},
            {(cell.row, cell.seed): _cell_text(cell) for cell in progress.cells},
            {(cell.row, cell.seed): _cell_text(cell) for cell in progress.cells if cell.state == "finished"},
        ),
        key="reproduce.matrix",
        alt=f"State of every run: {_progress_text(grid, progress)}",
    )


def _buttons(grid: Grid, progress: Progress) -> None:
    """Buttons act in callbacks, so that a click is not lost when the timer draws the whole page again."""
    if not manager().may(Action.CHANGE_GRID, grid):
        st.caption("Another browser started this table; only it and the teacher can pause, stop or resume it.")
        return
    with st.container(horizontal=True):
        if grid.state is GridState.ACTIVE:
            for label, icon, callback, help in (
                ("Pause", ":material/pause:", _pause, "Running runs write a checkpoint first."),
                ("Stop", ":material/stop:", _stop, "Finished runs are kept."),
            ):
                st.button(
                    label,
                    icon=icon,
                    key=f"reproduce.{label.lower()}",
                    help=help,
                    on_click=callback,
                    args=(grid,),
                )
        elif progress.finished < len(progress.cells):
            failed = progress.count("failed")
            retry = f" and retry {failed} failed run{'s' if failed > 1 else ''}" if failed else ""
            label = f"Resume{retry}" if failed or progress.finished else "Start"
            st.button(
                label,
                icon=":material/play_arrow:",
                type="primary",
                key="reproduce.resume",
                on_click=_resume,
                args=(grid,),
            )


def _pause(grid: Grid) -> None:
    with told(say=st.toast):
        manager().pause_grid(grid.grid_id)


def _stop(grid: Grid) -> None:
    with told(say=st.toast):
        manager().stop_grid(grid.grid_id)


def _resume(grid: Grid) -> None:
    with told(say=st.toast):
        manager().start_grid(grid)


def _progress_text(grid: Grid, progress: Progress) -> str:
    parts = [f"{grid.state}: {progress.finished} of {len(progress.cells)} runs finished"]
    if failed := progress.count("failed"):
        parts.append(f"{failed} failed")
    if progress.left_seconds:
        parts.append(f"about {duration(progress.left_seconds)} of training left")
    return " · ".join(parts)


def _cell_text(cell: Cell) -> str:
    if cell.run is None:
        return "waiting"
    if cell.run.test_accuracy is not None:
        return f"{cell.run.test_accuracy:.1%}"
    if cell.run.state.live and cell.run.total_steps:
        return f"{cell.state}, step {cell.run.step:,} of {cell.run.total_steps:,}"
    return cell.state + (f": {cell.run.reason}" if cell.run.reason else "")


def _grid_title(grid: Grid) -> str:
    config = grid.rows[0].config
    images = "all images" if config.dataset.subset is None else f"{config.dataset.subset:,} images"
    size = f"{images}, {config.training.epochs} epochs, width {config.model.width or 'of the backbone'}"
    return f"{grid.title} · {len(grid.rows)} rows × {len(grid.seeds)} seeds · {size}"
