"""``attnlab grid``: many configurations with the same seeds, as one entry of the queue.

If an app owns the queue of the home, it trains the grid and this process watches; otherwise this process owns the queue
until the grid is done. Ctrl-C pauses the grid; ``attnlab grid run`` resumes it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cyclopts import App

from attnlab import paths
from attnlab.cli.common import (
    OK,
    STOPPED,
    WRONG,
    Executor,
    Json,
    Names,
    TimeBudget,
    as_new_run,
    choose_executor,
    open_manager,
    print_json,
    read_given,
    refuse_unused_placement,
    tell,
    write_text,
)
from attnlab.config import RunConfig
from attnlab.experiments.grid import (
    Grid,
    GridState,
    Progress,
    cross,
    first_seeds,
    list_grids,
    load_grid,
    make_grid,
    progress,
    remove_grid,
    save_grid,
)
from attnlab.experiments.grid_time import check_epochs, fitted, grid_seconds, row_speeds, with_estimates, words
from attnlab.experiments.overrides import parse_value, settings
from attnlab.queue.executors.make import make_executor
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import run_folders
from attnlab.runs.index import Index, to_record
from attnlab.runs.ownership import process_start
from attnlab.training.budget import Speed, parse_seconds

if TYPE_CHECKING:
    from attnlab.queue.manager import Manager
    from attnlab.runs.records import RunRecord

Format = Literal["csv", "runs", "markdown", "latex", "json"]
_POLL_SECONDS = 0.5
_SYMBOLS = {"finished": "#", "failed": "x", "waiting": ".", "queued": ".", "running": ">", "starting": ">"}

grid_app = App(name="grid", help="Train many configurations with the same seeds, as one entry of the queue.")


@grid_app.command
def new(
    title: str,
    *,
    vary: Names = None,
    seeds: int = 3,
    config: Path | None = None,
    time_budget: TimeBudget = None,
    run: bool = False,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Make a grid: one row for every combination of the values, each with the same seeds.

    Parameters
    ----------
    title
        a name for the grid
    vary
        settings and their values, as in: attention=none,eca lr=0.1,0.01
    seeds
        runs per row, with seeds from 0
    config
        the configuration to vary (config.json of a run); without it, the default configuration
    run
        start the grid and wait for it
    """
    base = RunConfig.from_json(read_given(config)) if config else RunConfig()
    choices = dict(_choice(text) for text in vary or ())
    rows = cross(base, choices)
    if "model__placement" in choices:
        for row in rows:
            refuse_unused_placement(row.config)
    if config is None:
        rows = [replace(row, config=as_new_run(row.config)) for row in rows]
    grid = make_grid(rows, first_seeds(seeds), title=title)
    choose_executor(executor)
    if time_budget is not None:
        if any((text.partition("=")[0]) == "epochs" for text in vary or ()):
            raise ValueError("--vary epochs and --time-budget contradict each other: the time decides the number of epochs")
        grid = fit(grid, time_budget)
    save_grid(paths.home(), grid)
    if run:
        return run_grid(grid, as_json=as_json)
    count = len(grid.wanted)
    return tell({"grid_id": grid.grid_id, "cells": count}, f"{grid.grid_id}: {count} runs", as_json=as_json)


@grid_app.command(name="list")
def list_(*, as_json: Json = False) -> int:
    """List the grids, newest first."""
    runs = records()
    rows = []
    for grid in list_grids(paths.home()):
        current = progress(grid, runs)
        row: dict[str, Any] = {"grid_id": grid.grid_id, "title": grid.title, "state": str(grid.state)}
        rows.append(row | {"finished": current.finished, "cells": len(current.cells), "failed": current.count("failed")})
    text = "\n".join(f"{row['grid_id']}  {row['state']}  {row['finished']}/{row['cells']}  {row['title']}" for row in rows)
    return tell({"grids": rows}, text or "no grids", as_json=as_json)


@grid_app.command
def show(grid: str, *, as_json: Json = False) -> int:
    """Show a grid: the state of every run, its table, and how long the rest will take.

    Parameters
    ----------
    grid
        the id of a grid
    """
    chosen = load_grid(paths.home(), grid)
    return report(chosen, progress(chosen, records()), as_json=as_json)


