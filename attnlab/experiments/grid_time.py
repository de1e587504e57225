"""How long a grid takes on this machine, and how many epochs of it end within a time.

All rows get the same number of epochs, since otherwise they could not be compared. So each row is timed on a worker, and
the number is the largest with which all runs of the grid, one after the other, end in time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from attnlab.experiments.grid import Grid, GridError
from attnlab.queue.executors.base import Executor
from attnlab.queue.plan import measure_beside, speed_of
from attnlab.training.budget import Speed, TooShort, duration, epochs_that_fit, needed

_SECONDS = 0.7
"""How long the steps of a row are timed: a grid has many rows."""


def row_speeds(
    grid: Grid,
    executor: Executor,
    home: Path,
    *,
    fresh: bool = False,
    tell: Callable[[str, float], None] = lambda row, done: None,
) -> dict[str, Speed]:
    """Row label -> what a run of the row costs on a worker.

    Args:
        fresh: measure also what was measured a short while ago.
        tell: called with the label of the row that is timed, and how many rows are done, in [0, 1].

    Raises:
        RunRefused: when the runs of a row could not be trained.
    """
    speeds = {}
    for number, row in enumerate(grid.rows):

        def tell_row(words: str, done: float, label: str = row.label, number: int = number) -> None:
            tell(label, (number + done) / len(grid.rows))

        tell_row("", 0.0)
        measure = measure_beside(executor, 0, seconds=_SECONDS)
        speeds[row.label] = speed_of(row.config, home=home, measure=measure, fresh=fresh, tell=tell_row)
    return speeds


def with_estimates(grid: Grid, speeds: Mapping[str, Speed]) -> Grid:
    """The grid with the seconds that a run of each row takes."""
    return replace(grid, estimates={row.label: speeds[row.label].seconds(row.config.training.epochs) for row in grid.rows})


def fitted(grid: Grid, speeds: Mapping[str, Speed], seconds: float, *, spent: float = 0.0) -> Grid:
    """The grid with as many epochs as end in time, at most those it has.

    Args:
        seconds: for the whole grid.
        spent: what is gone of them.

    Raises:
        TooShort: when not one epoch fits.
        GridError: when the rows differ in their number of epochs.
    """
    check_epochs(grid)
    one_seed = [speeds[row.label] for row in grid.rows]
    epochs = epochs_that_fit(one_seed * len(grid.seeds), seconds - spent, max(_epochs(grid)))
    if not epochs:
        raise TooShort(_too_short(grid, one_seed, seconds, spent))
    rows = tuple(replace(row, config=row.config.changed(training__epochs=epochs)) for row in grid.rows)
    return with_estimates(replace(grid, rows=rows), speeds)


def check_epochs(grid: Grid) -> None:
    """
    Raises:
        GridError: when the rows differ in their number of epochs, so that none can be chosen for all.
    """
    if len(epochs := _epochs(grid)) > 1:
        several = ", ".join(map(str, sorted(epochs)))
        raise GridError(f"the rows of this grid differ in their number of epochs ({several}), so it cannot be fitted to a time")


def words(grid: Grid, seconds: float) -> str:
    """What `fitted` chose, as a sentence."""
    (epochs,) = _epochs(grid)
    count = len(grid.rows) * len(grid.seeds)
    each = f"{epochs} epoch{'s' if epochs != 1 else ''}"
    return f"{count} runs of {each} fit into {duration(seconds)} on this machine (about {duration(grid_seconds(grid))})."


def grid_seconds(grid: Grid) -> float:
    """What all runs of an estimated grid take, one after the other."""
    return sum((grid.estimates or {}).values()) * len(grid.seeds)


def _epochs(grid: Grid) -> set[int]:
    return {row.config.training.epochs for row in grid.rows}


def _too_short(grid: Grid, one_seed: list[Speed], seconds: float, spent: float) -> str:
    once = needed(one_seed, 1)
    total = once * len(grid.seeds) + spent
    advice = []
    if seeds := int(max(0.0, seconds - spent) / once):
        advice.append(f"use {seeds} seed{'s' if seeds > 1 else ''} instead of {len(grid.seeds)}")
    else:
        advice.append("use fewer rows or seeds")
    advice.append("use fewer training images (dataset.subset)")
    advice.append(f"allow {duration(math.ceil(total / 60) * 60)}")
    count = len(grid.rows) * len(grid.seeds)
    return (
        f"Not one epoch of all {count} runs fits into {duration(seconds)} on this machine: they would "
        f"take about {duration(total)}. To train, {', or '.join(advice)}."
    )
