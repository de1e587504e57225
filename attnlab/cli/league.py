"""``attnlab league``: every variant in the same network with the same seeds, against the plain network and a neutral control.

It goes through the queue as a grid does: Ctrl-C pauses it, and the same command continues it. A run that was trained before is
not trained again.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from attnlab import paths
from attnlab.cli.common import (
    OK,
    STOPPED,
    WRONG,
    Executor,
    Json,
    Names,
    TimeBudget,
    choose_executor,
    print_json,
    read_given,
    write_text,
)
from attnlab.cli.grid import fit, records, time_steps, train_grid
from attnlab.config import Placement, RunConfig
from attnlab.desk.measuring import measure_league
from attnlab.experiments.grid import GridState, first_seeds, load_grid, progress, save_grid
from attnlab.experiments.league import (
    SEEDS,
    Controls,
    League,
    epochs_before,
    extended,
    league_json,
    leagues,
    networks,
    plan_league,
    trained,
    with_controls,
)

if TYPE_CHECKING:
    from attnlab.experiments.grid import Grid


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The plain network of a league, and its training.

    Attributes:
        dataset: a data set, or the path of a folder or archive.
        backbone: a network that takes variants.
        placement: where the attention sits in each block.
        width: channels of the first block.
        image_size: side in pixels; without it, the data set's own.
        subset: images for training and validation.
        test_subset: test images.
        epochs: passes over the training images.
        batch_size: images per training step.
    """

    dataset: str = "digits"
    backbone: str = "small_cnn"
    placement: Placement = "block_end"
    width: int = 8
    image_size: int | None = None
    subset: int = 4000
    test_subset: int = 1000
    epochs: int = 8
    batch_size: int = 32


def league(
    *,
    settings: Annotated[Settings | None, Parameter(name="*")] = None,
    variants: Names = None,
    controls: Controls = "all",
    seeds: int = SEEDS,
    config: Path | None = None,
    time_budget: TimeBudget = None,
    estimate: bool = False,
    run: bool = True,
    measure: bool = True,
    export: Path | None = None,
    executor: Executor = None,
    as_json: Json = False,
) -> int:
    """Compare every attention variant with the plain network and with a control whose weights are fixed.

    All are trained with the same network, data, epochs and seeds. Then costs are measured side by side on this machine, and
    what the maps find, where the images have outlines. The same command continues a paused league, and adds variants that were
    registered since.

    Parameters
    ----------
    variants
        only these variants or compositions (default: all that are registered, those of plug-ins too)
    controls
        which variants get a control, which doubles their runs; differing: those that differ from the plain network
    seeds
        runs per row, with seeds from 0
    config
        the plain network and its training (config.json of a run), in place of the settings below
    estimate
        first time a few steps of each row, to estimate how long the league will take
    run
        train what is missing and wait for it; with --no-run it is only made, and what there is is shown
    measure
        measure costs and maps once all runs have ended
    export
        write the league with its results to this file, as it can be shipped
    """
    choose_executor(executor)
    base = _base(settings or Settings(), config)
    if time_budget is not None and (before := epochs_before(paths.home(), base)) is not None:
        base = base.changed(training__epochs=before)
        print(f"{before} epochs, as in this league before", file=sys.stderr)
        time_budget = None
    grid, refused = plan_league(base, variants=variants or (), seeds=first_seeds(seeds), controls=controls)
    for name, why in refused.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    if time_budget is not None:
        grid = fit(grid, time_budget)
    key = grid.rows[0].config.group
    grid = extended(paths.home(), grid)
    save_grid(paths.home(), grid)
    if estimate and time_budget is None:
        time_steps(grid.grid_id)
        grid = load_grid(paths.home(), grid.grid_id)
    if run:
        grid = _trained(grid, key, only_differing=controls == "differing")
        if grid.state is not GridState.DONE:
            print(f"{grid.state}; the same command continues it", file=sys.stderr)
            return STOPPED
    found = _league(key)
    if run and measure and found.progress.finished:
        found = _measured(found)
    _tell(found, refused, as_json=as_json)
    if export is not None:
        write_text(league_json(found) + "\n", export)
    return OK if not run or found.progress.finished == len(found.progress.cells) else WRONG


def _base(settings: Settings, config: Path | None) -> RunConfig:
    """The plain network.

    Raises:
        ValueError: where settings are given twice, or cannot be.
    """
    from attnlab.training.presets import league as preset

    if config is None:
        about = vars(settings).copy()
        return preset(about.pop("dataset"), **about)
    if settings != Settings():
        raise ValueError("--config has all settings of the network and its training, so no other setting can be given with it")
    return RunConfig.from_json(read_given(config))


def _trained(grid: Grid, key: str, *, only_differing: bool) -> Grid:
    """The grid after its runs, and those of the controls that are wanted then."""
    from attnlab.experiments.groups import Verdict
    from attnlab.experiments.league_table import league_rows

    if not progress(grid, records()).done or grid.state is GridState.ACTIVE:
        grid, _ = train_grid(grid)
    if only_differing and grid.state is GridState.DONE:
        differing = (Verdict.BETTER, Verdict.WORSE)
        names = [row.name for row in league_rows(_league(key)) if row.against_plain and row.against_plain.verdict in differing]
        wider = with_controls(grid, names)
        if wider.rows != grid.rows:
            grid, _ = train_grid(wider)
    return grid


def _league(key: str) -> League:
    return next(each for each in leagues(paths.home(), records()) if each.key == key)


def _measured(found: League) -> League:
    """The league with its costs and maps, measured now unless all of them are known."""
    known, weights = found.measured, trained(found)
    if networks(found).keys() <= known.costs.keys() and all(known.map_of(group) for group in weights):
        return found

    def tell(done: int, total: int) -> None:
        print(f"measuring: {done} of {total}", file=sys.stderr, flush=True)

    return measure_league(paths.home(), found, tell)


def _tell(found: League, refused: dict[str, str], *, as_json: bool) -> None:
    """Prints the table, what it shows, and with which power."""
    from attnlab.experiments.exports import footnotes
    from attnlab.experiments.league_table import (
        front_words,
        league_markdown,
        league_rows,
        league_table,
        outcome_words,
        power,
        power_in_words,
    )

    rows = league_rows(found)
    table = league_table(rows, refused)
    sentences = []
    for of in ("plain", "control"):
        sentences.append(outcome_words(rows, of=of))
        if (told := power(rows, of=of, plain=found.plain)) is not None:
            sentences.append(power_in_words(told, of=of))
    sentences.append(front_words(rows, "parameters"))
    if as_json:
        tree: dict[str, Any] = {"league": found.key, "title": found.title, "rows": json.loads(table.to_json(orient="records"))}
        print_json(tree | {"sentences": sentences, "notes": footnotes(found.progress), "refused": refused})
        return
    print(f"{found.title}\n\n{league_markdown(table)}\n" + "\n".join(sentences) + "\n")
    print("\n".join(footnotes(found.progress)))
