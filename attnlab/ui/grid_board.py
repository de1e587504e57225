"""A grid on a page: its matrix of runs, and the buttons to pause, stop and resume it. For Reproduce and League."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from attnlab.desk.permissions import Action
from attnlab.experiments.grid import Cell, Grid, GridState, Progress, load_grid
from attnlab.experiments.grid import progress as grid_progress
from attnlab.ui.format import duration, plain
from attnlab.ui.problems import told
from attnlab.ui.state import manager
from attnlab.viz.grid_figures import progress_matrix


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


def board(view: GridView, key: str) -> None:
    """The matrix of runs, and the buttons to pause, stop and resume it. A timer draws it again only while runs are live.

    Args:
        key: the page, with which the keys of the widgets begin.
    """
    if view.shipped:
        st.caption("This table was trained for the project and shipped with it. Start one of your own above.")
        _matrix(view.grid, view.progress, key)
        return
    status = _status(view.grid, view.progress)
    st.fragment(_board, run_every=2.0 if status.live else None)(view.grid.grid_id, status, key)


@dataclass(frozen=True)
class _Status:
    """What the rest of the page was drawn for: when it changes, the whole page is drawn again."""

    state: GridState
    finished: int
    live: bool


def _status(grid: Grid, progress: Progress) -> _Status:
    live = any(cell.run is not None and cell.run.state.live for cell in progress.cells)
    return _Status(grid.state, progress.finished, live=live or grid.state is GridState.ACTIVE)


def _board(grid_id: str, before: _Status, key: str) -> None:
    with told():
        _draw_board(grid_id, before, key)


def _draw_board(grid_id: str, before: _Status, key: str) -> None:
    grid = load_grid(manager().home, grid_id)
    progress = grid_progress(grid, manager().runs())
    if _status(grid, progress) != before:
        st.rerun()
    st.progress(progress.finished / len(progress.cells), text=_progress_text(grid, progress))
    _buttons(grid, progress, key)
    _matrix(grid, progress, key)
    reasons = sorted({cell.run.reason for cell in progress.cells if cell.run is not None and cell.state == "failed"})
    for reason in reasons[:3]:
        st.error(plain(reason), icon=":material/error:")


def _matrix(grid: Grid, progress: Progress, key: str) -> None:
    st.plotly_chart(
        progress_matrix(
            [row.label for row in grid.rows],
            grid.seeds,
            {(cell.row, cell.seed): cell.state for cell in progress.cells},
            {(cell.row, cell.seed): _cell_text(cell) for cell in progress.cells},
            {(cell.row, cell.seed): _cell_text(cell) for cell in progress.cells if cell.state == "finished"},
        ),
        key=f"{key}.matrix",
        alt=f"State of every run: {_progress_text(grid, progress)}",
    )


def _buttons(grid: Grid, progress: Progress, key: str) -> None:
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
                    key=f"{key}.{label.lower()}",
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
                key=f"{key}.resume",
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
