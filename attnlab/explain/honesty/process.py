"""A measurement of a run's maps in a process of its own: started, watched and stopped through files.

    <run>/honesty/<images>-<seed>/         of all maps of a run of this home; of a shipped run below <home>/honesty/<run_id>/
    <run>/honesty/<tap>-<images>-<seed>/   of one map
        result.json    the finished measurement, map by map, with the weights it was made of
        progress.json  phase, images done, images in all, or why it failed
        lock           held while a process measures
        stop           exists once a stop is requested
        log.txt        what the process printed

The process is a child in a session of its own, so it continues when the page is closed, and every page can find it. One
process at a time measures in a home; the others wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from filelock import FileLock

from attnlab import paths
from attnlab.files import write_file
from attnlab.runs.contents import Content, Count, Process, read_content
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import folder_lock, identity, is_alive, is_locked

FOLDER = "honesty"
MODULE = "attnlab.explain.honesty.job"
MEASURES_VERSION = 3
"""Raised when a measure changes its meaning, so that no older result is shown as one of today: 2 lays maps by their cells, 3
has the random map among the baselines, and the best that the grid allows."""
_LOG_TAIL = 400


class MeasurementState(StrEnum):
    """Where a measurement stands. `FAILED` includes a process that ended unexpectedly."""

    NONE = "none"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class MeasurementStatus:
    """What the files say: ``done`` of ``total`` images are measured; ``reason`` says in a sentence why it failed."""

    state: MeasurementState
    phase: str = ""
    done: int = 0
    total: int = 0
    reason: str = ""


class _Progress(Content):
    """`progress.json`"""

    phase: str
    done: Count = 0
    total: Count = 0
    failed: str = ""
    who: Process | None = None


class Measurement:
    """The files of one measurement.

    Args:
        run: folder of the run.
        count, seed: of the images, see `attnlab.explain.honesty.measure.choose_images`.
        tap: path of the tap whose map is measured; without one, all maps of the network that have positions.
    """

    def __init__(self, run: RunFolder, count: int, seed: int = 0, tap: str | None = None) -> None:
        self.run, self.count, self.seed, self.tap = run, count, seed, tap
        in_home = run.path.resolve().parent == paths.runs_dir()
        parent = run.path / FOLDER if in_home else paths.home() / FOLDER / run.run_id
        self.path = parent / (f"{tap.replace('#', '_')}-{count}-{seed}" if tap else f"{count}-{seed}")

    @property
    def weights(self) -> int:
        """A number that changes with the weights of the run, so that no result is shown for weights it was not made of."""
        return self.run.weights_stamp

    def result(self) -> list[dict[str, Any]] | None:
        """The saved result of each map; `None` where there is none for the run's present weights and today's measures."""
        try:
            saved = read_json(self.path / "result.json") or {}
        except FolderError:
            return None  # it can be measured again
        today = saved.get("weights") == self.weights and saved.get("measures") == MEASURES_VERSION
        result = saved.get("result") if today else None
        return result if isinstance(result, list) else None

    def status(self) -> MeasurementStatus:
        """Where it stands, by the files and the lock."""
        progress = self._progress()
        starting = progress.get("phase") == "starting" and "who" in progress and is_alive(progress["who"])
        if is_locked(self.path / "lock") or starting:
            counts = {name: progress[name] for name in ("phase", "done", "total") if name in progress}
            return MeasurementStatus(MeasurementState.RUNNING, **counts)
        if self.result() is not None:
            return MeasurementStatus(MeasurementState.DONE)
        if not progress:
            return MeasurementStatus(MeasurementState.NONE)
        if progress.get("failed"):
            return MeasurementStatus(MeasurementState.FAILED, reason=progress["failed"])
        if progress["phase"] == "stopped":
            return MeasurementStatus(MeasurementState.STOPPED)
        if progress["phase"] == "done":  # of other weights
            return MeasurementStatus(MeasurementState.NONE)
        return MeasurementStatus(MeasurementState.FAILED, reason=f"its process ended unexpectedly{self._last_log_line()}")

    def _progress(self) -> dict[str, Any]:
        """Content of the progress file; empty where there is none or it is damaged."""
        try:
            return read_content(self.path / "progress.json", _Progress) or {}
        except FolderError:
            return {}

    def start(self) -> subprocess.Popen[bytes] | None:
        """Starts a process that measures; `None` when one is running already.

        Raises:
            OSError: when no process can be started.
        """
        if self.status().state is MeasurementState.RUNNING:
            return None
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "stop").unlink(missing_ok=True)
        environment = os.environ | {"PYTHONPATH": paths.python_path()}
        command = [sys.executable, "-m", MODULE, str(self.run.path), str(self.count), str(self.seed)]
        command += [self.tap] if self.tap else []
        with (self.path / "log.txt").open("wb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        if not is_locked(self.path / "lock"):
            self.write_progress("starting", who=identity(child.pid))
        threading.Thread(target=child.wait, name="attnlab-reap", daemon=True).start()
        return child

    def stop(self) -> None:
        """Requests the process to stop before its next map."""
        write_file(self.path / "stop", lambda stream: None, sync=False)

    def stop_requested(self) -> bool:
        """Whether `stop` was called since the last start."""
        return (self.path / "stop").exists()

    # For the process that measures

    def lock(self) -> FileLock:
        """The lock that the measuring process holds, not yet acquired."""
        self.path.mkdir(parents=True, exist_ok=True)
        return folder_lock(self.path / "lock")

    def home_lock(self) -> FileLock:
        """The lock that lets one process at a time measure in a home, not yet acquired."""
        paths.home().mkdir(parents=True, exist_ok=True)
        return folder_lock(paths.home() / "honesty.lock")

    def write_progress(self, phase: str, **fields: Any) -> None:
        """Replaces the progress file by a phase in words and further fields."""
        write_json(self.path / "progress.json", {"phase": phase, **fields}, sync=False)

    def save(self, result: Sequence[dict[str, Any]], weights: int) -> None:
        """Writes the result of each map, and then that the measurement is done."""
        write_json(self.path / "result.json", {"weights": weights, "measures": MEASURES_VERSION, "result": list(result)})
        self.write_progress("done")

    def _last_log_line(self) -> str:
        log = self.path / "log.txt"
        text = log.read_text(errors="replace")[-_LOG_TAIL:].strip() if log.exists() else ""
        return f": {text.splitlines()[-1]}" if text else " (it was killed, perhaps because memory ran out)"


def finished_measurements(run: RunFolder) -> list[Measurement]:
    """The measurements of all maps of a run that have a result for its present weights, by name."""
    parent = Measurement(run, 1).path.parent
    measurements = []
    for path in sorted(parent.glob("*/result.json")):
        try:
            count, seed = map(int, path.parent.name.split("-"))
            measurement = Measurement(run, count, seed)
            if measurement.result() is not None:
                measurements.append(measurement)
        except (FolderError, KeyError, ValueError):
            continue  # of one map, or a damaged file
    return measurements