@grid_app.command(name="run")
def run_(grid: str, *, time_budget: TimeBudget = None, executor: Executor = None, as_json: Json = False) -> int:
    """Start or resume a grid and wait until it is done. Failed runs are tried again.

    Parameters
    ----------
    grid
        the id of a grid
    """
    chosen = load_grid(paths.home(), grid)
    choose_executor(executor)
    if time_budget is not None:
        if any(cell.run is not None for cell in progress(chosen, records()).cells):
            raise ValueError(f"{grid} has runs already, so its number of epochs stays; make a new grid for another time budget")
        chosen = fit(chosen, time_budget)
        save_grid(paths.home(), chosen)
    return run_grid(chosen, as_json=as_json)


@grid_app.command
def pause(grid: str) -> int:
    """Pause a grid. Its running runs stop with a checkpoint.

    Parameters
    ----------
    grid
        the id of a grid
    """
    from attnlab.experiments.grid_queue import pause_grid

    return _suspend(pause_grid, grid)


@grid_app.command
def stop(grid: str) -> int:
    """Stop a grid. Its finished runs are kept.

    Parameters
    ----------
    grid
        the id of a grid
    """
    from attnlab.experiments.grid_queue import stop_grid

    return _suspend(stop_grid, grid)


@grid_app.command
def remove(grid: str) -> int:
    """Remove a grid. Its runs are kept.

    Parameters
    ----------
    grid
        the id of a grid
    """
    remove_grid(paths.home(), grid)
    return OK


@grid_app.command
def estimate(grid: str, *, time_budget: TimeBudget = None, executor: Executor = None, as_json: Json = False) -> int:
    """Time a few steps of each row on this machine, to estimate how long the grid will take.

    With --time-budget it says how many epochs would fit; `attnlab grid run` with the same option trains them.

    Parameters
    ----------
    grid
        the id of a grid
    """
    choose_executor(executor)
    if time_budget is not None:
        would = fit(load_grid(paths.home(), grid), time_budget)
        epochs, seconds = would.rows[0].config.training.epochs, grid_seconds(would)
        return print_json({"grid_id": grid, "epochs": epochs, "seconds": seconds}) if as_json else OK
    time_steps(grid)
    return show(grid, as_json=as_json)


@grid_app.command
def export(grid: str, *, format: Format = "markdown", to: Path | None = None) -> int:
    """Export a grid.

    Parameters
    ----------
    grid
        the id of a grid
    format
        its table (csv, markdown, latex), one line per run (runs), or everything (json, for `attnlab grid import`)
    to
        the file to write (default: standard output)
    """
    from attnlab.experiments import exports
    from attnlab.experiments.grid_table import grid_table

    chosen = load_grid(paths.home(), grid)
    current = progress(chosen, records())
    table, notes = grid_table(chosen, current), exports.footnotes(current)
    write: dict[Format, Callable[[], str]] = {
        "csv": lambda: exports.table_csv(table),
        "runs": lambda: exports.runs_csv(current),
        "markdown": lambda: exports.table_markdown(table, notes),
        "latex": lambda: exports.table_latex(table, chosen.title, notes),
        "json": lambda: exports.grid_json(chosen, current),
    }
    return write_text(write[format](), to)


@grid_app.command(name="import")
def import_(file: Path, *, as_json: Json = False) -> int:
    """Import a grid with the results of its runs.

    Parameters
    ----------
    file
        a file written by `attnlab grid export --format json`
    """
    from attnlab.experiments.exports import import_grid

    grid, count = import_grid(paths.home(), read_given(file), records())
    return tell({"grid_id": grid.grid_id, "runs": count}, f"{grid.grid_id}: {count} runs", as_json=as_json)


def time_steps(grid_id: str) -> None:
    """Measures how long the runs of a grid take on this machine, and keeps it with the grid."""
    speeds = _time_rows(load_grid(paths.home(), grid_id))
    save_grid(paths.home(), with_estimates(load_grid(paths.home(), grid_id), speeds))


def fit(grid: Grid, time_budget: str) -> Grid:
    """The grid with as many epochs as end in time, counted from the start of this process. Says how many."""
    seconds = parse_seconds(time_budget)
    check_epochs(grid)
    speeds = _time_rows(grid)
    chosen = fitted(grid, speeds, seconds, spent=time.monotonic() - process_start())
    print(words(chosen, seconds), file=sys.stderr)
    return chosen


def _time_rows(grid: Grid) -> dict[str, Speed]:
    told: set[str] = set()

    def tell_row(row: str, done: float) -> None:
        if row not in told:
            told.add(row)
            print(f"timing {row}", file=sys.stderr, flush=True)

    executor = make_executor()
    try:
        return row_speeds(grid, executor, paths.home(), fresh=True, tell=tell_row)
    finally:
        executor.close()


