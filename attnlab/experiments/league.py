"""The league: every variant in the same network, on the same data, with the same seeds and epochs, against two networks.

    plain     the network without attention: does the variant help at all?
    control   the variant with its weights fixed at neutral (`model.control`): is it the attention that helps, or what was
              built in with it? It has the same parameters, and before training the same values of them.

A league is a grid: each cell is a run, so none is trained twice. What belongs together is told by the plain network's settings
without the seed: all grids of a home that share them, and the league that is shipped with the project for them, are one table.
So a new variant is one more grid with its rows alone. `attnlab.experiments.league_table` says what the results show.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from attnlab import paths
from attnlab.config import ModelConfig, RunConfig, explain
from attnlab.experiments.exports import Exported, grid_json, read_grid
from attnlab.experiments.grid import (
    Grid,
    GridError,
    GridKind,
    GridRow,
    GridState,
    Progress,
    list_grids,
    make_grid,
    progress,
)
from attnlab.experiments.groups import Group
from attnlab.runs.folder import RunFolder
from attnlab.runs.measured import Measured, read_measured, write_measured
from attnlab.runs.naming import PLAIN, dataset_name
from attnlab.runs.records import RunRecord, RunState

Controls = Literal["all", "none", "differing"]
"""Which variants get a control: all, none, or those whose difference from the plain network is significant."""
SEEDS = 4
KEY = "league"
"""Where an exported league keeps what was measured of it."""


@dataclass(frozen=True, eq=False)
class League:
    """One table.

    Attributes:
        base: the plain network, with seed 0.
        grid: all rows and seeds, of whichever grids they come from; not on disk itself.
        progress: of these, with the runs of this home before those that were shipped.
        own: the grids of this home that belong to it, newest first.
        shipped: the league that came with the project, where there is one with these settings.
        measured: costs and maps.
    """

    base: RunConfig
    grid: Grid
    progress: Progress
    own: tuple[Grid, ...]
    shipped: Exported | None
    measured: Measured

    @property
    def key(self) -> str:
        """Names the league: the group of the plain network."""
        return self.base.group

    @property
    def title(self) -> str:
        """Data, network and budget, in words."""
        dataset, model = self.base.dataset, self.base.model
        images = "all images" if dataset.subset is None else f"{dataset.subset:,} images"
        epochs = self.base.training.epochs
        parts = (
            dataset_name(self.base),
            model.backbone,
            model.placement.replace("_", " "),
            f"width {model.width}" if model.width else "",
            images,
            f"{epochs} epoch{'s' if epochs != 1 else ''}",
        )
        return " · ".join(part for part in parts if part)

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Group key -> the runs of each row."""
        runs: dict[str, list[RunRecord]] = {}
        for cell in self.progress.cells:
            found = runs.setdefault(cell.row, [])
            if cell.run is not None:
                found.append(cell.run)
        groups = (Group(row.config.group, row.config, tuple(runs.get(row.label, ()))) for row in self.grid.rows)
        return {group.key: group for group in groups}

    @property
    def plain(self) -> Group:
        return self.groups[self.key]

    @property
    def variants(self) -> dict[str, Group]:
        """Variant or composition -> its runs, in the order of the rows."""
        return {
            group.config.model.attention: group
            for group in self.groups.values()
            if group.key != self.key and group.config.model.control == "none"
        }

    def control_of(self, group: Group) -> Group | None:
        """The control of a variant, where it is a row."""
        return self.groups.get(control(group.config).group)

    @property
    def state(self) -> GridState:
        """What is wanted of it: active as long as one of its grids is."""
        if any(grid.state is GridState.ACTIVE for grid in self.own):
            return GridState.ACTIVE
        return self.own[0].state if self.own else GridState.DONE


def control(config: RunConfig) -> RunConfig:
    """The neutral control of a variant."""
    return config.changed(model__control="neutral")


def variant_config(base: RunConfig, variant: str) -> RunConfig:
    """The plain network with a variant, whose options are those of a new run.

    Raises:
        ValueError: for an unknown variant.
    """
    from attnlab.attention import options_of_a_new_run

    return base.changed(model__attention=variant, model__attention_options=options_of_a_new_run(variant))


def every_variant() -> list[str]:
    """The registered variants, those of plug-ins too."""
    from attnlab.attention import list_attention

    return list(list_attention())


def refusals(base: RunConfig, variants: Iterable[str]) -> dict[str, str]:
    """Variant -> why it cannot work in this network at this size, of those that cannot. Nothing is trained.

    Raises:
        ValueError: when the network takes no variants, or not at this place; for an unknown variant.
    """
    import torch

    from attnlab.data import list_datasets
    from attnlab.models import ImageShape, build_model, check_placement
    from attnlab.training.presets import image_side

    check_placement(base.model.backbone, base.model.placement)
    known, side = list_datasets().get(base.dataset.name), image_side(base.dataset)
    if side is None:
        return {}  # nobody can say before the images are read; a run that cannot be trained says why
    channels, classes = (known.channels, len(known.class_names)) if known else (3, 2)
    found = {}
    for variant in variants:
        config = variant_config(base, variant)
        try:
            with torch.device("meta"):
                build_model(config.model, ImageShape(channels, side, side), classes)
        except ValueError as error:
            found[variant] = str(error)
        except Exception:  # a plug-in that cannot be built without numbers; its runs say whether it can with them
            continue
    return found


