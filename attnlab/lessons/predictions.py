"""Predict first: what is asked before a map, a class or a comparison is shown, what then comes out, and how near a guess was.

What comes out is read from the shipped runs each time, so no file can say something else than they do. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from attnlab import paths
from attnlab.config import Section
from attnlab.experiments.groups import Verdict, compare_pairs, group_runs
from attnlab.geometry import Cells, stretched
from attnlab.lessons.lesson import Line, Name, ShippedRun, Text
from attnlab.lessons.runs import UnknownShippedRun, shipped_run
from attnlab.lessons.toml import FileProblems, Problem, read_toml
from attnlab.maps import MapKind, MapScale, relative_weights, tap_titles
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import attention_name
from attnlab.runs.records import RunRecord
from attnlab.runs.showcase import read_showcase
from attnlab.viz.snapshots import REDUCED, probes_and_classes

BANK = Path(__file__).parent / "banks" / "predictions.toml"
PEAK_SHARE = 0.1
"""The peak area of a map covers at least this share of the picture."""
ONE, OTHER, SAME = "one", "other", "same"


class Prediction(Section):
    """One thing to predict.

    Attributes:
        kind: place, where the highest weights of a map will lie; class, which class the network will say; better, which of
            two settings is better.
        why: shown after the guess, with what came out.
        run, image: of place and class: a shipped run with kept maps, and one of the images it kept.
        map: of place, its title; the map that was tested over several trainings where it is left out.
        one, other: of better. measure: by what.
    """

    name: Name
    kind: Literal["place", "class", "better"]
    ask: Line
    why: Text
    run: ShippedRun | None = None
    image: int = Field(default=0, ge=0)
    map: str = ""
    one: ShippedRun | None = None
    other: ShippedRun | None = None
    measure: Literal["accuracy", "pointing"] = "accuracy"


class PredictionBank(Section):
    """The file."""

    prediction: tuple[Prediction, ...] = Field(min_length=1)


@dataclass(frozen=True, eq=False)
class Kept:
    """An image that a run kept, and what its network made of it at the end of the training.

    Attributes:
        image: uint8 (H, W, 3).
        classes: their names. probabilities: (classes,). truth: index of the true class.
        mask: bool (H, W), the object; `None` where there is none.
        title: of the map; empty where the run has none with positions.
        weights: (h, w), gates as they are, of a softmax the weight relative to a uniform map.
        cells: where the cells lie; `None` stretches them evenly.
    """

    image: NDArray[np.uint8]
    classes: tuple[str, ...]
    probabilities: NDArray[np.float32]
    truth: int
    mask: NDArray[np.bool_] | None
    title: str
    weights: NDArray[np.float64] | None
    cells: Cells | None


@dataclass(frozen=True, eq=False)
class Peak:
    """Where a map is highest.

    Attributes:
        pixels: bool (H, W), the peak area: as few whole cells as cover `PEAK_SHARE` of the picture, the highest ones.
        share: of the picture that it covers; so often a click at random lies in it.
        highest: (u, v) in [0, 1], centre of the cell with the highest weight.
    """

    pixels: NDArray[np.bool_]
    share: float
    highest: tuple[float, float]


@dataclass(frozen=True)
class Score:
    """How near a click came.

    Attributes:
        inside: whether it lies in the peak area.
        distance: to the centre of the highest cell, in sides of the picture.
        above: share of the picture whose weight is lower than at the click, in [0, 1].
    """

    inside: bool
    distance: float
    above: float


@dataclass(frozen=True)
class Outcome:
    """Which of two settings is better. ``answer`` is `ONE`, `OTHER` or `SAME`, and ``words`` says why."""

    answer: str
    words: str


def predictions() -> Mapping[str, Prediction]:
    """The bank, by name, in its order.

    Raises:
        FileProblems: when something is wrong with the file.
    """
    return _bank(BANK, BANK.stat().st_mtime_ns)


def kept(prediction: Prediction) -> Kept:
    """The image and what the network made of it.

    Raises:
        UnknownShippedRun: when the run is not there.
        FolderError: when it is damaged.
    """
    if prediction.run is None:
        raise UnknownShippedRun("This prediction names no run.")
    folder = shipped_run(prediction.run)
    return _kept(folder.path, prediction.image, prediction.map)


def peak(weights: NDArray[np.float64], cells: Cells | None, picture: tuple[int, int]) -> Peak:
    """The peak area of a map.

    Args:
        weights: (h, w). picture: (H, W).
    """
    number = _cell_numbers(weights.shape, cells, picture)
    areas = np.bincount(number[number >= 0], minlength=weights.size)
    taken, covered = [], 0
    for cell in np.argsort(-weights, axis=None, kind="stable"):
        if covered >= PEAK_SHARE * number.size:
            break
        taken.append(cell)
        covered += int(areas[cell])
    rows, columns = np.nonzero(number == taken[0])
    centre = (0.5, 0.5)
    if len(rows):
        centre = (float(columns.mean() + 0.5) / picture[1], float(rows.mean() + 0.5) / picture[0])
    return Peak(np.isin(number, taken), covered / number.size, centre)


def score(u: float, v: float, weights: NDArray[np.float64], cells: Cells | None, picture: tuple[int, int]) -> Score:
    """A click at (u, v) in [0, 1] against a map."""
    at = peak(weights, cells, picture)
    number = _cell_numbers(weights.shape, cells, picture)
    row, column = (min(int(share * length), length - 1) for share, length in zip((v, u), picture, strict=True))
    flat = weights.ravel()
    everywhere = np.where(number >= 0, flat[np.maximum(number, 0)], -np.inf)
    lower = float((everywhere < everywhere[row, column]).mean())
    distance = math.hypot(u - at.highest[0], v - at.highest[1])
    return Score(bool(at.pixels[row, column]), distance, lower)


def outcome(prediction: Prediction, records: Sequence[RunRecord]) -> Outcome:
    """Which of the two settings is better, by the shipped runs.

    Args:
        records: of all runs of the server; the shipped ones are taken.

    Raises:
        UnknownShippedRun: when a run is not there.
    """
    if prediction.one is None or prediction.other is None:
        raise UnknownShippedRun("This prediction names no two runs.")
    folders = {ONE: shipped_run(prediction.one), OTHER: shipped_run(prediction.other)}
    names = {side: attention_name(folder.config) for side, folder in folders.items()}
    if prediction.measure == "pointing":
        return _by_pointing(folders, names)
    groups = {group.key: group for group in group_runs([record for record in records if record.demo])}
    keys = {side: folder.config.group for side, folder in folders.items()}
    if missing := [side for side, key in keys.items() if key not in groups]:
        raise UnknownShippedRun(f"The results of {names[missing[0]]} are not among the runs of this server.")
    one, other = (groups[keys[side]] for side in (ONE, OTHER))
    (found,) = compare_pairs([(other, one)])
    answer = {Verdict.BETTER: ONE, Verdict.WORSE: OTHER}.get(found.verdict, SAME)
    means = ", ".join(
        f"{names[side]}: {group.mean:.1%} ± {group.std or 0:.1%} (n = {group.n})"
        for side, group in ((ONE, one), (OTHER, other))
        if group.mean is not None
    )
    return Outcome(answer, f"{means}. {names[ONE]} against {names[OTHER]}: {found.words}.")


def _by_pointing(folders: Mapping[str, RunFolder], names: Mapping[str, str]) -> Outcome:
    showcase = read_showcase(paths.SHOWCASE)
    found = {side: showcase.of(folder.config.group) if showcase else None for side, folder in folders.items()}
    one, other = found[ONE], found[OTHER]
    if one is None or other is None:
        raise UnknownShippedRun("Of one of the two nothing was measured.")
    shares = {side: each.chosen.means["pointing"]["map"] for side, each in ((ONE, one), (OTHER, other))}
    answer = SAME
    if min(shares[ONE]) > max(shares[OTHER]):
        answer = ONE
    elif min(shares[OTHER]) > max(shares[ONE]):
        answer = OTHER
    words = "; ".join(
        f"{names[side]}: {np.mean(values):.0%} ({min(values):.0%} to {max(values):.0%})" for side, values in shares.items()
    )
    judged = "The trainings of the two do not overlap." if answer != SAME else "The trainings of the two overlap."
    return Outcome(answer, f"The highest weight lies on the object in this share of the test images. {words}. {judged}")


def _cell_numbers(grid: tuple[int, ...], cells: Cells | None, picture: tuple[int, int]) -> NDArray[np.int64]:
    """Of each pixel the cell it lies in, counted row by row; -1 outside all."""
    height, width = grid
    where = cells or stretched((height, width), picture)
    rows, columns = where.rows.cells_at(height, picture[0]), where.columns.cells_at(width, picture[1])
    inside = (rows >= 0)[:, None] & (columns >= 0)
    return np.where(inside, rows[:, None] * width + columns, -1)


@lru_cache(maxsize=4)
def _bank(path: Path, stamp: int) -> Mapping[str, Prediction]:
    bank, text = read_toml(path, PredictionBank, "prediction")
    found = []
    seen: set[str] = set()
    for number, each in enumerate(bank.prediction):
        if words := _wrong(each, seen):
            part = f"prediction {number + 1} ({each.name})"
            found.append(Problem(text.line_of(("prediction", number)), part, words))
        seen.add(each.name)
    if found:
        raise FileProblems(path, found)
    return MappingProxyType({each.name: each for each in bank.prediction})


def _wrong(each: Prediction, seen: set[str]) -> str:
    if each.name in seen:
        return "Another prediction has the same name."
    needed = ("one", "other") if each.kind == "better" else ("run",)
    missing = [key for key in needed if getattr(each, key) is None]
    return f"{' and '.join(missing)} must be said for a prediction of the kind {each.kind}." if missing else ""


@lru_cache(maxsize=64)
def _kept(path: Path, index: int, title: str) -> Kept:
    folder = RunFolder(path)
    known = probes_and_classes(folder)
    snapshots, _ = folder.readable_snapshots()
    if known is None or not snapshots:
        raise UnknownShippedRun(f"The run {folder.run_id} kept no images.")
    probes, classes = known
    if index >= len(probes.labels):
        raise UnknownShippedRun(f"The run {folder.run_id} kept {len(probes.labels)} images; there is no image {index}.")
    last = snapshots[-1]
    placed = {stored.name: stored for stored in last.maps if stored.kind in REDUCED}
    titles = tap_titles([stored.name for stored in last.maps])
    showcase = read_showcase(paths.SHOWCASE)
    tested = showcase.of(folder.config.group) if showcase else None
    if title:
        name = next((name for name in placed if titles[name] == title), None)
        if name is None:
            raise UnknownShippedRun(
                f"The run {folder.run_id} has no map {title!r}; it has {', '.join(titles[each] for each in placed)}."
            )
    else:
        name = tested.tap if tested is not None and tested.tap in placed else next(iter(placed), None)
    weights = cells = None
    if name is not None:
        stored = placed[name]
        floor = 0.0 if stored.floors is None else float(stored.floors[index])
        values = floor + stored.codes[index].astype(np.float64) / 255 * (float(stored.peaks[index]) - floor)
        softmax = MapScale(stored.scale) is MapScale.SOFTMAX and MapKind(stored.kind) is not MapKind.ELEMENT
        weights = np.asarray(relative_weights(values, MapScale(stored.scale), values.size), np.float64) if softmax else values
        cells = probes.cells_of(stored)
    image = np.ascontiguousarray(np.broadcast_to(probes.images[index].transpose(1, 2, 0), (*probes.images.shape[2:], 3)))
    mask = None if probes.masks is None else probes.masks[index]
    shown = titles[name] if name else ""
    return Kept(image, classes, last.probabilities[index], int(probes.labels[index]), mask, shown, weights, cells)
