"""A grid in the queue: started, fed, paused, stopped.

A grid waits as one item. `feed`, called by the thread that keeps the queue, hands over the next cell, and only when
nothing else waits, so that a single run never waits behind a whole grid. Where seeds train together
(`attnlab.worker.seeds`) it hands over what is left of a row. Whoever keeps the queue after a restart goes on from the
folders: cells whose process died are resumed from their checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from attnlab.experiments.grid import Grid, GridState, best_runs, is_over, list_grids, load_grid, progress, save_grid
from attnlab.queue.manager import Manager
from attnlab.runs.errors import RequestRefused, UnknownRun
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord, RunState
from attnlab.worker.seeds import stacks_here


def feed(manager: Manager) -> None:
    """Hands the next cell of the oldest active grid to the queue, when nothing waits there. For who keeps the queue."""
    active = [grid for grid in reversed(list_grids(manager.home)) if grid.state is GridState.ACTIVE]
    if not active or manager.store.in_states(RunState.QUEUED):
        return
    known = best_runs(manager.runs())
    for grid in active:
        if load_grid(manager.home, grid.grid_id).state is not GridState.ACTIVE:  # another process has just held it
            continue
        todo = [config for key, config in grid.wanted.items() if _waits(known.get(key))]
        if todo:
            row = [config for config in todo if config.group == todo[0].group] if stacks_here() else todo[:1]
            for config in row:
                run = known.get(config.config_hash)
                if run is None:
                    manager.enqueue(config)
                else:
                    _ask(manager.resume, run.run_id)
            return
        if all(is_over(known.get(key)) for key in grid.wanted):
            save_grid(manager.home, replace(grid, state=GridState.DONE))


def start_grid(manager: Manager, grid: Grid) -> Grid:
    """Puts a grid in the queue, or back into it: cells that were paused or stopped go on, failed ones are tried again.

    Raises:
        RunRefused: when the executor could never train one of its cells.
    """
    for config in grid.wanted.values():
        manager.executor.admit(config)
    with manager.lock:
        runs = {cell.run.run_id: cell.run for cell in progress(grid, manager.runs()).cells if cell.run is not None}
        for run in runs.values():
            folder = RunFolder(run.folder)
            if run.state.live and folder.requested() is not None:
                folder.clear_request()
            elif run.state.resumable:
                _ask(manager.resume, run.run_id)
        started = replace(grid, state=GridState.ACTIVE)
        save_grid(manager.home, started)
    manager.wake()
    return started


def hold_grid(manager: Manager, grid_id: str, state: GridState) -> Grid:
    """Pauses or stops a grid: no further cell begins, and those at work end with a checkpoint.

    Cells that another active grid wants too go on.
    """
    with manager.lock:
        held = replace(load_grid(manager.home, grid_id), state=state)
        save_grid(manager.home, held)
        others = [grid for grid in list_grids(manager.home) if grid.state is GridState.ACTIVE]
        mine = held.wanted.keys() - {key for grid in others for key in grid.wanted}
        for record in manager.live():
            if record.config.config_hash in mine:
                _ask(manager.pause if state is GridState.PAUSED else manager.stop, record.run_id)
    return held


def _ask(what: Callable[[str], None], run_id: str) -> None:
    """Asks for something that no longer applies where the run has ended, gone on or been deleted in the meantime."""
    with suppress(RequestRefused, UnknownRun):
        what(run_id)


def _waits(run: RunRecord | None) -> bool:
    """Whether a cell is to be started: it has no run yet, or one whose process died."""
    return run is None or (not run.state.live and not is_over(run))
