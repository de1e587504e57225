"""``python -m attnlab grid ...`` and ``python -m attnlab reproduce table1``: many runs as one item of the queue.

Where an app keeps the queue of the home, a grid is handed to it and watched from here; otherwise this process keeps the
queue as long as it takes. Ctrl-C pauses the grid; ``grid run`` goes on with it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from attnlab import paths
from attnlab.cli_open import Json
from attnlab.config import RunConfig
from attnlab.runs import reproduce
from attnlab.runs.files import FolderError
from attnlab.runs.folder import run_folders
from attnlab.runs.grid import (
    Grid,
    GridState,
    Progress,
    continued,
    cross,
    list_grids,
    load_grid,
    make_grid,
    progress,
    remove_grid,
    save_grid,
)
from attnlab.runs.index import Index, to_record
from attnlab.runs.options import settings
from attnlab.runs.reproduce import Scale

if TYPE_CHECKING:
    from attnlab.runs.manager import Manager

Format = Literal["csv", "runs", "markdown", "latex", "json"]
Names = Annotated[list[str] | None, Parameter(negative="", consume_multiple=True)]
OK, WRONG, STOPPED = 0, 2, 130
_LOOK_SECONDS = 0.5

grid_app = App(name="grid", help="Grids: many configurations with the same seeds, as one item of the queue.")
reproduce_app = App(name="reproduce", help="The report's Table 1, and what each departure of its code costs.")


@grid_app.command
def new(
    title: str,
    *,
    vary: Names = None,
    seeds: int = 3,
    config: Path | None = None,
    run: bool = False,
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
        return _run(made, as_json=as_json)
    return _tell({"grid_id": made.grid_id, "cells": len(made.wanted)}, f"{made.grid_id}: {len(made.wanted)} runs", as_json)


@grid_app.command(name="list")
def list_(*, as_json: Json = False) -> int:
    """List the grids, newest first."""
    records = _records()
    rows = []
    for each in list_grids(paths.home()):
        found = progress(each, records)
        about: dict[str, Any] = {"grid_id": each.grid_id, "title": each.title, "state": str(each.state)}
        rows.append(about | {"finished": found.finished, "cells": len(found.cells), "failed": found.count("failed")})
    text = "\n".join(f"{row['grid_id']}  {row['state']}  {row['finished']}/{row['cells']}  {row['title']}" for row in rows)
    return _tell({"grids": rows}, text or "no grids", as_json)


@grid_app.command
def show(grid: str, *, as_json: Json = False) -> int:
    """Show a grid: its matrix, its table, and how long the rest may take."""
    found = load_grid(paths.home(), grid)
    _report(found, progress(found, _records()), as_json=as_json)
    return OK


@grid_app.command(name="run")
def run_(grid: str, *, as_json: Json = False) -> int:
    """Start a grid, or go on with it, and wait until it is done. Failed cells are tried again."""
    return _run(load_grid(paths.home(), grid), as_json=as_json)


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
    from attnlab.runs import exports
    from attnlab.runs.grid_table import grid_table

    chosen = load_grid(paths.home(), grid)
    found = progress(chosen, _records())
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
    from attnlab.runs.exports import import_grid

    made, count = import_grid(paths.home(), file.read_bytes(), _records())
    return _tell({"grid_id": made.grid_id, "runs": count}, f"{made.grid_id}: {count} runs", as_json)


@grid_app.command
def tensorboard(*runs: str, to: Path) -> int:
    """Write runs as TensorBoard event files below a folder: tensorboard --logdir TO.

    Parameters
    ----------
    runs
        their ids
    """
    from attnlab.runs.exports import write_tensorboard
    from attnlab.runs.store import Store

    store = Store(paths.home(), write=False)
    for run_id in runs:
        print(write_tensorboard(store.folder(run_id), to))
    return OK


@reproduce_app.command
def table1(
    *,
    protocol: reproduce.Protocol = "published",
    rows: Names = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    estimate: bool = False,
    run: bool = True,
    as_json: Json = False,
) -> int:
    """Train the rows of the report's Table 1. Without options: all of it, on CIFAR-10, nine rows with 16 seeds.

    Parameters
    ----------
    protocol
        as the published code does, or as the report's text describes
    rows
        some of the rows, by label or attention
    seeds
        runs of each row, with seeds from 0 on
    estimate
        time two steps of each row first
    run
        start it and wait for it; otherwise it is only made
    """
    made = reproduce.table1(protocol, rows=rows or (), seeds=seeds, scale=scale)
    return _reproduce(made, estimate=estimate, run=run, as_json=as_json)


@reproduce_app.command
def finding(
    *,
    departures: Annotated[list[int] | None, Parameter(negative="", consume_multiple=True)] = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    estimate: bool = False,
    run: bool = True,
    as_json: Json = False,
) -> int:
    """Train each departure of the report's published code from its text on and off.

    Parameters
    ----------
    departures
        some of the seven, by number
    seeds
        runs of each row, with seeds from 0 on
    estimate
        time two steps of each row first
    run
        start it and wait for it; otherwise it is only made
    """
    made = reproduce.finding(departures=departures or (), seeds=seeds, scale=scale)
    return _reproduce(made, estimate=estimate, run=run, as_json=as_json)


def _reproduce(made: Grid, *, estimate: bool, run: bool, as_json: bool) -> int:
    made = continued(paths.home(), made)
    if estimate:
        made = reproduce.estimated(made, lambda row: print(f"timing {row}", file=sys.stderr))
    save_grid(paths.home(), made)
    if run:
        return _run(made, as_json=as_json)
    _report(made, progress(made, _records()), as_json=as_json)
    return OK


def _run(grid: Grid, *, as_json: bool) -> int:
    """Starts a grid and waits for it."""
    from attnlab.runs.grid_queue import hold_grid, start_grid
    from attnlab.runs.manager import get_manager, shutdown_all

    manager = get_manager()
    if not manager.keeps_queue:
        print(manager.keeper, file=sys.stderr)
    try:
        start_grid(manager, grid)
        _watch(manager, grid)
        state = load_grid(paths.home(), grid.grid_id).state
    except KeyboardInterrupt:
        print("\npausing; the runs at work write a checkpoint", file=sys.stderr)
        hold_grid(manager, grid.grid_id, GridState.PAUSED)
        state = GridState.PAUSED
        _settle(manager)
    finally:
        found = progress(grid, manager.runs())
        shutdown_all()
    _report(grid, found, as_json=as_json)
    if state is not GridState.DONE:
        print(f"{state}; go on with: python -m attnlab grid run {grid.grid_id}", file=sys.stderr)
        return STOPPED
    return OK if found.finished == len(found.cells) else WRONG


def _watch(manager: Manager, grid: Grid) -> None:
    """Says on stderr what ended, until nothing of the grid is wanted any more."""
    told: set[str] = set()
    while load_grid(paths.home(), grid.grid_id).state is GridState.ACTIVE:
        found = progress(grid, manager.runs())
        for cell in found.cells:
            if cell.run is not None and cell.state in ("finished", "failed") and cell.run.run_id not in told:
                told.add(cell.run.run_id)
                accuracy = cell.run.test_accuracy
                what = f"{accuracy:.1%}" if accuracy is not None else cell.run.reason
                left = "" if found.left_seconds is None else f", about {found.left_seconds / 60:.1f} min left"
                print(f"{found.finished}/{len(found.cells)}  {cell.row}, seed {cell.seed}: {what}{left}", file=sys.stderr)
        time.sleep(_LOOK_SECONDS)


def _settle(manager: Manager, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while manager.keeps_queue and manager.live() and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)


def _hold(grid: str, state: Literal["paused", "stopped"]) -> int:
    from attnlab.runs.grid_queue import hold_grid
    from attnlab.runs.manager import get_manager, shutdown_all

    hold_grid(get_manager(), grid, GridState(state))
    shutdown_all()
    return OK


def _report(grid: Grid, found: Progress, *, as_json: bool) -> None:
    """The matrix and the table."""
    from attnlab.runs.exports import footnotes, table_markdown
    from attnlab.runs.grid_table import grid_table

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


def _records() -> list[Any]:
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