def run_grid(grid: Grid, *, as_json: bool) -> int:
    """Starts a grid and waits for it."""
    grid, current = train_grid(grid)
    report(grid, current, as_json=as_json)
    if grid.state is not GridState.DONE:
        print(f"{grid.state}; to continue: attnlab grid run {grid.grid_id}", file=sys.stderr)
        return STOPPED
    return OK if current.finished == len(current.cells) else WRONG


def train_grid(grid: Grid) -> tuple[Grid, Progress]:
    """Starts a grid, and waits until it is done, or paused or stopped by a person. Returns it as it is then."""
    from attnlab.experiments.grid_queue import pause_grid, start_grid

    with open_manager() as manager:
        if not manager.owns_queue:
            print(manager.queue_owner, file=sys.stderr)
        try:
            start_grid(manager, grid)
            grid = _watch(manager, grid)
        except KeyboardInterrupt:
            print("\npausing; running runs write a checkpoint", file=sys.stderr)
            grid = pause_grid(manager, grid.grid_id)
            _settle(manager)
        return grid, progress(grid, manager.runs())


def report(grid: Grid, current: Progress, *, as_json: bool) -> int:
    """Prints the state of every run, and the table."""
    from attnlab.experiments.exports import footnotes, table_markdown
    from attnlab.experiments.grid_table import grid_table

    table, notes = grid_table(grid, current), footnotes(current)
    if as_json:
        cells = [
            {
                "row": cell.row,
                "seed": cell.seed,
                "state": cell.state,
                "run_id": cell.run.run_id if cell.run else None,
                "test_accuracy": cell.run.test_accuracy if cell.run else None,
            }
            for cell in current.cells
        ]
        rows = json.loads(table.to_json(orient="records"))
        tree = {"grid_id": grid.grid_id, "state": str(grid.state), "left_seconds": current.left_seconds, "rows": rows}
        return print_json(tree | {"cells": cells, "notes": notes})
    width = max(len(row.label) for row in grid.rows)
    for row in grid.rows:
        states = (cell.state for cell in current.cells if cell.row == row.label)
        print(f"{row.label:<{width}}  {''.join(_SYMBOLS.get(state, '-') for state in states)}")
    print()
    print(table_markdown(table, notes), end="")
    if current.left_seconds:
        print(f"\nabout {current.left_seconds / 60:.1f} min of training left, one run at a time")
    return OK


def records() -> list[RunRecord]:
    """The runs of the home, read from their folders."""
    index = Index(None, write=True)
    for folder in run_folders(paths.runs_dir()):
        try:
            index.refresh(folder)
        except FolderError:
            continue  # a damaged folder; `attnlab reindex` names it
    runs = [to_record(row, paths.runs_dir() / row["run_id"], demo=False) for row in index.rows()]
    index.close()
    return runs


def _watch(manager: Manager, grid: Grid) -> Grid:
    """Prints to stderr each run that ends, until the grid is no longer active. Returns the grid as it is then."""
    reported: set[str] = set()
    while True:
        grid = load_grid(paths.home(), grid.grid_id)
        current = progress(grid, manager.runs())
        for cell in current.cells:
            if cell.run is not None and cell.state in ("finished", "failed") and cell.run.run_id not in reported:
                reported.add(cell.run.run_id)
                accuracy = cell.run.test_accuracy
                result = f"{accuracy:.1%}" if accuracy is not None else cell.run.reason
                left = "" if current.left_seconds is None else f", about {current.left_seconds / 60:.1f} min left"
                print(f"{current.finished}/{len(current.cells)}  {cell.row}, seed {cell.seed}: {result}{left}", file=sys.stderr)
        if grid.state is not GridState.ACTIVE:
            return grid
        time.sleep(_POLL_SECONDS)


def _settle(manager: Manager, seconds: float = 60.0) -> None:
    """Waits until the running runs have written their checkpoints."""
    deadline = time.monotonic() + seconds
    while manager.owns_queue and manager.live() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _suspend(action: Callable[[Manager, str], Grid], grid: str) -> int:
    with open_manager() as manager:
        action(manager, grid)
    return OK


def _choice(text: str) -> tuple[str, list[Any]]:
    """``attention=none,eca`` -> ("model__attention", ["none", "eca"])."""
    name, equals, values = text.partition("=")
    known = {setting.name: setting for setting in settings()}
    if not equals or name not in known or known[name].mapping:
        offered = ", ".join(name for name, setting in known.items() if not setting.mapping)
        raise ValueError(f"--vary {text}: expected setting=value,value where the setting is one of {offered}")
    return known[name].keyword, [parse_value(value) for value in values.split(",")]
