"""The upper half of the Reproduce page: start a table, watch its matrix of runs, pause it, go on.

What came of it is shown by `attnlab.ui.reproduce.results`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

import streamlit as st

from attnlab import paths
from attnlab.experiments.exports import footnotes
from attnlab.experiments.grid import (
    Cell,
    Grid,
    GridError,
    GridState,
    Progress,
    continued,
    list_grids,
    load_grid,
    progress,
    remove_grid,
    save_grid,
)
from attnlab.experiments.grid_queue import hold_grid, start_grid
from attnlab.experiments.reproduce import Scale, finding, table1
from attnlab.experiments.shipped import shipped_grids
from attnlab.models import REPORT_ROWS
from attnlab.ui.costs import note_data
from attnlab.ui.format import duration
from attnlab.ui.state import manager
from attnlab.viz.grid_figures import progress_matrix

PUBLISHED, DESCRIBED, FINDING = "Table 1, as published", "Table 1, as described", "the seven departures, on and off"
WHAT = {
    PUBLISHED: "Nine networks, trained as the report's published code does.",
    DESCRIBED: "Nine networks, trained as the report's text describes.",
    FINDING: "As published, and beside it with one departure at a time put right.",
}


@dataclass(frozen=True)
class Shown:
    """The grid that is looked at.

    Attributes:
        found: how far it is.
        notes: what its figures rest on.
        shipped: it came with the project, and nothing can be done to it.
    """

    grid: Grid
    found: Progress
    notes: tuple[str, ...]
    shipped: bool


def grids() -> list[Grid]:
    """The grids of this server, newest first."""
    return list_grids(manager().home)


def start_form() -> None:
    """Which table at which scale; estimate it, or start it."""
    what = st.segmented_control("Table", list(WHAT), default=PUBLISHED, required=True, key="reproduce.what") or PUBLISHED
    st.caption(WHAT[what])
    left, right = st.columns([2, 3])
    dataset = left.text_input(
        "Data",
        "cifar10",
        key="reproduce.dataset",
        help="cifar10 (downloaded once), or the path of a folder or archive with its images.",
    )
    rows = right.multiselect("Rows", list(REPORT_ROWS), key="reproduce.rows", placeholder="all nine", disabled=what == FINDING)
    with st.grid(6, min_column_width=110):
        seeds = st.number_input("Seeds", 1, 64, 3, key="reproduce.seeds", help="16 in the report.")
        subset = st.number_input(
            "Training images", 0, 50_000, 2000, step=500, key="reproduce.subset", help="0 takes all; 50,000 in the report."
        )
        test = st.number_input("Test images", 0, 10_000, 2000, step=500, key="reproduce.test_subset", help="0 takes all.")
        epochs = st.number_input("Epochs", 1, 200, 2, key="reproduce.epochs", help="10 in the report.")
        width = st.number_input(
            "Width", 2, 256, 16, key="reproduce.width", help="Channels of the first block; 64 in the report."
        )
        batch = st.number_input("Batch", 2, 1024, 128, key="reproduce.batch", help="128 in the report.")
    scale = Scale(
        dataset=dataset.strip(), subset=subset or None, test_subset=test or None, epochs=epochs, width=width, batch_size=batch
    )
    with st.container(horizontal=True):
        start = st.button("Start", type="primary", icon=":material/play_arrow:", key="reproduce.start")
        estimate = st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="reproduce.estimate",
            help="Times two steps of each row on this machine.",
        )
    if not (start or estimate):
        return
    try:
        if what == FINDING:
            made = finding(seeds=seeds, scale=scale)
        else:
            made = table1("published" if what == PUBLISHED else "described", rows=rows, seeds=seeds, scale=scale)
        made = continued(manager().home, made)
        if estimate:
            _time_steps(made)
        else:
            start_grid(manager(), made)
    except ValueError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.session_state["reproduce.grid"] = made.grid_id
    st.rerun()


def _time_steps(made: Grid) -> None:
    """Has a process that is set up as the worker's time two steps of each row, and note them with the grid.

    Raises:
        GridError: with what that process found wrong; a new grid is then forgotten.
    """
    home = manager().home
    new = made.grid_id not in {grid.grid_id for grid in list_grids(home)}
    save_grid(home, made)
    command = [sys.executable, "-m", "attnlab", "grid", "estimate", made.grid_id, "--json"]
    last = ""
    with st.status("Getting ready", expanded=False) as status:
        process = subprocess.Popen(
            command, cwd=paths.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last = line.strip()
                if last.startswith("timing "):
                    status.update(label=f"Timing {last.removeprefix('timing ')}")
            failed = process.wait() != 0
        finally:
            process.kill()  # where the person has gone on to something else meanwhile
        if failed:
            status.update(label="Could not be timed", state="error")
            if new:
                remove_grid(home, made.grid_id)
            raise GridError(last.removeprefix("error: ") or "the steps could not be timed")
        status.update(label="Timed", state="complete")


def tables() -> dict[str, Grid]:
    """What can be looked at, by grid id: the grids of this server, newest first, then the shipped ones."""
    mine = {grid.grid_id: grid for grid in grids()}
    return mine | {grid_id: told.grid for grid_id, told in shipped_grids().items() if grid_id not in mine}


def choose_grid() -> Shown | None:
    """The grid to look at."""
    mine, shipped, known = {grid.grid_id for grid in grids()}, shipped_grids(), tables()
    if not known:
        return None
    if st.session_state.get("reproduce.grid") not in known:
        st.session_state["reproduce.grid"] = next(iter(known))
    chosen = st.selectbox(
        "Table",
        list(known),
        format_func=lambda grid_id: _called(known[grid_id]) + ("" if grid_id in mine else " · shipped"),
        key="reproduce.grid",
    )
    if chosen in mine:
        found = progress(known[chosen], manager().runs())
        return Shown(known[chosen], found, tuple(footnotes(found)), shipped=False)
    told = shipped[chosen]
    for record, run in zip(told.records, told.told, strict=True):
        if run.get("dataset"):
            note_data(record.group, run["dataset"])
    return Shown(told.grid, progress(told.grid, told.records), told.notes, shipped=True)


def board(shown: Shown) -> None:
    """The matrix and what can be done to it. A timer draws it again, and only while something is under way."""
    if shown.shipped:
        st.caption("Trained for this project and shipped with it; start one of your own above.")
        _matrix(shown.grid, shown.found)
        return
    seen = _seen(shown.grid, shown.found)
    st.fragment(_board, run_every=2.0 if seen.moving else None)(shown.grid.grid_id, seen)


@dataclass(frozen=True)
class _Seen:
    """What the rest of the page was drawn for: when it changes, all of the page is drawn again."""

    state: GridState
    finished: int
    moving: bool


def _seen(grid: Grid, found: Progress) -> _Seen:
    live = any(cell.run is not None and cell.run.state.live for cell in found.cells)
    return _Seen(grid.state, found.finished, moving=live or grid.state is GridState.ACTIVE)


def _board(grid_id: str, before: _Seen) -> None:
    grid = load_grid(manager().home, grid_id)
    found = progress(grid, manager().runs())
    if _seen(grid, found) != before:
        st.rerun()
    st.progress(found.finished / len(found.cells), text=_progress_words(grid, found))
    _buttons(grid, found)
    _matrix(grid, found)
    reasons = sorted({cell.run.reason for cell in found.cells if cell.run is not None and cell.state == "failed"})
    for reason in reasons[:3]:
        st.error(reason, icon=":material/error:")


def _matrix(grid: Grid, found: Progress) -> None:
    st.plotly_chart(
        progress_matrix(
            [row.label for row in grid.rows],
            grid.seeds,
            {(cell.row, cell.seed): cell.state for cell in found.cells},
            {(cell.row, cell.seed): _cell_words(cell) for cell in found.cells},
            {(cell.row, cell.seed): _cell_words(cell) for cell in found.cells if cell.state == "finished"},
        ),
        key="reproduce.matrix",
        alt=f"State of every run: {_progress_words(grid, found)}",
    )


def _buttons(grid: Grid, found: Progress) -> None:
    """Their work is done in callbacks, so that a click is not lost when the timer draws the whole page again."""
    with st.container(horizontal=True):
        if grid.state is GridState.ACTIVE:
            for label, icon, state, help in (
                ("Pause", ":material/pause:", GridState.PAUSED, "Runs at work write a checkpoint."),
                ("Stop", ":material/stop:", GridState.STOPPED, "Finished runs stay."),
            ):
                st.button(
                    label,
                    icon=icon,
                    key=f"reproduce.{label.lower()}",
                    help=help,
                    on_click=_hold,
                    args=(grid, state),
                )
        elif found.finished < len(found.cells):
            failed = found.count("failed")
            label = f"Go on, and try {failed} failed again" if failed else "Go on" if found.finished else "Start"
            st.button(
                label,
                icon=":material/play_arrow:",
                type="primary",
                key="reproduce.resume",
                on_click=_go_on,
                args=(grid,),
            )


def _hold(grid: Grid, state: GridState) -> None:
    hold_grid(manager(), grid.grid_id, state)


def _go_on(grid: Grid) -> None:
    start_grid(manager(), grid)


def _progress_words(grid: Grid, found: Progress) -> str:
    parts = [f"{grid.state}: {found.finished} of {len(found.cells)} runs finished"]
    if failed := found.count("failed"):
        parts.append(f"{failed} failed")
    if found.left_seconds:
        parts.append(f"about {duration(found.left_seconds)} of training left")
    return " · ".join(parts)


def _cell_words(cell: Cell) -> str:
    if cell.run is None:
        return "waiting"
    if cell.run.test_accuracy is not None:
        return f"{100 * cell.run.test_accuracy:.1f} %"
    if cell.run.state.live and cell.run.total_steps:
        return f"{cell.state}, step {cell.run.step:,} of {cell.run.total_steps:,}"
    return cell.state + (f": {cell.run.reason}" if cell.run.reason else "")


def _called(grid: Grid) -> str:
    config = grid.rows[0].config
    images = "all images" if config.dataset.subset is None else f"{config.dataset.subset:,} images"
    size = f"{images}, {config.training.epochs} epochs, width {config.model.width or 'own'}"
    return f"{grid.title} · {len(grid.rows)} rows x {len(grid.seeds)} seeds · {size}"
