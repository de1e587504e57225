"""``python -m attnlab reproduce table1`` and ``reproduce departures``: the report's experiment as grids, at any scale."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from attnlab import paths
from attnlab.cli.grid import OK, Names, records, report, run_grid, time_steps
from attnlab.cli.open import Json
from attnlab.cli.queue import Executor
from attnlab.experiments import reproduce
from attnlab.experiments.grid import Grid, continued, load_grid, progress, save_grid
from attnlab.experiments.reproduce import Scale

reproduce_app = App(name="reproduce", help="The report's Table 1, and what each departure of its code costs.")


@reproduce_app.command
def table1(
    *,
    protocol: reproduce.Protocol = "published",
    rows: Names = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    estimate: bool = False,
    run: bool = True,
    executor: Executor = None,
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
    return _reproduce(made, estimate=estimate, run=run, executor=executor, as_json=as_json)


@reproduce_app.command
def departures(
    *,
    departures: Annotated[list[int] | None, Parameter(negative="", consume_multiple=True)] = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    estimate: bool = False,
    run: bool = True,
    executor: Executor = None,
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
    made = reproduce.departure_grid(departures=departures or (), seeds=seeds, scale=scale)
    return _reproduce(made, estimate=estimate, run=run, executor=executor, as_json=as_json)


reproduce_app.command(departures, name="finding", show=False)  # its name in the first version


def _reproduce(made: Grid, *, estimate: bool, run: bool, executor: str | None, as_json: bool) -> int:
    made = continued(paths.home(), made)
    save_grid(paths.home(), made)
    if estimate:
        time_steps(made.grid_id)
        made = load_grid(paths.home(), made.grid_id)
    if run:
        return run_grid(made, executor=executor, as_json=as_json)
    report(made, progress(made, records()), as_json=as_json)
    return OK
