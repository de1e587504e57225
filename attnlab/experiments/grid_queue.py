"""A grid in the queue: started, fed, paused, stopped.

A grid waits as one item. `feed`, called by the thread that owns the queue, adds the next cell, and only when nothing else
waits, so that a single run never waits behind a whole grid. Where seeds train together (`attnlab.worker.seeds`) it adds all
unfinished cells of a row. After a restart the next owner of the queue continues from the folders: cells whose process died
are resumed from their checkpoints.
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
    """Adds the next cell of the oldest active grid to the queue if nothing waits there. Called by the queue's owner only."""
    active = [grid for grid in reversed(list_grids(manager.home)) if grid.state is GridState.ACTIVE]
    if not active or manager.store.in_states(RunState.QUEUED):
        return
    records = manager.runs()
    for grid in active:
        if load_grid(manager.home, grid.grid_id).state is not GridState.ACTIVE:  # another process has just paused or stopped it
            continue
        known = best_runs(run for run in records if _counts(grid, run))
        waiting = [config for key, config in grid.wanted.items() if _waits(known.get(key))]
        if waiting:
            row = [config for config in waiting if config.group == waiting[0].group] if stacks_here() else waiting[:1]
            for config in row:
                run = known.get(config.config_hash)
                if run is None:
                    manager.enqueue(config, owner=grid.owner)
                else:
                    _request(manager.resume, run.run_id)
            return
        if all(is_over(known.get(key)) for key in grid.wanted):
            save_grid(manager.home, replace(grid, state=GridState.DONE))


def start_grid(manager: Manager, grid: Grid) -> Grid:
    """Puts a grid in the queue, or back into it: paused and stopped cells are resumed, failed ones are retried.

    Raises:
        RunRefused: when the executor could never train one of its cells.
    """
    for config in grid.wanted.values():
        manager.executor.admit(config)
    with manager.lock:
        records = [run for run in manager.runs() if _counts(grid, run)]
        runs = {cell.run.run_id: cell.run for cell in progress(grid, records).cells if cell.run is not None}
        for run in runs.values():
            folder = RunFolder(run.folder)
            if run.state.live and folder.requested() is not None:
                folder.clear_request()
            elif run.state.resumable:
                _request(manager.resume, run.run_id)
        started = replace(grid, state=GridState.ACTIVE)
        save_grid(manager.home, started)
    manager.wake()
    return started


def pause_grid(manager: Manager, grid_id: str) -> Grid:
    """Pauses a grid: no further cell starts, and those that are running pause with a checkpoint.

    Cells that are also part of another active grid continue.
    """
    return _suspend(manager, grid_id, GridState.PAUSED, manager.pause)


def stop_grid(manager: Manager, grid_id: str) -> Grid:
    """As `pause_grid`, but the grid and its running cells count as stopped."""
    return _suspend(manager, grid_id, GridState.STOPPED, manager.stop)


def _suspend(manager: Manager, grid_id: str, state: GridState, end: Callable[[str], None]) -> Grid:
    with manager.lock:
        grid = replace(load_grid(manager.home, grid_id), state=state)
        save_grid(manager.home, grid)
        others = [other for other in list_grids(manager.home) if other.state is GridState.ACTIVE]
        exclusive = grid.wanted.keys() - {key for other in others for key in other.wanted}
        for record in manager.live():
            if record.config.config_hash in exclusive and record.owner == grid.owner:
                _request(end, record.run_id)
    return grid


def _request(action: Callable[[str], None], run_id: str) -> None:
    """Calls an action that no longer applies if the run has ended, continued or been deleted in the meantime."""
    with suppress(RequestRefused, UnknownRun):
        action(run_id)


def _counts(grid: Grid, run: RunRecord) -> bool:
    """Whether a run is a cell's: anybody's result is, but a run that may still change only when grid and run have one owner."""
    return run.owner == grid.owner or run.state is RunState.FINISHED


def _waits(run: RunRecord | None) -> bool:
    """Whether a cell has yet to be started: it has no run, or one whose process died."""
    return run is None or (not run.state.live and not is_over(run))