def plan_league(
    base: RunConfig,
    *,
    variants: Sequence[str] = (),
    seeds: Sequence[int] = range(SEEDS),
    controls: Controls = "all",
    with_plain: bool = True,
) -> tuple[Grid, dict[str, str]]:
    """The grid of a league, and the variants that are left out because they cannot work, with the reason.

    Args:
        base: the plain network.
        variants: or compositions; all that are registered when empty.
        with_plain: whether it has the row of the plain network; without it, it adds rows to a league.

    Raises:
        GridError: for no seed, the same twice, or no row.
        ValueError: for an unknown variant, or a network that takes none.
    """
    from attnlab.attention import NONE, split_composition

    plain = base.changed(seed=0, model__attention=NONE, model__attention_options={}, model__control="none")
    names = list(dict.fromkeys(variants)) or every_variant()
    for name in names:
        if not split_composition(name):
            raise GridError(f"{name!r} is the plain network, which is in every league")
    refused = refusals(plain, names)
    rows = [GridRow(PLAIN, plain)] if with_plain else []
    for name in names:
        if name in refused:
            continue
        config = variant_config(plain, name)
        rows.append(GridRow(name, config, against=PLAIN if with_plain else None))
        if controls == "all":
            rows.append(_control_row(rows[-1]))
    if not rows:
        raise GridError("no variant is left to train: " + "; ".join(refused.values()))
    return make_grid(rows, list(seeds), title=f"League on {dataset_name(plain)}", kind=GridKind.LEAGUE), refused


def _control_row(row: GridRow) -> GridRow:
    return GridRow(f"{row.label}, weights fixed", control(row.config), against=row.label)


def with_controls(grid: Grid, variants: Iterable[str]) -> Grid:
    """The grid with the controls of some of its variants as further rows."""
    known = {row.config.group for row in grid.rows}
    wanted = set(variants)
    added = [
        _control_row(row)
        for row in grid.rows
        if row.config.model.attention in wanted and control(row.config).group not in known
    ]
    return replace(grid, rows=(*grid.rows, *added))


def extended(home: Path, grid: Grid) -> Grid:
    """``grid`` joined to the one of the same league and the same owner in this home, where there is one."""
    for known in list_grids(home):
        if known.kind is GridKind.LEAGUE and known.owner == grid.owner and _plain_group(known) == _plain_group(grid):
            rows, seeds = _joined([known, grid])
            return replace(known, rows=rows, seeds=seeds, estimates={**(known.estimates or {}), **(grid.estimates or {})})
    return grid


def epochs_before(home: Path, base: RunConfig) -> int | None:
    """The epochs of a league of this home with these settings, whatever their number of epochs up to the given one is.

    So a league whose epochs were fitted to a time is continued with the same number.
    """
    for known in list_grids(home):
        epochs = known.rows[0].config.training.epochs
        same = known.kind is GridKind.LEAGUE and _plain_group(known) == base.changed(training__epochs=epochs).group
        if same and epochs <= base.training.epochs:
            return epochs
    return None


def _joined(grids: Sequence[Grid]) -> tuple[tuple[GridRow, ...], tuple[int, ...]]:
    """The rows of all grids, each configuration once, and their seeds."""
    rows = {row.config.group: row for grid in reversed(grids) for row in grid.rows}
    ordered = dict.fromkeys(row.config.group for grid in grids for row in grid.rows)
    labels: set[str] = set()
    distinct = []
    for group in ordered:
        row = rows[group]
        label = row.label if row.label not in labels else f"{row.label} ({group[-6:]})"
        labels.add(label)
        distinct.append(replace(row, label=label))
    return tuple(distinct), tuple(sorted({seed for grid in grids for seed in grid.seeds}))


# The leagues that there are


def leagues(home: Path, records: Iterable[RunRecord]) -> list[League]:
    """All leagues: those with grids in this home, newest first, then those that are only shipped.

    Args:
        records: runs of the home.

    Raises:
        GridError: when a shipped file was damaged.
    """
    runs = list(records)
    shipped = {_plain_group(each[0].grid): each for each in shipped_leagues()}
    own: dict[str, list[Grid]] = {}
    for grid in list_grids(home):
        if grid.kind is GridKind.LEAGUE:
            own.setdefault(_plain_group(grid), []).append(grid)
    return [_league(home, key, own.get(key, []), shipped.get(key), runs) for key in dict.fromkeys([*own, *shipped])]


