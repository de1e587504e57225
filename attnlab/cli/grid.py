"""``python -m attnlab grid ...`` and ``tensorboard``: many runs as one item of the queue.

Where an app keeps the queue of the home, a grid is handed to it and watched from here; otherwise this process keeps the
queue as long as it takes. Ctrl-C pauses the grid; ``grid run`` goes on with it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from attnlab import paths
from attnlab.cli.open import Json
from attnlab.cli.queue import Executor, choose_executor
from attnlab.config import RunConfig
from attnlab.experiments.grid import (
    Grid,
    GridState,
    Progress,
    cross,
    list_grids,
    load_grid,
    make_grid,
    progress,
    remove_grid,
    save_grid,
)
from attnlab.experiments.overrides import settings
from attnlab.experiments.reproduce import estimated
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.index import Index, to_record

if TYPE_CHECKING:
    from attnlab.queue.manager import Manager

Format = Literal["csv", "runs", "markdown", "latex", "json"]
Names = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]
OK, WRONG, STOPPED = 0, 2, 130
_LOOK_SECONDS = 0.5

grid_app = App(name="grid", help="Grids: many configurations with the same seeds, as one item of the queue.")


@grid_app.command
def new(
    title: str,
    *,
    vary: Names = None,
    seeds: int = 3,
    config: Path | None = None,
    run: bool = False,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Make a grid: every combination of the values given, each with the same seeds.

    Parameters
    ----------
    title
        what it is called
    vary
        a setting and its values, as in attention=none,eca lr=0.1,0.01
    seeds
        runs of each row, with seeds from 0 on
    config
        the configuration that is varied (config.json of a run); the default one when it is left out
    run
        start it and wait for it
    """
    base = RunConfig.from_json(config.read_bytes()) if config else RunConfig()
    made = make_grid(cross(base, dict(_choice(text) for text in vary or ())), range(seeds), title=title)
    save_grid(paths.home(), made)
    if run:
        return run_grid(made, executor=executor, as_json=as_json)
    return _tell({"grid_id": made.grid_id, "cells": len(made.wanted)}, f"{made.grid_id}: {len(made.wanted)} runs", as_json)


@grid_app.command(name="list")
def list_(*, as_json: Json = False) -> int:
    """List the grids, newest first."""
    runs = records()
    rows = []
    for each in list_grids(paths.home()):
        found = progress(each, runs)
        about: dict[str, Any] = {"grid_id": each.grid_id, "title": each.title, "state": str(each.state)}
        rows.append(about | {"finished": found.finished, "cells": len(found.cells), "failed": found.count("failed")})
    text = "\n".join(f"{row['grid_id']}  {row['state']}  {row['finished']}/{row['cells']}  {row['title']}" for row in rows)
    return _tell({"grids": rows}, text or "no grids", as_json)


@grid_app.command
def show(grid: str, *, as_json: Json = False) -> int:
    """Show a grid: its matrix, its table, and how long the rest may take."""
    found = load_grid(paths.home(), grid)
    report(found, progress(found, records()), as_json=as_json)
    return OK


@grid_app.command(name="run")
def run_(grid: str, *, executor: Executor = None, as_json: Json = False) -> int:
    """Start a grid, or go on with it, and wait until it is done. Failed cells are tried again."""
    return run_grid(load_grid(paths.home(), grid), executor=executor, as_json=as_json)


@grid_app.command
def pause(grid: str) -> int:
    """Let no further cell begin; those at work end with a checkpoint."""
    return _hold(grid, "paused")


@grid_app.command
def stop(grid: str) -> int:
    """End a grid; its finished runs stay."""
    return _hold(grid, "stopped")


@grid_app.command
def remove(grid: str) -> int:
    """Forget a grid; its runs stay."""
    remove_grid(paths.home(), grid)
    return OK


@grid_app.command
def export(grid: str, *, format: Format = "markdown", to: Path | None = None) -> int:
    """Write a grid as a table (csv, markdown, latex), run by run (runs), or whole (json, which import reads back).

    Parameters
    ----------
    to
        a file; standard output when it is left out
    """
    from attnlab.experiments import exports
    from attnlab.experiments.grid_table import grid_table

    chosen = load_grid(paths.home(), grid)
    found = progress(chosen, records())
    table, notes = grid_table(chosen, found), exports.footnotes(found)
    write: dict[Format, Callable[[], str]] = {
        "csv": lambda: exports.table_csv(table),
        "runs": lambda: exports.runs_csv(found),
        "markdown": lambda: exports.table_markdown(table, notes),
        "latex": lambda: exports.table_latex(table, chosen.title, notes),
        "json": lambda: exports.grid_json(chosen, found),
    }
    text = write[format]()
    if to is None:
        print(text, end="")
    else:
        to.write_text(text)
    return OK


@grid_app.command(name="import")
def import_(file: Path, *, as_json: Json = False) -> int:
    """Read a grid that export --format json wrote, with the results of its runs."""
    from attnlab.experiments.exports import import_grid

    made, count = import_grid(paths.home(), file.read_bytes(), records())
    return _tell({"grid_id": made.grid_id, "runs": count}, f"{made.grid_id}: {count} runs", as_json)


def tensorboard(*runs: str, to: Path) -> int:
    """Write runs as TensorBoard event files below a folder: tensorboard --logdir TO.

    Parameters
    ----------
    runs
        their ids, or the id of a grid for all of its runs
    """
    from attnlab.experiments.tensorboard import write_events
    from attnlab.runs.store import Store

    if not runs:
        raise ValueError("name at least one run or grid; `python -m attnlab runs` and `grid list` list them")
    store = Store(paths.home(), write=False)
    known = {grid.grid_id: grid for grid in list_grids(paths.home())}
    for name in runs:
        if name in known:
            found = progress(known[name], records())
            folders = [RunFolder(cell.run.folder) for cell in found.cells if cell.run is not None]
        else:
            folders = [store.folder(name)]
        for folder in folders:
            print(write_events(folder, to))
    return OK


