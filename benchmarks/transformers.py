"""The maps of trained transformers against maps that need no attention. Writes the table of docs/transformers.md.

python -m benchmarks.transformers FOLDER ...      # runs of one setting, which differ in the seed; minutes for each

Measured are the heads of the last block and the maps that put all blocks together; each against the same map of the untrained
network, a random map of the same grid, the centre prior and Grad-CAM, as `attnlab honesty` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from attnlab import paths
from attnlab.data import load_dataset
from attnlab.explain.baselines import BASELINES, spatial_taps
from attnlab.explain.honesty.comparison import CEILING, MAP, MEASURES, title_of
from attnlab.explain.honesty.measure import Honesty, measure_honesty
from attnlab.explain.open_run import open_run
from attnlab.explain.token_maps import TOKEN_MAPS
from attnlab.maps import tap_of, tap_titles
from attnlab.runs.folder import RunFolder

TARGET = paths.ROOT / "docs" / "transformers.md"
BEGIN, END = "<!-- table of benchmarks.transformers -->\n", "<!-- end of the table -->\n"
SHOWN = ("pointing", "overlap", "deletion", "insertion")
SAID = ("untrained", "random", "centre_prior")
SHARED = ("centre_prior", "grad_cam")


def measured(folder: Path, count: int) -> tuple[Honesty, ...]:
    """The maps of one run."""
    run = open_run(folder)
    taps = spatial_taps(run)
    last = [tap for tap in taps if tap_of(tap) == tap_of(taps[-1])]
    split = load_dataset(run.config.dataset).test
    return measure_honesty(run, split, taps=[*last, *TOKEN_MAPS], count=count, baselines=[*SAID, "grad_cam"])


def table(runs: Sequence[Sequence[Honesty]]) -> str:
    """A row for each map, with the figures of each run, and rows for what is the same for all maps of a run."""
    heads = [f"{MEASURES[name].title} {'↑' if MEASURES[name].higher else '↓'}" for name in SHOWN]
    lines = [f"| map | {' | '.join(heads)} | locates the object better than |", "|---" * (len(SHOWN) + 2) + "|"]
    maps = list(zip(*runs, strict=True))
    titles = tap_titles([seeds[0].tap for seeds in maps])
    for seeds in maps:
        tap = seeds[0].tap
        title = TOKEN_MAPS[tap].title if tap in TOKEN_MAPS else titles[tap]
        lines.append(f"| **{title}** | {figures(seeds, MAP)} | {better(seeds)} |")
        lines.append(f"| the same, untrained | {figures(seeds, 'untrained')} | |")
    lines.append(f"| {title_of('random')} | {figures(maps[0], 'random')} | |")
    lines += [f"| {title_of(name)} | {figures(maps[0], name)} | |" for name in SHARED]
    lines.append(f"| {title_of(CEILING)} | {figures(maps[0], CEILING)} | |")
    return "\n".join(lines) + "\n"


def figures(seeds: Sequence[Honesty], name: str) -> str:
    """The means of all runs, measure by measure."""
    means = [[each.summary(measure, name) for each in seeds] for measure in SHOWN]
    return " | ".join(", ".join("–" if mean is None else f"{mean.value:.2f}" for mean in of_runs) for of_runs in means)


def better(seeds: Sequence[Honesty]) -> str:
    """Against what the map locates the object better, and against what less well, in how many of the runs."""
    said = []
    for name in SAID:
        verdicts = [each.verdict for seed in seeds for each in seed.comparisons("overlap") if each.baseline == name]
        counts = [("", verdicts.count(True)), ("less well than ", verdicts.count(False))]
        for word, count in counts:
            if count:
                said.append(f"{word}{BASELINES[name].phrase}" + ("" if count == len(seeds) else f" ({count} of {len(seeds)})"))
    return ", ".join(said) or "none of them"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    runs = []
    for folder in given.folders:
        runs.append(measured(folder, given.images))
        print(folder.name, flush=True)
    accuracies = [(RunFolder(folder).end() or {})["result"]["test_accuracy"] for folder in given.folders]
    reached = " and ".join(f"{value:.1%}" for value in accuracies)
    about = (
        f"{given.images} test images, drawn from the classes in turn; {len(runs)} trainings, which differ in the seed and\n"
        f"reach {reached} on the test images. Figures are those of one training after the other. *Better* is the sign\n"
        "test over the images, corrected by Holm, at 5%, in each training unless said otherwise.\n\n"
    )
    text = TARGET.read_text()
    before, rest = text.split(BEGIN)
    TARGET.write_text(f"{before}{BEGIN}\n{about}{table(runs)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
