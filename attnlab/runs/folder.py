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
    final.safetensors weights of a recorded run (`attnlab.Recorder`) at its end; it has no others, and no checkpoints
    end.json          how the attempt ended; written last
    log.txt           what the worker printed

`RunFolder` says who writes them, and what survives which failure.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from filelock import FileLock

from attnlab import paths
from attnlab.config import RunConfig, explain
from attnlab.files import write_file
from attnlab.runs import checkpoints
from attnlab.runs.contents import DatasetSummary, End, Meta, Owner, Progress, Queued, read_content
from attnlab.runs.errors import FolderError, RequestRefused
from attnlab.runs.files import read_small, short, write_json
from attnlab.runs.metrics_log import read_rows
from attnlab.runs.ownership import folder_lock, identity, is_locked
from attnlab.runs.records import RunState
from attnlab.runs.weights import load

if TYPE_CHECKING:
    from attnlab.training.events import ProbeEvent, SnapshotEvent

Request = Literal["stop", "pause"]
Content = TypeVar("Content")
TRAINING = "training"
"""The phase in `state.json` once the first step can begin."""
WRITTEN_BY_THE_APP = tuple(f".{name}." for name in ("meta.json", "queued.json", "control"))
"""How the temporary files of what others than the worker write begin, see `attnlab.files`."""
_DRAFT, _TRASH = ".new-", ".trash-"
"""What the names of folders begin with that are not runs yet, or no longer."""
_RESERVE_BYTES = 1 << 16
_CLOCK_SECONDS = 24 * 3600
"""More than a clock is set by when it is set right: what seems older was left behind, and a later date is damage."""
_SNAPSHOT = re.compile(r"[0-9]{1,15}\.npz")


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
        after: float = 0.0,
        queued: float | None = None,
        fill: Callable[[RunFolder], None] | None = None,
        avoid: Collection[str] = (),
        name: str = "",
    ) -> RunFolder:
        """Makes a new folder below ``parent``, named after the config's run id; the second of a name ends in ``-2``.

        It appears with all its files, or not at all. It never gets the name of a shipped run, which it would hide.

        Args:
            owner: the browser it belongs to, see `attnlab.desk.permissions`; empty when it belongs to the machine's owner.
            after: when the newest run was made that there is. This one counts as made later, also when the clock was set back.
            queued: its place in the queue; `None` when it does not wait for a worker.
            fill: writes more into the folder before anybody can see it.
            avoid: further names that it may not get.
            name: another one than the config's run id.

        Raises:
            OSError: when it cannot be written; nothing is left of it then.
        """
        parent.mkdir(parents=True, exist_ok=True)
        draft = cls(parent / f"{_DRAFT}{uuid.uuid4().hex}")
        try:
            draft.path.mkdir()
            write_file(draft.path / "config.json", lambda stream: stream.write(config.to_json().encode()))
            now = time.time()
            created = after + 0.001 if now < after < now + _CLOCK_SECONDS else now
            write_json(draft.path / "meta.json", {"title": title, "note": note, "created": created, "owner": owner})
            if queued is not None:
                draft.enqueue(queued)
            if fill is not None:
                fill(draft)
            shipped = {folder.run_id for folder in run_folders(paths.DEMO_RUNS)}
            return cls(move_to_free_name(draft.path, parent, name or config.run_id, shipped.union(avoid)))
        except BaseException:
            shutil.rmtree(draft.path, ignore_errors=True)
            raise

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def config(self) -> RunConfig:
        """
        Raises:
            FolderError: when there is no configuration, or this version cannot read it.
        """
        content = read_small(self.path / "config.json")
        if content is None:
            raise FolderError(f"{self.run_id} is not a run folder: it has no config.json")
        try:
            return RunConfig.from_json(content)
        except ValueError as error:
            raise FolderError(f"{short(self.path / 'config.json')} cannot be read: {explain(error)}") from error

    def meta(self) -> dict[str, Any]:
        """Title, note, time of creation and owner."""
        return {"title": "", "note": "", "created": 0.0, "owner": ""} | (read_content(self.path / "meta.json", Meta) or {})

    def describe(self, **changes: str) -> None:
        """Changes the title or the note."""
        write_json(self.path / "meta.json", self.meta() | changes)
        self._announce()

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
        if queued := read_content(self.path / "queued.json", Queued):
            return Observed(RunState.QUEUED, attempt, progress=progress, queued=queued["order"])
        if end is not None and end["attempt"] == attempt:
            return Observed(RunState(end["state"]), attempt, end["reason"], progress, end["result"])
        reason = ended_unexpectedly(self.config) if owner else "it was never started"
        return Observed(RunState.INTERRUPTED, attempt, reason, progress, guessed=True)

    def progress(self) -> dict[str, Any]:
        """Content of `state.json`; empty before the first attempt."""
        return read_content(self.path / "state.json", Progress) or {}

    def owner(self) -> dict[str, Any] | None:
        """The newest attempt that began, and its process."""
        return read_content(self.path / "owner.json", Owner)

    def end(self) -> dict[str, Any] | None:
        """How the last attempt ended: ``state``, ``reason``, ``attempt``, ``result``; `None` when none has."""
        return read_content(self.path / "end.json", End)

    def metrics(self) -> list[dict[str, Any]]:
        """Every step and epoch, in order."""
        return read_rows(self.metrics_path)

    def dataset_summary(self) -> dict[str, Any] | None:
        """The summary of the data set; `None` before it was read."""
        return read_content(self.path / "dataset.json", DatasetSummary)

    def probes(self) -> ProbeEvent | None:
        """The probe images; `None` before the training has begun.

        Raises:
            FolderError: when the file is damaged.
        """
        from attnlab.training.snapshots_io import read_probes

        path = self.path / "probes.npz"
        return _told(path, read_probes) if path.exists() else None

    def snapshot_steps(self) -> list[int]:
        """The steps that have a snapshot, ascending."""
        return sorted(int(path.stem) for path in self.snapshots_path.glob("*.npz") if _SNAPSHOT.fullmatch(path.name))

    def snapshot(self, step: int) -> SnapshotEvent:
        """The maps of the probe images after ``step`` steps.

        Raises:
            FolderError: when there is no snapshot of this step, or it is damaged.
        """
        from attnlab.training.snapshots_io import read_snapshot

        path = self.snapshots_path / f"{step:06d}.npz"
        if not path.exists():
            raise FolderError(f"{self.run_id} has no maps of step {step}; it has those of steps {self.snapshot_steps()}")
        return _told(path, read_snapshot)

    def readable_snapshots(self) -> tuple[list[SnapshotEvent], list[str]]:
        """The snapshots by step, and a sentence for each one that is damaged or does not belong to the others.

        All of them are of the probe images and have the same maps.

        Raises:
            FolderError: when the probe images cannot be read.
        """
        probes = self.probes()
        found: list[SnapshotEvent] = []
        problems = []
        for step in reversed(self.snapshot_steps()):
            try:
                snapshot = self.snapshot(step)
            except FolderError as error:
                problems.append(str(error))
                continue
            of_probes = probes is not None and len(snapshot.probabilities) == len(probes.labels)
            if of_probes and snapshot.step == step and (not found or _maps(snapshot) == _maps(found[0])):
                found.append(snapshot)
            else:
                problems.append(f"{self.run_id}/snapshots/{step:06d}.npz does not belong to the others")
        return found[::-1], problems[::-1]

    def weights(self, *, latest: bool = False) -> dict[str, np.ndarray]:
        """Weights and buffers by their names in the network's ``state_dict``, float16 widened to float32.

        Args:
            latest: those of the newest checkpoint instead of the best epoch. Before there is a best epoch, always.

        Raises:
            FolderError: when there are none yet, or they are damaged.
        """
        from safetensors.numpy import load_file

        if self.best_path.exists() and not latest:
            stored = load(self.best_path, load_file)
        else:
            newest = checkpoints.find(self.checkpoints_path).path
            if newest is None:
                raise FolderError(f"{self.run_id} has no weights yet: its first epoch is not finished")
            stored = checkpoints.model_weights(load(newest / checkpoints.STATE, load_file))
        return {name: value.astype(np.float32) if value.dtype == np.float16 else value for name, value in stored.items()}

    @property
    def has_weights(self) -> bool:
        """Whether `weights` were written; when they are read, they may turn out to be damaged."""
        return self.best_path.exists() or checkpoints.has_any(self.checkpoints_path)

    @property
    def best_or_last(self) -> Literal["best", "last"]:
        """Which weights to show: those of the best epoch, or before there is one those of the newest checkpoint.

        Raises:
            FolderError: when the files that tell are damaged.
        """
        result = (self.end() or {}).get("result", {})
        validated = (result.get("validation_accuracy") or self.progress().get("validation_accuracy")) is not None
        return "best" if self.best_path.exists() or validated else "last"

    @property
    def weights_stamp(self) -> int:
        """A number that changes with the weights that `best_or_last` names."""
        for path in (self.best_path, self.path / "state.json"):
            with suppress(OSError):
                return path.stat().st_mtime_ns
        return 0

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

    @property
    def final_path(self) -> Path:
        return self.path / "final.safetensors"

    # Requests, from any process

    def enqueue(self, order: float) -> None:
        """Puts the run in the queue; an earlier request to stop or pause is forgotten."""
        self.clear_request()
        write_json(self.path / "queued.json", {"order": order})
        self._announce()

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
        self._announce()

    def requested(self) -> Request | None:
        """The request that the worker has not answered yet. Whatever else is in the file asks to stop."""
        text = read_small(self.path / "control")
        return None if text is None else "pause" if text == b"pause" else "stop"

    def clear_request(self) -> None:
        (self.path / "control").unlink(missing_ok=True)

    def _announce(self) -> None:
        """Touches the folder of all runs, so that an index looks at every run now and not in its own time."""
        with suppress(OSError):
            os.utime(self.path.parent)

    # Writing, only with the lock held

    def lock(self) -> FileLock:
        """The run's lock, not yet acquired."""
        return folder_lock(self.lock_path)

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Keeps some space while the run trains, and frees it afterwards, so that its end can be written on a full disk."""
        path = self.path / ".reserve"
        try:
            path.write_bytes(bytes(_RESERVE_BYTES))
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)

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
        self._announce()
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
        """Deletes the run. It disappears at once; a file that cannot be deleted now is deleted by `clear_left_behind`.

        Raises:
            OSError: when the folder may not be changed.
        """
        trash = self.path.with_name(f"{_TRASH}{uuid.uuid4().hex}")
        self.path.rename(trash)
        shutil.rmtree(trash, ignore_errors=True)


def ended_unexpectedly(config: RunConfig) -> str:
    """What is said of a run whose process is gone and has written no end."""
    if config.recorded:
        return "the program that recorded it ended, or was ended, without closing the recording"
    return "its process ended unexpectedly; it can be resumed"


def refuse_recorded(folder: RunFolder) -> None:
    """
    Raises:
        RequestRefused: when the run was recorded, so that no worker can stop it or go on with it.
    """
    if folder.config.recorded:
        raise RequestRefused(f"{folder.run_id} was recorded by a program of its own, which alone can stop or continue it")


def _told(path: Path, read: Callable[[Path], Content]) -> Content:
    """What ``read`` makes of a file; what is wrong with the file becomes a `FolderError` that names it."""
    try:
        return read(path)
    except (ValueError, OSError) as error:
        raise FolderError(f"{short(path)} cannot be used: {error}") from error


def _maps(snapshot: SnapshotEvent) -> tuple[Any, ...]:
    """What the snapshots of one run have in common."""
    return snapshot.probabilities.shape, {stored.name: (stored.kind, stored.codes.shape) for stored in snapshot.maps}


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


def clear_left_behind(parent: Path) -> None:
    """Removes what processes left that were killed while they made or deleted a run; what may still be used stays."""
    for path in (*parent.glob(f"{_DRAFT}*"), *parent.glob(f"{_TRASH}*")):
        with suppress(OSError):
            if path.name.startswith(_TRASH) or time.time() - path.stat().st_mtime > _CLOCK_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def run_folders(parent: Path) -> list[RunFolder]:
    """The runs below a folder, by name. Names that begin with a dot are not runs."""
    if not parent.is_dir():
        return []
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
    return [RunFolder(parent / name) for name in names]