@grid_app.command
def estimate(grid: str, *, as_json: Json = False) -> int:
    """Time two steps of each row on this machine, so that the grid can say how long it will take."""
    time_steps(grid)
    return show(grid, as_json=as_json)


def time_steps(grid_id: str) -> None:
    """Notes with a grid what its cells would take."""
    from attnlab.training.device import prepare_process

    prepare_process()  # as the worker does, whose speed is to be told
    timed = estimated(load_grid(paths.home(), grid_id), lambda row: print(f"timing {row}", file=sys.stderr, flush=True))
    save_grid(paths.home(), replace(load_grid(paths.home(), grid_id), estimates=timed.estimates))


def run_grid(grid: Grid, *, executor: str | None = None, as_json: bool) -> int:
    """Starts a grid and waits for it."""
    from attnlab.experiments.grid_queue import hold_grid, start_grid
    from attnlab.experiments.managers import get_manager, shutdown_all

    choose_executor(executor)
    manager = get_manager()
    if not manager.owns_queue:
        print(manager.queue_owner, file=sys.stderr)
    try:
        start_grid(manager, grid)
        grid = _watch(manager, grid)
    except KeyboardInterrupt:
        print("\npausing; the runs at work write a checkpoint", file=sys.stderr)
        grid = hold_grid(manager, grid.grid_id, GridState.PAUSED)
        _settle(manager)
    finally:
        found = progress(grid, manager.runs())
        shutdown_all()
    report(grid, found, as_json=as_json)
    if grid.state is not GridState.DONE:
        print(f"{grid.state}; go on with: python -m attnlab grid run {grid.grid_id}", file=sys.stderr)
        return STOPPED
    return OK if found.finished == len(found.cells) else WRONG


def _watch(manager: Manager, grid: Grid) -> Grid:
    """Says on stderr what ended, until nothing of the grid is wanted any more. Returns the grid as it then is."""
    told: set[str] = set()
    while True:
        grid = load_grid(paths.home(), grid.grid_id)
        found = progress(grid, manager.runs())
        for cell in found.cells:
            if cell.run is not None and cell.state in ("finished", "failed") and cell.run.run_id not in told:
                told.add(cell.run.run_id)
                accuracy = cell.run.test_accuracy
                what = f"{accuracy:.1%}" if accuracy is not None else cell.run.reason
                left = "" if found.left_seconds is None else f", about {found.left_seconds / 60:.1f} min left"
                print(f"{found.finished}/{len(found.cells)}  {cell.row}, seed {cell.seed}: {what}{left}", file=sys.stderr)
        if grid.state is not GridState.ACTIVE:
            return grid
        time.sleep(_LOOK_SECONDS)


def _settle(manager: Manager, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while manager.owns_queue and manager.live() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _hold(grid: str, state: Literal["paused", "stopped"]) -> int:
    from attnlab.experiments.grid_queue import hold_grid
    from attnlab.experiments.managers import get_manager, shutdown_all

    hold_grid(get_manager(), grid, GridState(state))
    shutdown_all()
    return OK


def report(grid: Grid, found: Progress, *, as_json: bool) -> None:
    """The matrix and the table."""
    from attnlab.experiments.exports import footnotes, table_markdown
    from attnlab.experiments.grid_table import grid_table

    table, notes = grid_table(grid, found), footnotes(found)
    if as_json:
        cells = [
            {
                "row": cell.row,
                "seed": cell.seed,
                "state": cell.state,
                "run_id": cell.run.run_id if cell.run else None,
                "test_accuracy": cell.run.test_accuracy if cell.run else None,
            }
            for cell in found.cells
        ]
        rows = json.loads(table.to_json(orient="records"))
        told = {"grid_id": grid.grid_id, "state": str(grid.state), "left_seconds": found.left_seconds, "rows": rows}
        print(json.dumps(told | {"cells": cells, "notes": notes}, indent=1))
        return
    marks = {"finished": "#", "failed": "x", "waiting": ".", "queued": ".", "running": ">", "starting": ">"}
    width = max(len(row.label) for row in grid.rows)
    for row in grid.rows:
        states = (cell.state for cell in found.cells if cell.row == row.label)
        print(f"{row.label:<{width}}  {''.join(marks.get(state, '-') for state in states)}")
    print()
    print(table_markdown(table, notes), end="")
    if found.left_seconds:
        print(f"\nabout {found.left_seconds / 60:.1f} min of training left, one run after the other")


def _choice(text: str) -> tuple[str, list[Any]]:
    """``attention=none,eca`` -> ("model__attention", ["none", "eca"])."""
    name, equals, values = text.partition("=")
    known = {setting.name: setting for setting in settings()}
    if not equals or name not in known or known[name].mapping:
        offered = ", ".join(name for name, setting in known.items() if not setting.mapping)
        raise ValueError(f"--vary {text}: expected setting=value,value with one of the settings {offered}")
    return known[name].keyword, [_value(value) for value in values.split(",")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def records() -> list[Any]:
    """The runs of the home, as their folders stand."""
    index = Index(None, write=True)
    for folder in run_folders(paths.runs_dir()):
        try:
            index.refresh(folder)
        except FolderError:
            continue  # the app says what is wrong with it
    records = [to_record(row, paths.runs_dir() / row["run_id"], demo=False) for row in index.rows()]
    index.close()
    return records


def _tell(tree: dict[str, Any], text: str, as_json: bool) -> int:
    print(json.dumps(tree, indent=1) if as_json else text)
    return OK
