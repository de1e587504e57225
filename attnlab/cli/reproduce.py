"""``attnlab reproduce``: the report's experiment as grids, at any scale."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

from attnlab import paths
from attnlab.cli.common import Executor, Json, Names, TimeBudget, choose_executor
from attnlab.cli.grid import fit, records, report, run_grid, time_steps
from attnlab.experiments import reproduce
from attnlab.experiments.grid import Grid, continued, load_grid, progress, save_grid
from attnlab.experiments.reproduce import Scale

reproduce_app = App(name="reproduce", help="Reproduce the report's Table 1, and the effect of each departure of its code.")


@reproduce_app.command
def table1(
    *,
    protocol: reproduce.Protocol = "published",
    rows: Names = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    time_budget: TimeBudget = None,
    estimate: bool = False,
    run: bool = True,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Train the report's Table 1. By default at full scale: nine rows on CIFAR-10, 16 seeds each.

    Parameters
    ----------
    protocol
        published: as the report's code does; described: as its text says
    rows
        only these rows, by label or attention
    seeds
        runs per row, with seeds from 0
    estimate
        first time a few steps of each row, to estimate how long the grid will take
    run
        start the grid and wait for it; with --no-run it is only made
    """
    grid = reproduce.table1(protocol, rows=rows or (), seeds=seeds, scale=scale)
    return _reproduce(grid, time_budget=time_budget, estimate=estimate, run=run, executor=executor, as_json=as_json)


@reproduce_app.command
def departures(
    *,
    departures: Annotated[list[int] | None, Parameter(negative="", consume_multiple=True)] = None,
    seeds: int = reproduce.SEEDS,
    scale: Annotated[Scale | None, Parameter(name="*")] = None,
    time_budget: TimeBudget = None,
    estimate: bool = False,
    run: bool = True,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Train with and without each departure of the report's code from its text.

    Parameters
    ----------
    departures
        only these of the seven departures, by number
    seeds
        runs per row, with seeds from 0
    estimate
        first time a few steps of each row, to estimate how long the grid will take
    run
        start the grid and wait for it; with --no-run it is only made
    """
    grid = reproduce.departure_grid(departures=departures or (), seeds=seeds, scale=scale)
    return _reproduce(grid, time_budget=time_budget, estimate=estimate, run=run, executor=executor, as_json=as_json)


reproduce_app.command(departures, name="finding", show=False)  # its name in the first version


def _reproduce(grid: Grid, *, time_budget: str | None, estimate: bool, run: bool, executor: str | None, as_json: bool) -> int:
    choose_executor(executor)
    if time_budget is not None:
        grid = fit(grid, time_budget)
    grid = continued(paths.home(), grid)
    save_grid(paths.home(), grid)
    if estimate and time_budget is None:  # what was fitted has been timed
        time_steps(grid.grid_id)
        grid = load_grid(paths.home(), grid.grid_id)
    if run:
        return run_grid(grid, as_json=as_json)
    return report(grid, progress(grid, records()), as_json=as_json)
