"""Which maps find the object? Chosen on some images and trainings, confirmed on others. Writes docs/showcase.md, and the file
that Home reads.

python -m benchmarks.showcase HOME [FOLDER ...]       # homes or folders with the weights of seeds 0 to 4 of each setting
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from attnlab import paths
from attnlab.explain.baselines import BASELINES
from attnlab.explain.honesty.confirm import confirm
from attnlab.explain.honesty.seeds import seeds_of
from attnlab.runs.showcase import CEILING, LEVEL, MAP, RIVALS, Confirmed, MapFigures, Showcase
from attnlab.stats.significance import p_words

TARGET = paths.ROOT / "docs" / "showcase.md"
BESIDE = (MAP, *RIVALS, CEILING)
SHORT = {MAP: "the map", "untrained": "untrained", "centre_prior": "centre", "random": "random", CEILING: "best possible"}
MEASURES = {"pointing": "Pointing game", "overlap": "Overlap (IoU)"}


TEXT = """# Which maps find the object?

Written by `python -m benchmarks.showcase`, which also writes the file that *Home* reads. Measures and baselines are explained
in [honesty.md](honesty.md).

A map that was picked because it looked good must be confirmed on other images and other trainings. So each setting was trained
with several seeds. Its map is **chosen** on validation images, at most {images}, by the trainings with seeds {choosing}: the
one with the highest mean of pointing game and overlap. It is **confirmed** on {images} test images by the trainings with seeds
{confirming}, which took no part in the choice.

Each training is tested by itself. The images of one training share its network, and all trainings see the same images, so
their images are not thrown together into one test; instead the number of trainings that agree is told. Within a training, map
and baseline are compared image by image (sign test), and p-values are corrected by Holm over all {tests} tests of this page. A
map **finds the object** only if it is better than the untrained network, the centre prior and a random map, by the pointing
game and by the overlap, at p < {level} in every confirming training.

*Best possible* is what the best map of the same grid would reach: an oracle that sees the outline, no competitor. A figure is
the mean over the confirming trainings, with the lowest and the highest.

{parts}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="homes or folders of runs")
    parser.add_argument("--choose", nargs="+", type=int, default=[0, 1], metavar="SEED")
    parser.add_argument("--confirm", nargs="+", type=int, default=[2, 3, 4], metavar="SEED")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--json", type=Path, default=paths.SHOWCASE)
    given = parser.parse_args()
    found = confirm(
        seeds_of(given.folders),
        choosing=given.choose,
        confirming=given.confirm,
        images=given.images,
        on_group=lambda name: print(name, flush=True),
    )
    given.json.write_text(found.model_dump_json(indent=1) + "\n")
    given.out.write_text(document(found))


def document(found: Showcase) -> str:
    """The page of a measurement."""
    parts = []
    for dataset in dict.fromkeys([each.dataset for each in found.confirmed] + [each.dataset for each in found.not_measured]):
        chosen = [each for each in found.confirmed if each.dataset == dataset]
        parts.append(f"## {dataset}")
        if chosen:
            parts += [verdicts(chosen), *map(sentences, chosen), "### Every training", trainings(chosen)]
            parts += ["### All maps, described and not tested", described(chosen)]
        parts += [
            f"`{each.name}` ({each.backbone}): {each.sentence()}" for each in found.not_measured if each.dataset == dataset
        ]
    return TEXT.format(
        images=max((each.images for each in found.confirmed), default=0),
        choosing=" and ".join(map(str, found.choosing)),
        confirming=listed([str(seed) for seed in found.confirming]),
        tests=sum(len(each.tests) for each in found.confirmed),
        level=LEVEL,
        parts="\n\n".join(parts or ["No setting has been measured yet."]),
    )


def verdicts(chosen: Sequence[Confirmed]) -> str:
    rows = [
        [
            f"`{each.name}`",
            each.chosen.title,
            spread(each.chosen, "pointing", MAP),
            spread(each.chosen, "overlap", MAP),
            f"{len(each.agreeing)} of {len(each.trainings)}",
            "**yes**" if each.finds else "no",
            f"{fmean(each.accuracies):.1%}",
        ]
        for each in chosen
    ]
    head = ["", "chosen map", *MEASURES.values(), "trainings that agree", "finds the object", "test accuracy"]
    return table(head, rows)


def sentences(each: Confirmed) -> str:
    return f"- **`{each.name}`**, {each.chosen.title}. {each.sentence()} {each.verdict()}"


def trainings(chosen: Sequence[Confirmed]) -> str:
    """A row for each confirming training: the figures, and every test."""
    rows = []
    for each in chosen:
        for at, seed in enumerate(each.trainings):
            for measure, title in MEASURES.items():
                means = [in_words(measure, each.chosen.means[measure][name][at]) for name in BESIDE]
                tests = {test.rival: test for test in each.tests if (test.seed, test.measure) == (seed, measure)}
                against = [f"{tests[name].share:.0%} of {tests[name].differing}, {p_words(tests[name].p)}" for name in RIVALS]
                rows.append([f"`{each.name}`", str(seed), title, *means, *against])
    head = ["", "seed", "measure", *(SHORT[name] for name in BESIDE)]
    return table([*head, *(f"better than {BASELINES[name].phrase} on" for name in RIVALS)], rows)


def described(chosen: Sequence[Confirmed]) -> str:
    rows = [
        [
            f"`{each.name}`",
            f"**{of_map.title}**" if of_map is each.chosen else of_map.title,
            f"{of_map.score:.3f}",
            *(spread(of_map, measure, name) for measure in MEASURES for name in (MAP, "untrained", CEILING)),
        ]
        for each in chosen
        for of_map in each.maps
    ]
    names = [f"{title}, {SHORT[name]}" for title in MEASURES.values() for name in (MAP, "untrained", CEILING)]
    return table(["", "map", "score on validation images", *names], rows)


def spread(figures: MapFigures, measure: str, name: str) -> str:
    """The mean over the trainings, and the lowest and highest."""
    values = figures.means[measure][name]
    low, high = in_words(measure, min(values)), in_words(measure, max(values))
    return f"{in_words(measure, fmean(values))} ({low} to {high})"


def in_words(measure: str, value: float) -> str:
    return f"{value:.0%}" if measure == "pointing" else f"{value:.3f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def listed(words: Sequence[str]) -> str:
    """``a, b and c``"""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


if __name__ == "__main__":
    main()
