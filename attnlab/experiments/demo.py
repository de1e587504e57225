"""The shipped demo runs: trained on drawn digits, drawn lesions and real pictures, then reduced to what the pages show."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from attnlab.runs.weights import seal

if TYPE_CHECKING:
    from attnlab.config import RunConfig
    from attnlab.worker.attempt import Watch

ARTICLE = {"lesions_without_gates": False, "lesions": True}
"""The article's network on drawn lesions, without and with its gates."""

GATES = "gates"
"""The one-minute run whose attention is the network's own."""

VARIANTS = ("none", "eca", "eca+cbam_spatial", "conv_autoencoder", "cbam", "cbam_spatial", GATES, "self_attention")
"""Attention of the one-minute runs."""

PHOTOGRAPHS, DERMOSCOPY = "photographs", "dermoscopy"
"""Runs on real pictures, which this project does not hold: CIFAR-10, and dermoscopy images with a ``marking.csv``."""

DEMO_RUNS = (DERMOSCOPY, *ARTICLE, PHOTOGRAPHS, *VARIANTS)
"""In the order in which they are made: pages that show the newest run first show the last one."""

SEEDS = 5
TOTAL_BYTES = 8_000_000
KEPT_STEPS = 120
FEW_STEPS = 40
_FIGURES = ("config.json", "meta.json", "dataset.json", "state.json", "end.json")


def make_demo(
    names: Sequence[str],
    target: Path,
    watch: Watch,
    *,
    seeds: Sequence[int] = range(SEEDS),
    pictures: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> Iterator[tuple[str, int]]:
    """Trains shipped runs and puts what is shipped of them into ``target``, each in place of an older one.

    Args:
        names: of `DEMO_RUNS`, or other attention variants, each of which is the one-minute run. When empty, all `DEMO_RUNS`
            except those on real pictures that ``pictures`` does not hold.
        seeds: one run of each; of a run on real pictures, the first alone. Only seed 0 keeps weights and maps; the others are
            there to be compared.
        pictures: `PHOTOGRAPHS` or `DERMOSCOPY` -> the path of the images.
        keep: a folder of runs where the whole trainings stay. One that is finished there is not trained again.

    Yields:
        run id and size in bytes of each.

    Raises:
        FolderError: when a training does not finish, or all shipped runs together are larger than `TOTAL_BYTES`.
        ValueError: for a run on real pictures without their path.
    """
    sources = pictures or {}
    chosen = names or [name for name in DEMO_RUNS if name in sources or name not in (PHOTOGRAPHS, DERMOSCOPY)]
    if missing := [name for name in chosen if name in (PHOTOGRAPHS, DERMOSCOPY) and name not in sources]:
        raise ValueError(f"the run on {missing[0]} needs the path of its pictures")
    target.mkdir(parents=True, exist_ok=True)
    for name, seed in product(chosen, seeds):
        if name in sources and seed != seeds[0]:
            continue
        config = demo_config(name, sources.get(name, "")).changed(seed=seed)
        with tempfile.TemporaryDirectory() as workshop:
            folder = trained(config, Path(workshop) if keep is None else keep, watch)
            for older in run_folders(target):
                if _place(older.config) == _place(_shipped(config)):
                    older.remove()
            size = ship(folder, target, whole=seed == 0)
        yield _shipped(config).run_id, size
    total = _size(target)
    if total > TOTAL_BYTES:
        raise FolderError(f"the shipped runs take {total} bytes together; {TOTAL_BYTES} are allowed")


def demo_config(name: str, source: str = "") -> RunConfig:
    """The settings of a shipped run, see `make_demo`.

    Args:
        source: the path of the pictures, of a run on real ones.
    """
    from attnlab.data import absolute_name, options_of_a_new_run
    from attnlab.models.melanoma import SMALL, dermoscopy_config, melanoma_config
    from attnlab.training.presets import one_minute, photographs

    if name in ARTICLE:
        return melanoma_config("lesions", attention=ARTICLE[name], options=options_of_a_new_run("lesions"), **SMALL)
    if name == PHOTOGRAPHS:
        return photographs(absolute_name(source))
    if name == DERMOSCOPY:
        return dermoscopy_config(absolute_name(source), image_size=128)
    return one_minute("none", gates=True) if name == GATES else one_minute(name)


def trained(config: RunConfig, runs: Path, watch: Watch | None = None) -> RunFolder:
    """The finished run of these settings in a folder of runs; trained now, or to its end, where there is none.

    Raises:
        FolderError: when the training does not finish.
    """
    from attnlab.worker.session import run

    before = next((folder for folder in run_folders(runs) if folder.config == config), None)
    if before is not None and before.observe().state is RunState.FINISHED:
        return before
    folder = before or RunFolder.create(runs, config)
    outcome = run(folder.path, watch=watch)
    if outcome.state is not RunState.FINISHED:
        raise FolderError(f"{folder.run_id} is {outcome.state}: {outcome.reason}")
    return folder


def ship(folder: RunFolder, target: Path, *, whole: bool = True) -> int:
    """Copies what is shipped of a finished run. Returns its size.

    That is its weights in float16, fewer steps, and no checkpoints. A data set on this machine keeps the last part of its
    path as its name. Runs are listed in the order in which they were shipped,
    under their settings.

    Args:
        whole: with its weights, probe images and maps; else only settings, figures and a few steps.
    """
    from safetensors.numpy import save

    config = _shipped(folder.config)
    made = target / f".{config.run_id}.tmp"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for name in _FIGURES:
        write_json(made / name, _without_path(read_json(folder.path / name), folder.config.dataset.name), sync=False)
    (made / "config.json").write_text(config.to_json())
    write_json(made / "meta.json", folder.meta() | {"title": "", "created": time.time()}, sync=False)
    rows = thinned(folder.metrics(), KEPT_STEPS if whole else FEW_STEPS)
    (made / "metrics.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    if whole:
        shutil.copyfile(folder.path / "probes.npz", made / "probes.npz")
        shutil.copytree(folder.snapshots_path, made / "snapshots")
        stored = folder.weights()
        halved = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in stored.items()}
        (made / "best.safetensors").write_bytes(seal(save(halved)))
    final = target / config.run_id
    shutil.rmtree(final, ignore_errors=True)
    made.rename(final)
    return _size(final)


def _shipped(config: RunConfig) -> RunConfig:
    """The settings without the path of a data set on this machine."""
    return config.changed(dataset__name=Path(config.dataset.name).name)


def _without_path(tree: Any, path: str) -> Any:
    """A JSON value with the last part of ``path`` wherever the path stands."""
    if isinstance(tree, dict):
        return {name: _without_path(value, path) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_without_path(value, path) for value in tree]
    return tree.replace(path, Path(path).name) if isinstance(tree, str) else tree


def _place(config: RunConfig) -> tuple[object, ...]:
    """What a new demo run takes the place of."""
    return config.dataset.name, config.model.backbone, config.model.attention, config.model.options.get("depths"), config.seed


def thinned(rows: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """All epochs, and at most so many steps, evenly spaced, the last among them."""
    kept = [row for row in rows if row["kind"] == "step"]
    index = np.linspace(0, len(kept) - 1, min(steps, len(kept))).round().astype(int)
    numbers = {kept[i]["step"] for i in index}
    return [row for row in rows if row["kind"] != "step" or row["step"] in numbers]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
