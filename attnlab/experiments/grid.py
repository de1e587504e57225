"""A grid: rows of configurations, each run with the same seeds. One folder per grid, `home()/grids/<id>/grid.json`.

A cell of a grid is a run, identified by its configuration. The grid holds no results: they are in the runs' folders. So a
cell that was trained before is not trained again, and two grids share the cells that they have in common. The file says
which runs are wanted, and whether they are wanted now.

How a grid goes through the queue is written in `attnlab.experiments.grid_queue`.
"""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import cached_property
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from attnlab.config import RunConfig, explain
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
from attnlab.runs.records import RunRecord, RunState

FORMAT = 1
MOST_CELLS = 10_000
RETRIES = 3
"""How often a cell whose process died is started again before the grid leaves it and goes on."""

DEPARTURES_TITLE = "Departures, on and off"
_FORMER_KIND, _FORMER_TITLE = "finding", "The finding"  # of a grid of departures, in files of the first version


class GridKind(StrEnum):
    """What a grid was made for; decides what else is shown beside it."""

    GRID = "grid"
    TABLE1 = "table1"
    DEPARTURES = "departures"
    LEAGUE = "league"

    @classmethod
    def _missing_(cls, value: object) -> GridKind | None:
        return cls.DEPARTURES if value == _FORMER_KIND else None


class GridState(StrEnum):
    """What is wanted of a grid. `done`: it has nothing left to start."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    DONE = "done"


class GridError(ValueError):
    """A grid cannot be made, read or found."""


@dataclass(frozen=True)
class ReportedResult:
    """What a report says of a row.

    Attributes:
        accuracy: mean test accuracy in [0, 1].
        std: its standard deviation over the runs.
        parameters: of the network.
    """

    accuracy: float
    std: float
    parameters: float


@dataclass(frozen=True)
class GridRow:
    """One configuration of a grid.

    Attributes:
        label: as shown; no two rows of a grid share one.
        config: with any seed; each cell takes its own.
        reported: shown beside the results; `None` where no report has such a row.
        against: label of the row it is compared with. Where no row of a grid names one, all are compared with the first.
        departure: number of the departure that this row is without, see `attnlab.experiments.reproduce.DEPARTURES`.
    """

    label: str
    config: RunConfig
    reported: ReportedResult | None = None
    against: str | None = None
    departure: int | None = None

    def to_tree(self) -> dict[str, Any]:
        """JSON-ready; `from_tree` reads it back."""
        about: dict[str, Any] = {}
        if self.reported is not None:
            about |= {f"report_{name}": value for name, value in asdict(self.reported).items()}
        about |= {name: value for name in ("against", "departure") if (value := getattr(self, name)) is not None}
        return {"label": self.label, "about": about, "config": self.config.model_dump(mode="json")}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> GridRow:
        """
        Raises:
            KeyError, TypeError, ValueError: for a tree that is no row.
        """
        about = tree.get("about", {})
        reported = None
        if "report_accuracy" in about:
            reported = ReportedResult(*(float(about[f"report_{name}"]) for name in ("accuracy", "std", "parameters")))
        return cls(
            str(tree["label"]),
            RunConfig.model_validate(tree["config"]),
            reported,
            str(about["against"]) if "against" in about else None,
            int(about["departure"]) if "departure" in about else None,
        )


@dataclass(frozen=True)
class Grid:
    """Rows times seeds.

    Attributes:
        grid_id: name of its folder.
        title: as shown.
        kind: what it was made for.
        rows: in the order shown. seeds: one column each.
        state: what is wanted of it.
        created: seconds since the epoch.
        estimates: row label -> seconds a cell was expected to take before any had run; empty without an estimate.
        owner: of the grid and of its runs, see `RunRecord`.
    """

    grid_id: str
    title: str
    rows: tuple[GridRow, ...]
    seeds: tuple[int, ...]
    kind: GridKind = GridKind.GRID
    state: GridState = GridState.PAUSED
    created: float = 0.0
    estimates: Mapping[str, float] | None = None
    owner: str = ""

    @cached_property
    def cells(self) -> dict[tuple[str, int], RunConfig]:
        """(row label, seed) -> configuration, seeds of a row together."""
        return {(row.label, seed): row.config.changed(seed=seed) for row, seed in product(self.rows, self.seeds)}

    @cached_property
    def wanted(self) -> dict[str, RunConfig]:
        """Configuration hash -> configuration of every run wanted, each once, in the order in which they are started."""
        return {config.config_hash: config for config in self.cells.values()}

    def to_tree(self) -> dict[str, Any]:
        """JSON-ready; `from_tree` reads it back."""
        return {
            "format": FORMAT,
            "title": self.title,
            "kind": self.kind,
            "state": str(self.state),
            "created": self.created,
            "seeds": list(self.seeds),
            "estimates": dict(self.estimates or {}),
            "owner": self.owner,
            "rows": [row.to_tree() for row in self.rows],
        }

    @classmethod
    def from_tree(cls, grid_id: str, tree: Mapping[str, Any]) -> Grid:
        """
        Raises:
            GridError: for a tree that is no grid, saying what is wrong with it.
        """
        if tree.get("format") != FORMAT:
            raise GridError(f"{grid_id} has format {tree.get('format')!r}; this version reads grids of format {FORMAT}")
        try:
            rows = [GridRow.from_tree(row) for row in tree["rows"]]
            kind, title = GridKind(tree.get("kind", GridKind.GRID)), str(tree["title"])
            if kind is GridKind.DEPARTURES and title == _FORMER_TITLE:
                title = DEPARTURES_TITLE
            grid = make_grid(
                rows,
                [int(seed) for seed in tree["seeds"]],
                title=title,
                kind=kind,
                grid_id=grid_id,
                state=GridState(tree.get("state", "paused")),
                created=float(tree.get("created", 0.0)),
                estimates={str(label): float(seconds) for label, seconds in tree.get("estimates", {}).items()},
            )
            return replace(grid, owner=str(tree.get("owner", "")))
        except (KeyError, TypeError, AttributeError) as error:
            raise GridError(f"{grid_id} is no grid: {what_is_wrong(error)}") from error
        except ValueError as error:
            raise GridError(f"{grid_id} is no grid: {explain(error)}") from error


def what_is_wrong(error: KeyError | TypeError | AttributeError) -> str:
    """Why the tree of a grid could not be read, by the error that it made."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else "one of its parts is of the wrong kind"