def _league(
    home: Path, key: str, own: Sequence[Grid], told: tuple[Exported, Measured] | None, records: Sequence[RunRecord]
) -> League:
    shipped, older = told or (None, Measured())
    grids = [*([shipped.grid] if shipped else []), *sorted(own, key=lambda grid: grid.created)]
    rows, seeds = _joined(grids)
    base = _plain_config(grids[0])
    if key not in {row.config.group for row in rows}:
        rows = (GridRow(PLAIN, base), *rows)
    grid = replace(grids[0], rows=rows, seeds=seeds)
    finished = {record.config.config_hash for record in records if record.state is RunState.FINISHED}
    shown = [
        *records,
        *(record for record in (shipped.records if shipped else ()) if record.config.config_hash not in finished),
    ]
    measured = read_measured(measured_file(home, key)).with_older(older)
    return League(base, grid, progress(grid, shown), tuple(own), shipped, measured)


def _plain_config(grid: Grid) -> RunConfig:
    """The plain network of a league, by one of its rows."""
    return grid.rows[0].config.changed(seed=0, model__attention="none", model__attention_options={}, model__control="none")


def _plain_group(grid: Grid) -> str:
    return _plain_config(grid).group


def shipped_leagues() -> list[tuple[Exported, Measured]]:
    """The leagues that come with the project, in the order of the files' names.

    Raises:
        GridError: when a file was damaged.
    """
    return [_read(path, path.stat().st_mtime_ns) for path in sorted(paths.DEMO_LEAGUES.glob("*.json"))]


@lru_cache
def _read(path: Path, changed: int) -> tuple[Exported, Measured]:
    return read_league(path.read_bytes())


def measured_file(home: Path, key: str) -> Path:
    """Where the costs and maps of a league of a home are kept."""
    return home / "leagues" / f"{key}.json"


def save_measured(home: Path, league: League, measured: Measured) -> None:
    """Keeps what was measured, in place of what was measured before.

    Raises:
        OSError: when it cannot be written.
    """
    write_measured(measured_file(home, league.key), measured)


def networks(league: League) -> dict[str, ModelConfig]:
    """Group -> network of the plain network and of each variant: what is measured side by side. A control costs the same."""
    return {group.key: group.config.model for group in (league.plain, *league.variants.values())}


def trained(league: League) -> dict[str, dict[int, RunFolder]]:
    """Group -> seed -> the finished run, of the variants all of whose seeds were trained here, so that their maps are there."""
    found = {}
    for group in league.variants.values():
        folders = {run.config.seed: RunFolder(run.folder) for run in group.finished if RunFolder(run.folder).has_weights}
        if folders.keys() >= set(league.grid.seeds):
            found[group.key] = folders
    return found


def images_of(league: League) -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of the images, as the first run has recorded them; `None` before one has."""
    entries = league.shipped.entries if league.shipped else ()
    folders = (RunFolder(cell.run.folder).dataset_summary() for cell in league.progress.cells if cell.run is not None)
    for summary in (*(entry.get("dataset") for entry in entries[:1]), *folders):
        if summary:
            channels, height, width = summary["shape"]
            return (channels, height, width), len(summary["class_names"])
    return None


def league_json(league: League) -> str:
    """A league with its results and what was measured, as `shipped_leagues` reads it; `attnlab grid import` takes it too.

    A data set that is a path has its last part only, so that the file says nothing of the machine.
    """
    tree = json.loads(grid_json(league.grid, league.progress))
    groups = {}
    for entry in (*tree["grid"]["rows"], *tree["runs"]):
        group = RunConfig.model_validate(entry["config"]).group
        dataset = entry["config"]["dataset"]
        path = dataset["name"]
        dataset["name"] = re.split(r"[\\/]", path.rstrip("/\\"))[-1]
        groups[group] = RunConfig.model_validate(entry["config"]).group
        if entry.get("dataset"):
            entry["dataset"]["name"] = dataset["name"]
            provenance = entry["dataset"].get("provenance") or {}
            if path == provenance.get("source"):
                provenance["source"] = dataset["name"]
    text = league.measured.model_dump_json()
    for before, after in groups.items():
        text = text.replace(f'"{before}"', f'"{after}"')
    return json.dumps(tree | {KEY: json.loads(text)}, separators=(",", ":"), allow_nan=False)


def read_league(text: str | bytes) -> tuple[Exported, Measured]:
    """The league of a file that `league_json` wrote, and what was measured of it.

    Raises:
        GridError: when the text is anything else.
    """
    exported = read_grid(text)
    if exported.grid.kind is not GridKind.LEAGUE:
        raise GridError("the file is a grid, but no league; `attnlab league --export FILE` writes one")
    try:
        return exported, Measured.model_validate(json.loads(text).get(KEY, {}))
    except ValidationError as error:
        raise GridError(f"the file is not an exported league: {explain(error)}") from error
