"""A measurement of a run's maps in a process of its own: started, watched, stopped and found again through files.

    <run>/honesty/<tap>-<images>-<seed>/   of a run of this home; of a shipped run below <home>/honesty/<run_id>/
        result.json    the finished measurement, with the weights it was made of
        progress.json  phase, images done, images in all, or how it failed
        lock           held while a process measures
        stop           there when it shall stop
        log.txt        what the process printed

The process is a plain child in a session of its own, so it goes on when the page is closed, and any page finds it. One
measures at a time in a home; the others wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from filelock import FileLock

from attnlab import paths
from attnlab.files import write_file
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import folder_lock, identity, is_alive, is_locked

KEPT = "honesty"
MODULE = "attnlab.explain.honesty.job"
_LOG_TAIL = 400


class MeasurementState(StrEnum):
    """Where a measurement is. `FAILED` includes a process that ended unexpectedly."""

    NONE = "none"
    RUNNING = "running"
    STOPPED = "stopped"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True)
class Seen:
    """What the files say. ``done`` of ``total`` images; ``reason`` of a failure, in a sentence."""

    state: MeasurementState
    phase: str = ""
    done: int = 0
    total: int = 0
    reason: str = ""


class Measurement:
    """The files of one measurement.

    Args:
        run: folder of the run.
        tap: of the map.
        count, seed: of the images.
    """

    def __init__(self, run: RunFolder, tap: str, count: int, seed: int = 0) -> None:
        self.run, self.tap, self.count, self.seed = run, tap, count, seed
        mine = run.path.resolve().parent == paths.runs_dir()
        parent = run.path / KEPT if mine else paths.home() / KEPT / run.run_id
        self.path = parent / f"{tap.replace('#', '_')}-{count}-{seed}"

    @property
    def weights(self) -> int:
        """Changes with the weights of the run, so that an old result is not shown for new ones."""
        return self.run.weights_stamp

    def result(self) -> dict[str, Any] | None:
        """The kept result; `None` where there is none of these weights."""
        kept = read_json(self.path / "result.json")
        return kept["result"] if kept is not None and kept["weights"] == self.weights else None

    def see(self) -> Seen:
        """The state, from the files and the lock."""
        progress = read_json(self.path / "progress.json") or {}
        told = {name: progress[name] for name in ("phase", "done", "total") if name in progress}
        starting = progress.get("phase") == "starting" and "who" in progress and is_alive(progress["who"])
        if is_locked(self.path / "lock") or starting:
            return Seen(MeasurementState.RUNNING, **told)
        if self.result() is not None:
            return Seen(MeasurementState.DONE)
        if not progress:
            return Seen(MeasurementState.NONE)
        if "failed" in progress:
            return Seen(MeasurementState.FAILED, reason=progress["failed"])
        if progress["phase"] == "stopped":
            return Seen(MeasurementState.STOPPED)
        if progress["phase"] == "done":  # of other weights
            return Seen(MeasurementState.NONE)
        return Seen(MeasurementState.FAILED, reason=f"its process ended unexpectedly{self._last_words()}")

    def start(self) -> subprocess.Popen[bytes] | None:
        """Lets a process measure; `None` when one does already.

        Raises:
            OSError: when none can be started.
        """
        if self.see().state is MeasurementState.RUNNING:
            return None
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "stop").unlink(missing_ok=True)
        environment = os.environ | {"PYTHONPATH": paths.python_path()}
        command = [sys.executable, "-m", MODULE, str(self.run.path), self.tap, str(self.count), str(self.seed)]
        with (self.path / "log.txt").open("wb") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        if not is_locked(self.path / "lock"):
            self.tell("starting", who=identity(child.pid))
        threading.Thread(target=child.wait, name="attnlab-reap", daemon=True).start()
        return child

    def stop(self) -> None:
        """Asks the process to stop before its next map."""
        write_file(self.path / "stop", lambda stream: None, sync=False)

    # For the process that measures

    def lock(self) -> FileLock:
        """Not yet taken."""
        self.path.mkdir(parents=True, exist_ok=True)
        return folder_lock(self.path / "lock")

    def turn(self) -> FileLock:
        """The lock of the home: who holds it measures. Not yet taken."""
        paths.home().mkdir(parents=True, exist_ok=True)
        return folder_lock(paths.home() / "honesty.lock")

    def stopping(self) -> bool:
        return (self.path / "stop").exists()

    def tell(self, phase: str, **more: Any) -> None:
        write_json(self.path / "progress.json", {"phase": phase, **more}, sync=False)

    def keep(self, result: dict[str, Any], weights: int) -> None:
        """Writes the result, then that it is done."""
        write_json(self.path / "result.json", {"weights": weights, "result": result})
        self.tell("done")

    def _last_words(self) -> str:
        log = self.path / "log.txt"
        text = log.read_text(errors="replace")[-_LOG_TAIL:].strip() if log.exists() else ""
        return f": {text.splitlines()[-1]}" if text else " (it was killed, perhaps for lack of memory)"


def kept_measurements(run: RunFolder) -> list[Measurement]:
    """Those of a run that have a result, by name."""
    parent = Measurement(run, "any", 1).path.parent
    found = []
    for path in sorted(parent.glob("*/result.json")):
        try:
            _, count, seed = path.parent.name.rsplit("-", 2)
            found.append(Measurement(run, (read_json(path) or {})["result"]["tap"], int(count), int(seed)))
        except (FolderError, KeyError, ValueError):
            continue  # a damaged file is no result
    return [each for each in found if each.result() is not None]