def make_grid(
    rows: Sequence[GridRow],
    seeds: Sequence[int],
    *,
    title: str,
    kind: GridKind = GridKind.GRID,
    grid_id: str | None = None,
    state: GridState = GridState.PAUSED,
    created: float | None = None,
    estimates: Mapping[str, float] | None = None,
) -> Grid:
    """A grid that is not on disk yet.

    Raises:
        GridError: for no row or seed, repeated ones, or too many runs.
    """
    _check_count(len(rows), len(seeds))
    for what, values in (("row", [row.label for row in rows]), ("seed", [str(seed) for seed in seeds])):
        if not values:
            raise GridError(f"a grid needs at least one {what}")
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise GridError(f"a grid cannot have the same {what} twice: {', '.join(repeated)}")
    now = time.time() if created is None else created
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40] or "grid"
    stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    name = grid_id or f"{slug}-{stamp}-{secrets.token_hex(2)}"  # a class makes several in a second
    return Grid(name, title, tuple(rows), tuple(seeds), kind, state, now, dict(estimates or {}))


def first_seeds(count: int) -> range:
    """So many seeds, from 0.

    Raises:
        GridError: for a number that no grid can have.
    """
    if not 1 <= count <= MOST_CELLS:
        raise GridError(f"a grid has from 1 to {MOST_CELLS:,} seeds, not {count}")
    return range(count)


def _check_count(rows: int, seeds: int) -> None:
    if rows * seeds > MOST_CELLS:
        raise GridError(f"{rows:,} rows with {seeds:,} seeds are more than {MOST_CELLS:,} runs; make several grids")


def cross(base: RunConfig, choices: Mapping[str, Sequence[Any]]) -> list[GridRow]:
    """A row for each combination of values of settings: ``{"model__attention": ["none", "eca"], "training__lr": [0.1]}``.

    Raises:
        GridError: for too many combinations.
        ValueError: for a setting that does not exist, or a value it does not take.
    """
    _check_count(math.prod(map(len, choices.values())), 1)
    rows = []
    for values in product(*choices.values()):
        given = dict(zip(choices, values, strict=True))
        label = " · ".join(f"{path.rsplit('__', 1)[-1].replace('_', ' ')} {value}" for path, value in given.items()) or "base"
        rows.append(GridRow(label, base.changed(**given)))
    return rows


# On disk


def grids_dir(home: Path) -> Path:
    """Where the grids of a home are kept."""
    return home / "grids"


def save_grid(home: Path, grid: Grid) -> None:
    """Writes a grid, new or changed."""
    folder = grids_dir(home) / grid.grid_id
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "grid.json", grid.to_tree())


def load_grid(home: Path, grid_id: str) -> Grid:
    """
    Raises:
        GridError: when there is none of this name, or its file cannot be read.
    """
    known = Path(grid_id).name == grid_id and not grid_id.startswith(".")
    try:
        tree = read_json(grids_dir(home) / grid_id / "grid.json") if known else None
    except FolderError as error:
        raise GridError(str(error)) from error
    if tree is None:
        raise GridError(f"there is no grid {grid_id!r}; `attnlab grid list` lists them")
    return Grid.from_tree(grid_id, tree)


