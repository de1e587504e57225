"""The folder of a run: the truth about it. Everything else, the index included, can be made anew from it.

    config.json       the RunConfig, written once
    meta.json         title, note, when it was made
    queued.json       there while it waits for a worker: its place in the queue
    control           there when it shall "stop" or "pause"; its worker looks before every step
    lock              held by the worker while it lives
    owner.json        the attempt and the process that works, or worked, on it
    state.json        phase, step, speed: progress, not time
    dataset.json      what `ImageDataset.summary` tells
    metrics.jsonl     steps and epochs, see `attnlab.runs.metrics_log`
    probes.npz        the probe images; snapshots/000123.npz: their maps after 123 steps
    best.safetensors  weights of the best epoch; checkpoints/: see `attnlab.runs.checkpoints`
    end.json          how the attempt ended; written last
    log.txt           what the worker printed

A folder is written by one process at a time. Requests (queue, stop, pause, rename) may come from any process, as files.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock

from attnlab.config import RunConfig, explain
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_file, write_json
from attnlab.runs.metrics_log import read_rows
from attnlab.runs.ownership import folder_lock, identity, is_locked
from attnlab.runs.records import RunState

if TYPE_CHECKING:
    from attnlab.training.events import ProbeEvent, SnapshotEvent

Request = Literal["stop", "pause"]
TRAINING = "training"
"""The phase in `state.json` once the first step can begin."""


@dataclass(frozen=True)
class Observed:
    """What the files of a run say of its state.

    Attributes:
        state, reason: as of `RunRecord`.
        attempt: the newest attempt that left a trace.
        progress: content of `state.json` (empty before the first attempt).
        result: the result record of a finished run.
        queued: place in the queue, smaller first; `None` unless queued.
        guessed: nobody wrote that it was interrupted; nobody works on it, and it has no end.
    """

    state: RunState
    attempt: int
    reason: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    queued: float | None = None
    guessed: bool = False


class RunFolder:
    """One run's files.

    Args:
        path: the folder; it need not exist until something is read.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(
        cls,
        parent: Path,
        config: RunConfig,
        *,
        title: str = "",
        note: str = "",
        queued: float | None = None,
        fill: Callable[[RunFolder], None] | None = None,
    ) -> RunFolder:
        """A new folder below ``parent``, named by the config's run id; the second of a name ends in ``-2``.

        It appears with its files in it, or not at all.

        Args:
            queued: its place in the queue, when it shall wait for a worker.
            fill: writes more into the folder before anybody can see it.
        """
        parent.mkdir(parents=True, exist_ok=True)
        made = cls(parent / f".new-{uuid.uuid4().hex}")
        made.path.mkdir()
        write_file(made.path / "config.json", lambda stream: stream.write(config.to_json().encode()))
        write_json(made.path / "meta.json", {"title": title, "note": note, "created": time.time()})
        if queued is not None:
            made.enqueue(queued)
        if fill is not None:
            fill(made)
        count = 1
        while True:
            final = parent / (config.run_id if count == 1 else f"{config.run_id}-{count}")
            try:
                made.path.rename(final)
            except OSError:
                if not final.exists():
                    raise
                count += 1
            else:
                return cls(final)

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def config(self) -> RunConfig:
        """
        Raises:
            FolderError: when there is no configuration, or this version cannot read it.
        """
        try:
            return RunConfig.from_json((self.path / "config.json").read_bytes())
        except FileNotFoundError:
            raise FolderError(f"{self.path} is no run: it has no config.json") from None
        except ValueError as error:
            raise FolderError(f"{self.path / 'config.json'} cannot be read: {explain(error)}") from error

    def meta(self) -> dict[str, Any]:
        """Title, note and the time it was created."""
        return {"title": "", "note": "", "created": 0.0} | (read_json(self.path / "meta.json") or {})

    def describe(self, **changes: str) -> None:
        """Changes the title or the note."""
        write_json(self.path / "meta.json", self.meta() | changes)

    # What is known of it

    def observe(self) -> Observed:
        """The state of the run, from its files and its lock."""
        locked = is_locked(self.lock_path)  # before the end is read: a worker writes it, then lets go
        owner, end = self.owner(), self.end()
        attempt = max(owner["attempt"] if owner else 0, end["attempt"] if end else 0)  # of some only the end was written
        progress = self.progress()
        if locked:
            started = progress.get("attempt") == attempt and progress.get("phase") == TRAINING
            return Observed(RunState.RUNNING if started else RunState.STARTING, attempt, progress=progress)
        if queued := read_json(self.path / "queued.json"):
            return Observed(RunState.QUEUED, attempt, progress=progress, queued=queued["order"])
        if end is not None and end["attempt"] == attempt:
            return Observed(RunState(end["state"]), attempt, end["reason"], progress, end["result"])
        reason = "its process ended without a word; it can be resumed" if owner else "it was never started"
        return Observed(RunState.INTERRUPTED, attempt, reason, progress, guessed=True)

    def progress(self) -> dict[str, Any]:
        """Content of `state.json`; empty before the first attempt."""
        return read_json(self.path / "state.json") or {}

    def owner(self) -> dict[str, Any] | None:
        """The attempt and the process that last worked on it."""
        return read_json(self.path / "owner.json")

    def end(self) -> dict[str, Any] | None:
        """How the last attempt that ended did so: ``state``, ``reason``, ``attempt``, ``result``."""
        return read_json(self.path / "end.json")

    def metrics(self) -> list[dict[str, Any]]:
        """Every step and epoch, in order."""
        return read_rows(self.metrics_path)[0]

    def dataset_summary(self) -> dict[str, Any] | None:
        """What `ImageDataset.summary` told; `None` before the data were read."""
        return read_json(self.path / "dataset.json")

    def probes(self) -> ProbeEvent | None:
        """The probe images; `None` before the training was set up."""
        from attnlab.training.snapshots_io import read_probes

        path = self.path / "probes.npz"
        return read_probes(path) if path.exists() else None

    def snapshot_steps(self) -> list[int]:
        """The steps of which there are maps, ascending."""
        return sorted(int(path.stem) for path in self.snapshots_path.glob("[0-9]*.npz"))

    def snapshot(self, step: int) -> SnapshotEvent:
        """The maps of the probe images after ``step`` steps.

        Raises:
            FolderError: when there are none of this step.
        """
        from attnlab.training.snapshots_io import read_snapshot

        path = self.snapshots_path / f"{step:06d}.npz"
        if not path.exists():
            raise FolderError(f"{self.run_id} has no maps of step {step}; it has those of {self.snapshot_steps()}")
        return read_snapshot(path)

    def weights(self, *, latest: bool = False) -> dict[str, np.ndarray]:
        """Weights and buffers by their names in the network's ``state_dict``, float16 widened to float32.

        Args:
            latest: of the newest checkpoint instead of the best epoch. Where there is no best epoch yet, always.

        Raises:
            FolderError: when neither is there.
        """
        from safetensors.numpy import load_file

        if self.best_path.exists() and not latest:
            stored = load_file(self.best_path)
        else:
            found = checkpoints.find(self.checkpoints_path).path
            if found is None:
                raise FolderError(f"{self.run_id} has no weights yet: its first epoch is not finished")
            tensors = load_file(found / checkpoints.STATE)
            stored = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
        return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in stored.items()}

    @property
    def has_weights(self) -> bool:
        """Whether `weights` would find some."""
        return self.best_path.exists() or checkpoints.find(self.checkpoints_path).path is not None

    # Where things are

    @property
    def lock_path(self) -> Path:
        return self.path / "lock"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    @property
    def snapshots_path(self) -> Path:
        return self.path / "snapshots"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def best_path(self) -> Path:
        return self.path / "best.safetensors"

    # Requests, from any process

    def enqueue(self, order: float) -> None:
        """Lets it wait for a worker; an earlier request to stop or pause is forgotten."""
        self.clear_request()
        write_json(self.path / "queued.json", {"order": order})

    def dequeue(self) -> None:
        (self.path / "queued.json").unlink(missing_ok=True)

    def request(self, what: Request) -> None:
        """Asks the worker to stop or pause before its next step."""
        write_file(self.path / "control", lambda stream: stream.write(what.encode()), sync=False)

    def requested(self) -> Request | None:
        """What was asked of the worker."""
        try:
            text = (self.path / "control").read_text()
        except FileNotFoundError:
            return None
        return "pause" if text == "pause" else "stop"

    def clear_request(self) -> None:
        (self.path / "control").unlink(missing_ok=True)

    # Written by whoever holds the lock

    def lock(self) -> FileLock:
        """Not yet taken. Who writes below, but for requests, has taken it."""
        return folder_lock(self.lock_path)

    def begin_attempt(self, attempt: int | None = None) -> int:
        """Notes that this process works on it from now on, and takes it from the queue. Returns the attempt's number.

        Args:
            attempt: the number it was started with; the next one where nobody gave a number.

        Raises:
            FolderError: when that attempt, or a later one, was begun before.
        """
        owner, end = self.owner(), self.end()
        last = max(owner["attempt"] if owner else 0, end["attempt"] if end else 0)
        number = last + 1 if attempt is None else attempt
        if number <= last:
            raise FolderError(f"attempt {number} of {self.run_id} comes too late: attempt {last} was begun before")
        write_json(self.path / "owner.json", {"attempt": number, "process": identity()})
        self.dequeue()
        return number

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        write_json(self.path / "state.json", progress, sync=False)

    def write_dataset(self, summary: Mapping[str, Any]) -> None:
        write_json(self.path / "dataset.json", summary)

    def write_probes(self, probes: ProbeEvent) -> None:
        from attnlab.training.snapshots_io import write_probes

        write_file(self.path / "probes.npz", lambda stream: write_probes(stream, probes))

    def write_snapshot(self, snapshot: SnapshotEvent) -> None:
        from attnlab.training.snapshots_io import write_snapshot

        self.snapshots_path.mkdir(exist_ok=True)
        path = self.snapshots_path / f"{snapshot.step:06d}.npz"
        write_file(path, lambda stream: write_snapshot(stream, snapshot), sync=False)

    def cut_snapshots(self, step: int) -> None:
        """Removes the maps of later steps."""
        for later in self.snapshot_steps():
            if later > step:
                (self.snapshots_path / f"{later:06d}.npz").unlink()

    def write_end(self, state: RunState, attempt: int, *, reason: str = "", result: Mapping[str, Any] | None = None) -> None:
        """Says how an attempt ended. The last thing that is written of it."""
        end = {"state": str(state), "reason": reason, "attempt": attempt, "result": dict(result or {})}
        write_json(self.path / "end.json", end)

    def remove(self) -> None:
        """Deletes the run. From the first moment on nobody finds it any more."""
        trash = self.path.with_name(f".trash-{uuid.uuid4().hex}")
        self.path.rename(trash)
        shutil.rmtree(trash)


def run_folders(parent: Path) -> list[RunFolder]:
    """The runs below a folder, by name. Names that begin with a dot are not runs."""
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [RunFolder(parent / name) for name in names]
