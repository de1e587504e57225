"""Every map with positions of the shipped runs on digits against maps that need no attention. Writes docs/honesty_figures.md.

python -m benchmarks.honesty            # about ten minutes on two cores
"""

from __future__ import annotations

import argparse
from pathlib import Path

from attnlab import paths
from attnlab.data import load_dataset
from attnlab.explain.baselines import BASELINES, spatial_taps
from attnlab.explain.honesty.measure import MAP, MEASURES, Honesty, measure_honesty
from attnlab.explain.open_run import open_run
from attnlab.maps import tap_titles
from attnlab.stats.intervals import Interval

TARGET = paths.ROOT / "docs" / "honesty_figures.md"
COMPARED = ("untrained", "centre_prior", "edges", "grad_cam")
"""Occlusion and integrated gradients take many passes per image and do not depend on the map."""
SHARED = ("grad_cam", "centre_prior", "edges")
"""Baselines that are the same for every map of a run."""
ARROWS = {True: "↑", False: "↓"}


def measured(folder: Path, count: int) -> list[Honesty]:
    run = open_run(folder)
    split = load_dataset(run.config.dataset).test
    return [measure_honesty(run, split, tap=tap, count=count, baselines=COMPARED) for tap in spatial_taps(run)]


def table(found: list[Honesty], titles: dict[str, str]) -> str:
    measures = list(found[0].values)
    heads = [f"{MEASURES[name].title} {ARROWS[MEASURES[name].higher]}" for name in measures]
    lines = ["| | " + " | ".join(heads) + " | rank correlation with the untrained |", "|---" * (len(measures) + 2) + "|"]
    for honesty in found:
        twin = text(honesty.twin_summary())
        lines.append(row(f"**{titles[honesty.tap]}**", honesty, measures, MAP, twin))
        lines.append(row(f"{titles[honesty.tap]}, untrained", honesty, measures, "untrained", "–"))
    lines += [row(BASELINES[name].title, found[0], measures, name, "–") for name in SHARED]
    return "\n".join(lines)


def row(title: str, honesty: Honesty, measures: list[str], name: str, last: str) -> str:
    return f"| {title} | " + " | ".join(text(honesty.summary(measure, name)) for measure in measures) + f" | {last} |"


def text(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def sentences(honesty: Honesty, title: str) -> list[str]:
    """What the comparisons by the overlap say of one map."""
    return [
        f"- {title}: {comparison.sentence().replace('This map', 'this map', 1)}"
        for comparison in honesty.comparisons("overlap")
        if comparison.baseline in ("untrained", "centre_prior")
    ]


TEXT = """# Every map of the shipped runs, against maps that need no attention

Written by `python -m benchmarks.honesty`. What is measured, and how, is said in [honesty.md](honesty.md).

Digits, {count} test images of each run, drawn from the classes in turn, seed 0; means with 95% intervals. Maps lie where their
network looks ([registration.md](registration.md)). These are single runs: another seed may give other maps, and a map that was
picked from such a table must be confirmed on other images and seeds before a claim rests on it.

{parts}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200)
    given = parser.parse_args()
    parts = []
    for folder in sorted(paths.DEMO_RUNS.glob("digits-*")):
        run = open_run(folder)
        if not spatial_taps(run):
            continue
        found = measured(folder, given.images)
        titles = tap_titles(list(run.cells))
        said = [sentence for honesty in found for sentence in sentences(honesty, titles[honesty.tap])]
        parts.append(f"## `{run.config.model.attention}`\n\n{table(found, titles)}\n\n" + "\n".join(said))
        print(folder.name, flush=True)
    TARGET.write_text(TEXT.format(count=given.images, parts="\n\n".join(parts)))


if __name__ == "__main__":
    main()