_read: dict[Path, tuple[int, Grid | None]] = {}


def list_grids(home: Path) -> list[Grid]:
    """All grids that can be read, newest first."""
    grids = []
    for path in sorted(grids_dir(home).glob("*/grid.json")):
        changed = path.stat().st_mtime_ns
        if _read.get(path, (0, None))[0] != changed:
            try:
                _read[path] = (changed, load_grid(home, path.parent.name))
            except GridError:  # `load_grid` says what is wrong with it
                _read[path] = (changed, None)
        if (grid := _read[path][1]) is not None:
            grids.append(grid)
    return sorted(grids, key=lambda grid: grid.created, reverse=True)


def continued(home: Path, grid: Grid) -> Grid:
    """``grid``, as the one of the same kind, title and cells that is on disk already, where there is one."""
    for known in list_grids(home):
        if (known.kind, known.title, known.wanted.keys()) == (grid.kind, grid.title, grid.wanted.keys()):
            estimates = grid.estimates or known.estimates
            return replace(grid, grid_id=known.grid_id, created=known.created, estimates=estimates, state=known.state)
    return grid


def remove_grid(home: Path, grid_id: str) -> None:
    """Deletes the grid. Its runs stay."""
    load_grid(home, grid_id)
    folder = grids_dir(home) / grid_id
    (folder / "grid.json").unlink()
    folder.rmdir()


# Its results


@dataclass(frozen=True)
class Cell:
    """One run of a grid: of its configuration the finished run, else the newest; `None` before there is one."""

    row: str
    seed: int
    config: RunConfig
    run: RunRecord | None

    @property
    def state(self) -> str:
        """That of the run, or "waiting" before there is one."""
        return "waiting" if self.run is None else str(self.run.state)


@dataclass(frozen=True)
class Progress:
    """How far a grid is.

    Attributes:
        cells: rows in order, and within a row by seed.
        left_seconds: estimated training time of what is not finished, one run after the other; `None` while unknown.
    """

    cells: tuple[Cell, ...]
    left_seconds: float | None

    def count(self, *states: str) -> int:
        return sum(cell.state in states for cell in self.cells)

    @property
    def done(self) -> bool:
        """Nothing is left that the grid would start."""
        return all(is_over(cell.run) for cell in self.cells)

    @property
    def finished(self) -> int:
        return self.count(RunState.FINISHED)


def best_runs(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """Configuration hash -> the run that counts: a finished one before a live one before any other, then the newest."""
    chosen: dict[str, RunRecord] = {}
    for record in records:
        key = record.config.config_hash
        if key not in chosen or _rank(record) > _rank(chosen[key]):
            chosen[key] = record
    return chosen


def progress(grid: Grid, records: Iterable[RunRecord]) -> Progress:
    """The state of each cell, and an estimate of how long the rest takes."""
    known = best_runs(records)
    cells = [Cell(row, seed, config, known.get(config.config_hash)) for (row, seed), config in grid.cells.items()]
    return Progress(tuple(cells), _left(grid, cells))


def _rank(record: RunRecord) -> tuple[int, float]:
    order = 2 if record.state is RunState.FINISHED else 1 if record.state.live else 0
    return order, record.created


def is_over(run: RunRecord | None) -> bool:
    """Whether a grid leaves a cell as it is: finished, failed, stopped by a person, or its process died too often."""
    if run is None or run.state.live:
        return False
    return run.state is not RunState.INTERRUPTED or run.attempt > RETRIES


def _left(grid: Grid, cells: Sequence[Cell]) -> float | None:
    """Seconds of training to come.

    For a row without a finished run: its estimate, corrected by how far the estimates of other rows were off, or else the
    mean of the others.
    """
    estimates = grid.estimates or {}
    finished: dict[str, list[float]] = {}
    for cell in cells:
        if cell.run is not None and cell.run.state is RunState.FINISHED and cell.run.seconds is not None:
            finished.setdefault(cell.row, []).append(cell.run.seconds)
    measured = {row: fmean(seconds) for row, seconds in finished.items()}
    ratios = [measured[row] / estimates[row] for row in measured if estimates.get(row)]
    correction = fmean(ratios) if ratios else 1.0
    left = 0.0
    for cell in cells:
        if is_over(cell.run):
            continue
        if cell.run is not None and cell.run.eta_seconds is not None:
            left += cell.run.eta_seconds
        elif cell.row in measured:
            left += measured[cell.row]
        elif cell.row in estimates:
            left += correction * estimates[cell.row]
        elif measured:
            left += fmean(measured.values())
        else:
            return None
    return left
