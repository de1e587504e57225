"""Checkpoints: what a run can be resumed from. Each is a folder with a manifest of the files that must be in it.

    checkpoints/00000400-0002/     after 400 steps, 2 epochs of which are finished
        state.safetensors          weights, optimizer, running sums
        state.json                 everything that is not a tensor
        best.safetensors           weights of the best epoch so far; a link to the run's own file while that is current
        manifest.json              size and sha256 of the others; written last

The folder is written under a temporary name, synced and renamed. The loader takes the newest one whose files match the
manifest, so a process that is killed at any point, or a damaged file, costs the steps since the previous checkpoint.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from attnlab.files import require_space, sync_file, sync_folder, write_file
from attnlab.runs import faults
from attnlab.runs.contents import Manifest, read_content
from attnlab.runs.errors import FolderError
from attnlab.runs.files import write_json
from attnlab.runs.weights import seal

if TYPE_CHECKING:
    from attnlab.training import TrainState

Tensor = TypeVar("Tensor")
KEPT = 2
_MODEL = "model/"
_NAME = re.compile(r"\d{8}-\d{4,}")
STATE, SCALARS, BEST, MANIFEST = "state.safetensors", "state.json", "best.safetensors", "manifest.json"


@dataclass(frozen=True)
class Newest:
    """The newest valid checkpoint of a run.

    Attributes:
        path: its folder; `None` when there is none.
        skipped: (name, reason) of newer ones that cannot be used.
    """

    path: Path | None
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def warning(self, step: int) -> str:
        """A sentence for people about the checkpoints that cannot be used; empty when there are none.

        Args:
            step: of the checkpoint at `path`.
        """
        if not self.skipped:
            return ""
        damaged = "; ".join(reason if name in reason else f"{name}: {reason}" for name, reason in self.skipped)
        resumed = f"resumed from the previous one, at step {step:,}" if self.path else "started again: there was no other"
        return f"A checkpoint could not be used ({damaged}). The run {resumed}."


def find(checkpoints: Path) -> Newest:
    """The newest checkpoint whose files match their manifest."""
    skipped: list[tuple[str, str]] = []
    for path in reversed(_all(checkpoints)):
        try:
            verify(path)
        except FolderError as error:
            skipped.append((path.name, str(error)))
        else:
            return Newest(path, tuple(skipped))
    return Newest(None, tuple(skipped))


def has_any(checkpoints: Path) -> bool:
    """Whether a checkpoint was written; `find` says whether it is valid."""
    return any((path / MANIFEST).is_file() for path in _all(checkpoints))


def verify(path: Path) -> None:
    """Compares every file of a checkpoint with the manifest.

    Raises:
        FolderError: naming the first file that differs.
    """
    manifest = read_content(path / MANIFEST, Manifest)
    if manifest is None:
        raise FolderError(f"{path.name} has no manifest: writing it was interrupted")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise FolderError(f"{path.name}/{name} is missing")
        try:
            size, digest = file.stat().st_size, _sha256(file)
        except OSError as error:
            raise FolderError(f"{path.name}/{name} cannot be read: {error.strerror or error}") from error
        if size != expected["size"]:
            raise FolderError(f"{path.name}/{name} has {size} bytes where {expected['size']} were written")
        if digest != expected["sha256"]:
            raise FolderError(f"{path.name}/{name} is damaged: its content has changed since it was written")


def load(path: Path) -> TrainState:
    """The training state in a valid checkpoint."""
    from safetensors.torch import load_file

    from attnlab.training import TrainState

    best = load_file(path / BEST) if (path / BEST).is_file() else None
    return TrainState.from_parts(load_file(path / STATE), json.loads((path / SCALARS).read_bytes()), best)


def model_weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights and buffers of the network among the tensors of a checkpoint's `STATE`."""
    return {name.removeprefix(_MODEL): value for name, value in tensors.items() if name.startswith(_MODEL)}


def save(checkpoints: Path, state: TrainState, best: Path | None) -> Path:
    """Writes a checkpoint and removes those older than the last `KEPT`.

    Args:
        best: file with the weights of the best epoch so far; `None` before there is one.

    Raises:
        OSError: when it cannot be written; the earlier ones stay as they are.
    """
    from safetensors.torch import save_file

    tensors, scalars = state.to_parts(best_weights=False)
    checkpoints.mkdir(exist_ok=True)
    require_space(checkpoints, sum(tensor.nbytes for tensor in tensors.values()))
    final = checkpoints / f"{state.step:08d}-{state.epoch:04d}"
    temporary = checkpoints / f".{final.name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        save_file(tensors, temporary / STATE)
        write_json(temporary / SCALARS, scalars)
        if best is not None:
            _link(best, temporary / BEST)
        files = {file.name: {"size": file.stat().st_size, "sha256": _sha256(file)} for file in sorted(temporary.iterdir())}
        for file in temporary.iterdir():
            sync_file(file)
        faults.point("checkpoint.data")
        write_json(temporary / MANIFEST, {"step": state.step, "epoch": state.epoch, "files": files})
        faults.point("checkpoint.manifest")
        shutil.rmtree(final, ignore_errors=True)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(checkpoints)
    faults.point("checkpoint.renamed")
    for old in _all(checkpoints)[:-KEPT]:
        shutil.rmtree(old)
    return final


def save_best(path: Path, weights: dict[str, Any], epoch: int, accuracy: float) -> None:
    """Writes the weights of the best epoch, with its number and validation accuracy in the file's metadata.

    Raises:
        OSError: when it cannot be written; the previous file stays as it is.
    """
    from safetensors.torch import save

    require_space(path.parent, sum(tensor.nbytes for tensor in weights.values()))
    metadata = {"epoch": str(epoch), "validation_accuracy": repr(accuracy)}
    write_file(path, lambda stream: stream.write(seal(save(weights, metadata))))


def clear_unfinished(checkpoints: Path, newest: Path | None) -> None:
    """Removes what a killed process left behind: temporary folders, and checkpoints newer than the one to resume from."""
    if not checkpoints.is_dir():
        return
    for path in checkpoints.iterdir():
        if path.name.startswith(".") or newest is None or path.name > newest.name:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _all(checkpoints: Path) -> list[Path]:
    if not checkpoints.is_dir():
        return []
    return sorted(path for path in checkpoints.iterdir() if _NAME.fullmatch(path.name) and path.is_dir())


def _link(source: Path, target: Path) -> None:
    """A second name for the same file, or a copy where the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
