"""The shipped demo runs: trained on drawn digits and drawn lesions, then reduced to what the pages show."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.naming import attention_name
from attnlab.runs.records import RunState
from attnlab.runs.weights import seal

if TYPE_CHECKING:
    from attnlab.config import RunConfig
    from attnlab.worker.attempt import Watch

ARTICLE = {"lesions_without_gates": False, "lesions": True}
"""The article's network on drawn lesions, without and with its gates."""

DEMO_RUNS = (*ARTICLE, "none", "eca", "cbam", "eca+cbam_spatial", "conv_autoencoder", "self_attention")
"""In the order in which they are made: pages that show the newest run first show the last one."""

TOTAL_BYTES = 6_000_000
KEPT_STEPS = 120
FEW_STEPS = 40
_FIGURES = ("config.json", "meta.json", "dataset.json", "state.json", "end.json")


def make_demo(names: Sequence[str], target: Path, watch: Watch, *, seeds: Sequence[int] = (0,)) -> Iterator[tuple[str, int]]:
    """Trains shipped runs and puts what is shipped of them into ``target``, each in place of an older one.

    Args:
        names: attention variants, each of which is the one-minute run, or names of `ARTICLE`; all `DEMO_RUNS` when empty.
        seeds: one run of each. Only seed 0 keeps weights and maps; the others are there to be compared.

    Yields:
        run id and size in bytes of each.

    Raises:
        FolderError: when a training does not finish, or all shipped runs together are larger than `TOTAL_BYTES`.
    """
    from attnlab.worker.session import run

    target.mkdir(parents=True, exist_ok=True)
    for name, seed in product(names or DEMO_RUNS, seeds):
        config = demo_config(name).changed(seed=seed)
        with tempfile.TemporaryDirectory() as workshop:
            folder = RunFolder.create(Path(workshop), config, title=attention_name(config))
            outcome = run(folder.path, watch=watch)
            if outcome.state is not RunState.FINISHED:
                raise FolderError(f"the demo run of {name}, seed {seed}, is {outcome.state}: {outcome.reason}")
            for older in run_folders(target):
                if _place(older.config) == _place(config):
                    older.remove()
            yield config.run_id, ship(folder, target, whole=seed == 0)
    total = _size(target)
    if total > TOTAL_BYTES:
        raise FolderError(f"the shipped runs take {total} bytes together; {TOTAL_BYTES} are allowed")


def demo_config(name: str) -> RunConfig:
    """The settings of a shipped run, see `make_demo`."""
    from attnlab.models.melanoma import SMALL, melanoma_config
    from attnlab.training.presets import one_minute

    return melanoma_config("lesions", attention=ARTICLE[name], **SMALL) if name in ARTICLE else one_minute(name)


def _place(config: RunConfig) -> tuple[object, ...]:
    """What a new demo run takes the place of."""
    return config.dataset.name, config.model, config.seed


def ship(folder: RunFolder, target: Path, *, whole: bool = True) -> int:
    """Copies what is shipped of a finished run: weights in float16, fewer steps, no checkpoints. Returns its size.

    Args:
        whole: with its weights, probe images and maps; else only settings, figures and a few steps.
    """
    from safetensors.numpy import save

    final = target / folder.config.run_id
    made = target / f".{final.name}.tmp"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    for name in _FIGURES:
        shutil.copyfile(folder.path / name, made / name)
    rows = thinned(folder.metrics(), KEPT_STEPS if whole else FEW_STEPS)
    (made / "metrics.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    if whole:
        shutil.copyfile(folder.path / "probes.npz", made / "probes.npz")
        shutil.copytree(folder.snapshots_path, made / "snapshots")
        stored = folder.weights()
        halved = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in stored.items()}
        (made / "best.safetensors").write_bytes(seal(save(halved)))
    shutil.rmtree(final, ignore_errors=True)
    made.rename(final)
    return _size(final)


def thinned(rows: list[dict[str, Any]], steps: int) -> list[dict[str, Any]]:
    """All epochs, and at most so many steps, evenly spaced, the last among them."""
    kept = [row for row in rows if row["kind"] == "step"]
    index = np.linspace(0, len(kept) - 1, min(steps, len(kept))).round().astype(int)
    numbers = {kept[i]["step"] for i in index}
    return [row for row in rows if row["kind"] != "step" or row["step"] in numbers]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
