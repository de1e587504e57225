"""Which shipped run a lesson means by its settings. No torch, unless a variant is unknown."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from attnlab import paths
from attnlab.lessons.lesson import ShippedRun
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.index import Index, to_record
from attnlab.runs.records import RunRecord


@dataclass(frozen=True)
class _Known:
    folder: Path
    data: str
    backbone: str
    variant: str
    seed: int
    gates: bool


class UnknownShippedRun(ValueError):
    """No shipped run has these settings, or several have; the message is a sentence that says which there are."""


def shipped_run(wanted: ShippedRun) -> RunFolder:
    """The run.

    Raises:
        UnknownShippedRun: when none or several fit.
    """
    runs = _shipped(paths.DEMO_RUNS, _stamp(paths.DEMO_RUNS))
    variants = sorted({run.variant for run in runs})
    if wanted.variant not in variants:
        raise UnknownShippedRun(_unknown_variant(wanted.variant, variants))
    fitting = [
        run
        for run in runs
        if (run.variant, run.data, run.seed) == (wanted.variant, wanted.data, wanted.seed)
        and wanted.backbone in ("", run.backbone)
        and wanted.gates in (None, run.gates)
    ]
    if not fitting:
        raise UnknownShippedRun(
            f"No shipped run has the variant {wanted.variant}, the data {wanted.data}, the seed {wanted.seed}"
            + (f" and the backbone {wanted.backbone}" if wanted.backbone else "")
            + "."
        )
    if len(fitting) > 1:
        backbones = sorted({run.backbone for run in fitting})
        apart = f"backbone ({', '.join(backbones)})" if len(backbones) > 1 else "gates (true or false)"
        raise UnknownShippedRun(f"{len(fitting)} shipped runs fit; say which one by {apart}.")
    return RunFolder(fitting[0].folder)


def shipped_records() -> list[RunRecord]:
    """What is known of each shipped run that can be read, without a home."""
    index = Index(None, write=True)
    try:
        for folder in run_folders(paths.DEMO_RUNS):
            with suppress(FolderError):
                index.refresh(folder)
        return [to_record(row, paths.DEMO_RUNS / row["run_id"], demo=True) for row in index.rows()]
    finally:
        index.close()


def _unknown_variant(name: str, shipped: list[str]) -> str:
    from attnlab.attention import list_attention

    unknown = [part for part in name.split("+") if part not in list_attention() and part != "none"]
    if unknown:
        return f"There is no variant {unknown[0]!r}."
    return f"The variant {name} has no shipped run; those that have are {', '.join(shipped)}."


def _stamp(place: Path) -> int:
    return place.stat().st_mtime_ns if place.is_dir() else 0


@lru_cache(maxsize=4)
def _shipped(place: Path, stamp: int) -> tuple[_Known, ...]:
    known = []
    for folder in run_folders(place):
        try:
            config = folder.config
        except FolderError:
            continue
        model = config.model
        gates = bool(model.options.get("depths", 2))
        known.append(_Known(folder.path, config.dataset.name, model.backbone, model.attention, config.seed, gates))
    return tuple(known)
