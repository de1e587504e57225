"""Runs as TensorBoard event files. Needs the package tensorboard, an optional requirement.

train/loss_of_step, train/learning_rate      by step
train/loss, train/accuracy, validation/...   by step, once per epoch
test/accuracy, test/auc                      once; config and result as text
"""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from attnlab.files import require_space
from attnlab.runs.folder import RunFolder

MISSING = "TensorBoard files need the package tensorboard: pip install -r requirements-tensorboard.txt"
_FILES = "events.out.tfevents.*"
_OF_EPOCH = ("train_loss", "train_accuracy", "train_auc", "validation_loss", "validation_accuracy", "validation_auc")
_OF_TEST = ("accuracy", "auc", "loss")


def available() -> bool:
    """Whether the package tensorboard is installed; does not import it."""
    return find_spec("tensorboard") is not None


def write_events(folder: RunFolder, target: Path) -> Path:
    """Writes a run's events to ``target/<run id>`` and then removes those that were there before.

    Returns:
        The folder of the events.

    Raises:
        ValueError: when the package tensorboard is not installed.
        OSError: when they cannot be written; what was there before stays.
    """
    if not available():
        raise ValueError(MISSING)
    target.mkdir(parents=True, exist_ok=True)
    # The writer's thread prints what goes wrong with a file, so there must be room for all of it.
    require_space(target, 2 * folder.metrics_path.stat().st_size if folder.metrics_path.exists() else 0)
    path = target / folder.run_id
    before = list(path.glob(_FILES))
    with tempfile.TemporaryDirectory(prefix=f".{folder.run_id}.", suffix=".tmp", dir=target) as place:
        _write(folder, place)
        path.mkdir(exist_ok=True)
        for made in Path(place).glob(_FILES):
            made.replace(path / made.name)
    for old in before:
        old.unlink()
    return path


def _write(folder: RunFolder, place: str) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(place) as writer:
        for row in folder.metrics():
            if row["kind"] == "step":
                writer.add_scalar("train/loss_of_step", row["loss"], row["step"])
                if row.get("lr") is not None:
                    writer.add_scalar("train/learning_rate", row["lr"], row["step"])
                continue
            for name in _OF_EPOCH:
                if row.get(name) is not None:
                    writer.add_scalar(name.replace("_", "/", 1), row[name], row["step"])
        writer.add_text("config", _code(folder.config.to_json()))
        result = (folder.end() or {}).get("result") or {}
        for name in _OF_TEST:
            if result.get(f"test_{name}") is not None:
                writer.add_scalar(f"test/{name}", result[f"test_{name}"], result.get("step", 0))
        if result:
            summary = {name: value for name, value in result.items() if name != "extra"}
            writer.add_text("result", _code(json.dumps(summary, indent=1)))


def events_zip(folders: Iterable[RunFolder]) -> bytes:
    """The events of some runs as a zip archive with one folder per run.

    Raises:
        ValueError: as `write_events`.
    """
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as target, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in folders:
            for path in sorted(write_events(folder, Path(target)).iterdir()):
                archive.write(path, f"{folder.run_id}/{path.name}")
    return buffer.getvalue()


def _code(text: str) -> str:
    """A code block in Markdown, which TensorBoard renders."""
    return f"```json\n{text}\n```"
