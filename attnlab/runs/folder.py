"""The folder of a run: the truth about it. Everything else, the index included, can be rebuilt from these files.

    config.json       the RunConfig, written once
    meta.json         title, note, time of creation, the browser that made it (see `attnlab.desk.permissions`)
    queued.json       exists while the run waits for a worker: its place in the queue
    control           exists while the run is asked to "stop" or "pause"; its worker looks before every step
    lock              held by the worker while it lives
    owner.json        the newest attempt and the process that trains, or trained, the run
    state.json        phase, step, speed
    dataset.json      the summary of the data set (`ImageDataset.summary`)
    metrics.jsonl     steps and epochs, see `attnlab.runs.metrics_log`
    probes.npz        the probe images; snapshots/000123.npz: their maps after 123 steps
    best.safetensors  weights of the best epoch; checkpoints/: see `attnlab.runs.checkpoints`
    end.json          how the attempt ended; written last
    log.txt           what the worker printed

`RunFolder` says who writes them, and what survives which failure.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from filelock import FileLock

from attnlab import paths
from attnlab.config import RunConfig, explain
from attnlab.files import write_file
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
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
    """The state of a run according to its files.

    Attributes:
        state, reason: see `RunRecord`.
        attempt: the newest attempt that left a trace.
        progress: content of `state.json` (empty before the first attempt).
        result: the result of a finished run.
        queued: place in the queue, smaller first; `None` unless queued.
        guessed: the state is `interrupted` only because no process trains the run and the attempt has no end.
    """

    state: RunState
    attempt: int
    reason: str = ""
    progress: Mapping[str, Any] = field(default_factory=dict)
    result: Mapping[str, Any] = field(default_factory=dict)
    queued: float | None = None
    guessed: bool = False


class RunFolder:
    """The files of one run.

    * Who writes: one process at a time, the one that holds `lock`. Requests (`enqueue`, `dequeue`, `request`,
      `clear_request`, `describe`) may come from any process at any time. The object itself keeps nothing but the
      configuration, which never changes, so threads may share it.
    * Consistency: each file is replaced as a whole, so a reader sees its old content or its new, never half of it; two
      files may be of different moments. `metrics.jsonl` only grows during an attempt; a reader ignores a last line that
      is not finished yet. A new attempt begins by cutting it back to its checkpoint.
    * Durability: when a method returns, what it wrote survives the death of the process. The configuration, the place in
      the queue, the owner, checkpoints, best weights and the end survive a power failure too; progress, requests,
      metrics and snapshots may then lose their newest entries.

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
        owner: str = "",
        queued: float | None = None,
        fill: Callable[[RunFolder], None] | None = None,
        avoid: Collection[str] = (),
    ) -> RunFolder:
        """Makes a new folder below ``parent``, named after the config's run id; the second of a name ends in ``-2``.

        It appears with all its files, or not at all. It never gets the name of a shipped run, which it would hide.

        Args:
            owner: the browser it belongs to, see `attnlab.desk.permissions`; empty when it belongs to the machine's owner.
            queued: its place in the queue; `None` when it does not wait for a worker.
            fill: writes more into the folder before anybody can see it.
            avoid: further names that it may not get.
        """
        parent.mkdir(parents=True, exist_ok=True)
        draft = cls(parent / f".new-{uuid.uuid4().hex}")
        draft.path.mkdir()
        write_file(draft.path / "config.json", lambda stream: stream.write(config.to_json().encode()))
        write_json(draft.path / "meta.json", {"title": title, "note": note, "created": time.time(), "owner": owner})
        if queued is not None:
            draft.enqueue(queued)
        if fill is not None:
            fill(draft)
        shipped = {folder.run_id for folder in run_folders(paths.DEMO_RUNS)}
        return cls(move_to_free_name(draft.path, parent, config.run_id, shipped.union(avoid)))

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
            raise FolderError(f"{self.path} is not a run folder: it has no config.json") from None
        except ValueError as error:
            raise FolderError(f"{self.path / 'config.json'} cannot be read: {explain(error)}") from error

    def meta(self) -> dict[str, Any]:
        """Title, note, time of creation and owner."""
        return {"title": "", "note": "", "created": 0.0, "owner": ""} | (read_json(self.path / "meta.json") or {})

    def describe(self, **changes: str) -> None:
        """Changes the title or the note."""
        write_json(self.path / "meta.json", self.meta() | changes)

    # Reading

    def observe(self) -> Observed:
        """The state of the run, from its files and its lock."""
        locked = is_locked(self.lock_path)  # before the end is read: a worker writes the end, then releases the lock
        owner, end = self.owner(), self.end()
        attempt = _newest_attempt(owner, end)
        progress = self.progress()
        if locked:
            started = progress.get("attempt") == attempt and progress.get("phase") == TRAINING
            return Observed(RunState.RUNNING if started else RunState.STARTING, attempt, progress=progress)
        if queued := read_json(self.path / "queued.json"):
            return Observed(RunState.QUEUED, attempt, progress=progress, queued=queued["order"])
        if end is not None and end["attempt"] == attempt:
            return Observed(RunState(end["state"]), attempt, end["reason"], progress, end["result"])
        reason = "its process ended unexpectedly; it can be resumed" if owner else "it was never started"
        return Observed(RunState.INTERRUPTED, attempt, reason, progress, guessed=True)

    def progress(self) -> dict[str, Any]:
        """Content of `state.json`; empty before the first attempt."""
        return read_json(self.path / "state.json") or {}

    def owner(self) -> dict[str, Any] | None:
        """The newest attempt that began, and its process."""
        return read_json(self.path / "owner.json")

    def end(self) -> dict[str, Any] | None:
        """How the last attempt ended: ``state``, ``reason``, ``attempt``, ``result``; `None` when none has."""
        return read_json(self.path / "end.json")

    def metrics(self) -> list[dict[str, Any]]:
        """Every step and epoch, in order."""
        return read_rows(self.metrics_path)

    def dataset_summary(self) -> dict[str, Any] | None:
        """The summary of the data set; `None` before it was read."""
        return read_json(self.path / "dataset.json")

    def probes(self) -> ProbeEvent | None:
        """The probe images; `None` before the training has begun."""
        from attnlab.training.snapshots_io import read_probes

        path = self.path / "probes.npz"
        return read_probes(path) if path.exists() else None

    def snapshot_steps(self) -> list[int]:
        """The steps that have a snapshot, ascending."""
        return sorted(int(path.stem) for path in self.snapshots_path.glob("[0-9]*.npz"))

    def snapshot(self, step: int) -> SnapshotEvent:
        """The maps of the probe images after ``step`` steps.

        Raises:
            FolderError: when there is no snapshot of this step.
        """
        from attnlab.training.snapshots_io import read_snapshot

        path = self.snapshots_path / f"{step:06d}.npz"
        if not path.exists():
            raise FolderError(f"{self.run_id} has no maps of step {step}; it has those of steps {self.snapshot_steps()}")
        return read_snapshot(path)

    def weights(self, *, latest: bool = False) -> dict[str, np.ndarray]:
        """Weights and buffers by their names in the network's ``state_dict``, float16 widened to float32.

        Args:
            latest: those of the newest checkpoint instead of the best epoch. Before there is a best epoch, always.

        Raises:
            FolderError: when there are none yet.
        """
        from safetensors.numpy import load_file

        if self.best_path.exists() and not latest:
            stored = load_file(self.best_path)
        else:
            newest = checkpoints.find(self.checkpoints_path).path
            if newest is None:
                raise FolderError(f"{self.run_id} has no weights yet: its first epoch is not finished")
            tensors = load_file(newest / checkpoints.STATE)
            stored = {name.removeprefix("model/"): value for name, value in tensors.items() if name.startswith("model/")}
        return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in stored.items()}

    @property
    def has_weights(self) -> bool:
        """Whether there are `weights`."""
        return self.best_path.exists() or checkpoints.find(self.checkpoints_path).path is not None

    @property
    def best_or_last(self) -> Literal["best", "last"]:
        """Which weights to show: those of the best epoch, or before there is one those of the newest checkpoint."""
        return "best" if self.best_path.exists() else "last"

    @property
    def weights_stamp(self) -> int:
        """A number that changes with the weights that `best_or_last` names."""
        return self.best_path.stat().st_mtime_ns if self.best_path.exists() else int(self.progress().get("step", 0))

    # Paths

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
        """Puts the run in the queue; an earlier request to stop or pause is forgotten."""
        self.clear_request()
        write_json(self.path / "queued.json", {"order": order})

    def dequeue(self) -> None:
        """Removes the run from the queue."""
        (self.path / "queued.json").unlink(missing_ok=True)

    @property
    def is_queued(self) -> bool:
        """Whether the run waits for a worker."""
        return (self.path / "queued.json").exists()

    def request(self, what: Request) -> None:
        """Asks the worker to stop or pause before its next step."""
        write_file(self.path / "control", lambda stream: stream.write(what.encode()), sync=False)

    def requested(self) -> Request | None:
        """The request that the worker has not answered yet."""
        try:
            text = (self.path / "control").read_text()
        except FileNotFoundError:
            return None
        return "pause" if text == "pause" else "stop"

    def clear_request(self) -> None:
        (self.path / "control").unlink(missing_ok=True)

    # Writing, only with the lock held

    def lock(self) -> FileLock:
        """The run's lock, not yet acquired."""
        return folder_lock(self.lock_path)

    def begin_attempt(self, attempt: int | None = None) -> int:
        """Makes this process the owner of the run and removes it from the queue. Returns the number of the attempt.

        Args:
            attempt: the number it was started with; `None` takes the next one.

        Raises:
            FolderError: when that attempt, or a later one, has begun before.
        """
        last = _newest_attempt(self.owner(), self.end())
        number = last + 1 if attempt is None else attempt
        if number <= last:
            raise FolderError(f"attempt {number} of {self.run_id} comes too late: attempt {last} has begun before")
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

    def remove_snapshots_after(self, step: int) -> None:
        """Removes the snapshots of later steps."""
        for later in self.snapshot_steps():
            if later > step:
                (self.snapshots_path / f"{later:06d}.npz").unlink()

    def write_end(self, state: RunState, attempt: int, *, reason: str = "", result: Mapping[str, Any] | None = None) -> None:
        """Writes how an attempt ended. Nothing more of it is written afterwards."""
        end = {"state": str(state), "reason": reason, "attempt": attempt, "result": dict(result or {})}
        write_json(self.path / "end.json", end)

    def remove(self) -> None:
        """Deletes the run. It disappears at once, before its files are deleted."""
        trash = self.path.with_name(f".trash-{uuid.uuid4().hex}")
        self.path.rename(trash)
        shutil.rmtree(trash)


def _newest_attempt(owner: Mapping[str, Any] | None, end: Mapping[str, Any] | None) -> int:
    """The number of the newest attempt; 0 before the first. One that could not be started has an end but no owner."""
    return max(owner["attempt"] if owner else 0, end["attempt"] if end else 0)


def move_to_free_name(folder: Path, parent: Path, name: str, avoid: Collection[str] = ()) -> Path:
    """Moves a folder into ``parent`` under a name that is free there: ``name``, else ``name-2`` and so on. Returns its path.

    Args:
        avoid: names that count as taken.
    """
    count = 1
    while True:
        final = parent / (name if count == 1 else f"{name}-{count}")
        if final.name not in avoid:
            try:
                return folder.rename(final)
            except OSError:
                if not final.exists():
                    raise
        count += 1


def run_folders(parent: Path) -> list[RunFolder]:
    """The runs below a folder, by name. Names that begin with a dot are not runs."""
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    return [RunFolder(parent / name) for name in names]
