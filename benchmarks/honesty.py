"""Every map with positions of trained runs against maps that need no attention. Writes docs/honesty_figures.md.

python -m benchmarks.honesty                          # the shipped runs: about a quarter of an hour on two cores
python -m benchmarks.honesty HOME [FOLDER ...]        # runs of a home, or of folders; of each setting all seeds with weights

Runs on images without outlined objects, or whose images are not on this machine, are left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from attnlab import paths
from attnlab.data import DataError, Split, load_dataset
from attnlab.explain.baselines import BASELINES, spatial_taps
from attnlab.explain.honesty.comparison import CEILING, MAP, MEASURES, title_of
from attnlab.explain.honesty.measure import Honesty, measure_honesty
from attnlab.explain.honesty.seeds import seeds_of
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.maps import tap_titles
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import attention_name, dataset_name
from attnlab.stats.intervals import Interval

TARGET = paths.ROOT / "docs" / "honesty_figures.md"
COMPARED = ("untrained", "random", "centre_prior", "edges", "grad_cam")
"""Occlusion and integrated gradients take many passes per image and do not depend on the map."""
OF_TAP = ("untrained", "random", CEILING)
SHARED = ("grad_cam", "centre_prior", "edges")
"""Baselines that are the same for every map of a run."""
SAID = ("untrained", "random", "centre_prior")
ARROWS = {True: "↑", False: "↓"}

Seeds = Sequence[Honesty]
"""The same map in the runs of one setting that differ only in the seed."""


def measured(folders: Sequence[RunFolder], count: int) -> list[Seeds]:
    """Tap by tap the measurements of all seeds."""
    split = load_dataset(folders[0].config.dataset).test
    runs = [measure_honesty(open_run(folder.path), split, count=count, baselines=COMPARED) for folder in folders]
    return list(zip(*runs, strict=True))


def table(found: list[Seeds], titles: dict[str, str]) -> str:
    measures = list(found[0][0].values)
    heads = [f"{MEASURES[name].title} {ARROWS[MEASURES[name].higher]}" for name in measures]
    lines = ["| | " + " | ".join(heads) + " | rank correlation with the untrained |", "|---" * (len(measures) + 2) + "|"]
    for seeds in found:
        title = titles[seeds[0].tap]
        lines.append(row(f"**{title}**", seeds, measures, MAP, text([each.twin_summary() for each in seeds])))
        lines += [row(f"{title}, {title_of(name).lower()}", seeds, measures, name) for name in OF_TAP]
    lines += [row(title_of(name), found[0], measures, name) for name in SHARED]
    return "\n".join(lines)


def row(title: str, seeds: Seeds, measures: list[str], name: str, last: str = "–") -> str:
    cells = [text([each.summary(measure, name) for each in seeds]) for measure in measures]
    return f"| {title} | " + " | ".join(cells) + f" | {last} |"


def text(means: Sequence[Interval | None]) -> str:
    """One run: its mean with its interval. Several: the mean of their means, and the lowest and highest."""
    known = [mean for mean in means if mean is not None]
    if not known:
        return "–"
    if len(means) == 1:
        return f"{known[0].value:.3f} ({known[0].low:.3f} to {known[0].high:.3f})"
    values = [mean.value for mean in known]
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def sentences(seeds: Seeds, title: str) -> list[str]:
    """What the comparisons by the overlap say of one map."""
    by_run = [{each.baseline: each for each in honesty.comparisons("overlap")} for honesty in seeds]
    if len(seeds) == 1:
        said = [by_run[0][name].sentence().replace("This map", "this map", 1) for name in SAID if name in by_run[0]]
        return [f"- {title}: {sentence}" for sentence in said]
    counts = []
    for name in SAID:
        verdicts = [comparisons[name].verdict for comparisons in by_run if name in comparisons]
        counts.append(f"{BASELINES[name].phrase} in {verdicts.count(True)} (less well in {verdicts.count(False)})")
    return [f"- {title}: of {len(seeds)} runs, this map locates the object better than {', '.join(counts)}."]


TEXT = """# Every map with positions, against simple baselines

Written by `python -m benchmarks.honesty`. What is measured, and how, is said in [honesty.md](honesty.md).

{count} test images, drawn from the classes in turn, seed 0. Maps lie where their network looks
([registration.md](registration.md)). Where a setting was trained once, a figure is the mean over the images with its 95%
interval; where it was trained with several seeds, it is the mean over the runs with the lowest and the highest. A map that was
picked from such a table must be confirmed on other images and seeds before a claim rests on it: see
[showcase.md](showcase.md).

{parts}
"""


def outlined_test_images(run: OpenRun) -> Split | None:
    """The run's test images; `None` where their objects are not outlined, or the images are not on this machine."""
    try:
        test = load_dataset(run.config.dataset).test
    except DataError:
        return None
    return None if test.masks is None else test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[paths.DEMO_RUNS], help="homes or folders of runs")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    parts = []
    for by_seed in seeds_of(given.folders).values():
        folders = list(by_seed.values())
        run = open_run(folders[0].path)
        if not spatial_taps(run) or outlined_test_images(run) is None:
            continue
        found = measured(folders, given.images)
        titles = tap_titles([*run.cells, *(seeds[0].tap for seeds in found)])  # of several heads each has a map
        said = [sentence for seeds in found for sentence in sentences(seeds, titles[seeds[0].tap])]
        seeds = f"seed {min(by_seed)}" if len(by_seed) == 1 else f"{len(by_seed)} seeds"
        heading = f"## {dataset_name(run.config)}, `{attention_name(run.config)}`, {run.config.model.backbone}, {seeds}"
        parts.append(f"{heading}\n\n{table(found, titles)}\n\n" + "\n".join(said))
        print(heading.removeprefix("## "), flush=True)
    given.out.write_text(TEXT.format(count=given.images, parts="\n\n".join(parts)))


if __name__ == "__main__":
    main()
