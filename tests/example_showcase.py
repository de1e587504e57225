"""What a measurement over several trainings may have found, written without measuring."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attnlab.runs.showcase import MEASURES, RIVALS, Confirmed, MapFigures, NotMeasured, Showcase, Test

SURE = {2: 0.0001, 3: 0.0001, 4: 0.009}
UNSURE = {2: 0.5, 3: 0.5, 4: 0.5}


def confirmed(
    ps: Mapping[int, float],
    *,
    group: str = "g",
    name: str = "cbam",
    tap: str = "a.tap",
    pointing: float = 0.71,
    worse: tuple[int, str, str] | None = None,
) -> Confirmed:
    """A setting whose map is better on nine of ten images by every test but one, with these p-values of its seeds."""
    tests = [
        Test(seed=seed, measure=measure, rival=rival, share=0.1 if (seed, measure, rival) == worse else 0.9, differing=100, p=p)
        for seed, p in ps.items()
        for measure in MEASURES
        for rival in RIVALS
    ]
    means = {"map": pointing, "random": 0.04, "centre_prior": 0.09, "untrained": 0.12, "ceiling": 1.0}
    figures = {measure: {name: [value] * len(ps) for name, value in means.items()} for measure in MEASURES}
    maps = [MapFigures(tap=tap, title="block 1", score=0.5, means=figures)]
    about = {"group": group, "name": name, "dataset": "digits", "backbone": "small_cnn", "object": "digit", "tap": tap}
    return Confirmed(**about, accuracies=[0.9] * len(ps), images=200, maps=maps, tests=tests)


def write_showcase(path: Path, *found: Confirmed) -> None:
    """The file with these settings, and one whose maps have no positions."""
    silent = NotMeasured(group="e", name="eca", dataset="digits", backbone="small_cnn", missing=[])
    showcase = Showcase(choosing=[0, 1], confirming=[2, 3, 4], confirmed=list(found), not_measured=[silent])
    path.write_text(showcase.model_dump_json())
