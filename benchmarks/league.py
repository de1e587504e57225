"""Writes docs/league.md: the shipped leagues, with the commands that train them again.

    attnlab league --export checkpoints/league/digits.json
    python -m benchmarks.league

The figures are those of the files in checkpoints/league.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import fmean

from attnlab import paths
from attnlab.experiments.grid import Progress
from attnlab.experiments.league import League, every_variant, leagues, refusals
from attnlab.experiments.league_table import (
    COSTS,
    LeagueRow,
    front_words,
    league_markdown,
    league_rows,
    league_table,
    ordered,
    outcome_words,
    power,
    power_in_words,
)
from attnlab.runs.measured import Measured
from attnlab.training.budget import duration

COMMANDS = {
    "digits": "attnlab league --export checkpoints/league/digits.json",
    "cifar10-jpeg.tar.xz": "attnlab league --dataset cifar10-jpeg.tar.xz --subset 5000 --test-subset 2000 --seeds 3 "
    "--export checkpoints/league/cifar.json",
}
"""Last part of the data set's name -> the command that trained it."""

TEXT = """# The league: every variant against the plain network and against its control

Written by `python -m benchmarks.league` from the files in `checkpoints/league`, which the page *League* shows.

All variants sit in the same place of the same network and are trained on the same images, with the same epochs and the same
seeds. Each is compared twice, paired by seed (Student's t-test), and p-values are corrected by Holm over the rows:

- with the **plain network**, which has no attention: does the variant help at all?
- with its **control**, the same variant with the same parameters, whose weights are fixed at neutral before the training: gates
  let everything pass, what would be gathered is not added, and branches or positions that must be weighed count alike. Before
  training both have the same numbers in all parameters. What beats the plain network and not its control is not helped by the
  attention itself, but by what was built in with it: more parameters, another convolution.

*No difference seen* is a result. It does not mean that there is no difference; the sentence on the power says which differences
would have been found.

**Costs** are measured side by side: in each of ten rounds every network once, in an order drawn anew; the first round does not
count, and times are medians. *Forward* is the time of the network in use, *backward* that of the backward pass in training,
both for one image in a batch. *KiB kept* are the activations that a training step keeps for its backward pass. Operations count
a multiplication and an addition as two.

**Maps**: where the images have outlines, the first seed chooses a map of each network on validation images, and the other seeds
test it on test images against the untrained network's map, the middle of the image and a random map, as in
[showcase.md](showcase.md).

{parts}

## Another league

    attnlab league --dataset photos.zip --backbone resnet_cifar --width 16 --epochs 20 --seeds 5
    attnlab league --variants eca cbam eca+cbam_spatial --controls none

The same command continues a league that was paused, and adds variants that were registered since: none of its runs is trained
twice. A variant from a plug-in takes one click on the page, *Put my variant into the table*.
"""


def part(league: League) -> str:
    """The section of one league."""
    rows = league_rows(league)
    refused = refusals(league.base, [name for name in every_variant() if name not in league.variants])
    lines = [f"## {league.title}", ""]
    command = COMMANDS.get(league.base.dataset.name)
    if command:
        lines += [f"    {command}", ""]
    lines += [_effort(rows, league.progress, league.measured), ""]
    for of in ("plain", "control"):
        lines += [outcome_words(rows, of=of), ""]
        if (found := power(rows, of=of, plain=league.plain)) is not None:
            lines += [power_in_words(found, of=of), ""]
    lines += [*(front_words(rows, unit) + "\n" for unit in COSTS if any(row.cost_in(unit) is not None for row in rows))]
    lines += [league_markdown(league_table(ordered(rows, "accuracy"), refused)), *_missing(rows, refused)]
    notes = league.shipped.notes if league.shipped else ()
    return "\n".join([*lines, *notes])


def _effort(rows: list[LeagueRow], progress: Progress, measured: Measured) -> str:
    """Runs and minutes of training, and where the costs were measured."""
    seconds = [cell.run.seconds for cell in progress.cells if cell.run is not None and cell.run.seconds is not None]
    words = f"{len(seconds)} of {len(progress.cells)} runs of {len(rows)} rows and their controls"
    if seconds:
        words += f": {duration(sum(seconds))} of training, {fmean(seconds):.0f} seconds a run"
    where = f" Costs on {measured.machine}, {measured.batch} images at once." if measured.costs else " Costs: not measured yet."
    return f"{words}.{where}"


def _missing(rows: list[LeagueRow], refused: dict[str, str]) -> list[str]:
    """What is not in the table, said so."""
    known = {row.name for row in rows if row.group.n} | refused.keys()
    missing = [name for name in dict.fromkeys([*(row.name for row in rows), *every_variant()]) if name not in known]
    return [f"Not trained yet: {', '.join(missing)}.\n"] if missing else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=paths.DOCS / "league.md")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        parts = [part(league) for league in leagues(Path(empty), [])]
    given.out.write_text(TEXT.format(parts="\n\n".join(parts) or "*No league is shipped yet.*"), encoding="utf-8")
    print(given.out)


if __name__ == "__main__":
    main()
