"""Trains the run in a folder, and writes only into that folder.

`run` is the one function that every executor and the command line come to. ``python -m attnlab.worker.main`` is the warm
process: it loads torch, then takes one run after the other from its input, a line of JSON each ({"run": folder,
"attempt": number}), and says on its output when one is done. Its nice value is raised, so that pages stay quick while it
computes; ``ATTNLAB_THREADS`` sets the threads of torch. Without its input (the app is gone) it finishes what it has
begun and ends. ``python -m attnlab.worker.main LOCATION ATTEMPT`` trains one run and ends, for engines that start a
process for each; the location is the folder's path or its ``file://`` URL.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import url2pathname

from filelock import Timeout

from attnlab.config import DatasetConfig, RunConfig
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.files import disk_full
from attnlab.runs.folder import RunFolder
from attnlab.runs.metrics_log import MetricsLog, cut_back
from attnlab.runs.records import RunState
from attnlab.worker.attempt import Attempt, StopAsked, Watch
from attnlab.worker.stack import run_with_others

if TYPE_CHECKING:
    from attnlab.data import ImageDataset, Progress
    from attnlab.training import Event, TrainState

_log = logging.getLogger("attnlab")

NICE = 10
THREADS = "ATTNLAB_THREADS"
CHECKPOINT_STEPS = "ATTNLAB_CHECKPOINT_STEPS"
"""Environment: a checkpoint every so many steps, instead of every half minute."""

LOCK_SECONDS = 5.0
_RESERVE_BYTES = 1 << 16
_LOG_BYTES = 1 << 20


class Terminated(BaseException):
    """The process was told to end (SIGTERM)."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state, reason, result: as written to `end.json`.
        reusable: false when the process shall end (it was told to, or an error of CUDA left it in an unknown state).
    """

    state: RunState
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    reusable: bool = True


def run(run_dir: Path, *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """Trains the run in a folder, from its newest valid checkpoint where it has one, until it ends in whatever way.

    Whatever goes wrong in the training ends in the outcome, not in an exception.

    Args:
        attempt: the number this attempt was started with; the next one where nobody gave a number.
        watch: told of the progress, in this thread.

    Raises:
        FolderError: when there is no run in the folder, another process works on it, or the attempt comes too late.
        OSError: when not even the end could be written.
    """
    folder = RunFolder(run_dir)
    config = folder.config
    lock = folder.lock()
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise FolderError(f"{folder.run_id} is at work in another process") from None
    try:
        number = folder.begin_attempt(attempt)
        with logging_to(folder.log_path):
            _log.info("attempt %d at %s in process %d", number, folder.run_id, os.getpid())
            reserve = folder.path / ".reserve"  # given back when the disk is full, so that the end can be written
            outcome = Outcome(RunState.FAILED)
            try:
                reserve.write_bytes(bytes(_RESERVE_BYTES))
                outcome = _train(folder, config, number, watch)
            except OSError as error:
                outcome = failed(folder, error)
            finally:
                reserve.unlink(missing_ok=True)
            _log.info("%s %s", outcome.state, outcome.reason)
            folder.write_end(outcome.state, number, reason=outcome.reason, result=outcome.result)
            folder.clear_request()
    finally:
        lock.release()
    return outcome


def load() -> None:
    """Imports what a training needs."""
    import attnlab.training.loop  # noqa: F401


def _train(folder: RunFolder, config: RunConfig, number: int, watch: Watch | None) -> Outcome:
    """The attempt; every way in which it can end becomes an outcome."""
    import torch

    from attnlab.training import TrainingFailed, train

    try:
        state = prepare(folder)
        attempt = Attempt(folder, number, state, watch)
        with MetricsLog(folder.metrics_path) as log:
            attempt.log = log
            data = dataset(config.dataset, attempt.loading)
            folder.write_dataset(data.summary())
            result = train(
                config,
                on_event=attempt.on_event,
                should_stop=attempt.should_stop,
                dataset=data,
                resume=state,
                checkpoint_every=checkpoint_every(),
            )
        attempt.write_progress(attempt.progress.get("phase", ""))
        if result is None:
            return stopped(folder)
        from attnlab.training import to_dict

        return Outcome(RunState.FINISHED, result=to_dict(result))
    except StopAsked:
        return stopped(folder)
    except Terminated:
        return replace(stopped(folder, told="its process was told to end"), reusable=False)
    except TrainingFailed as error:
        return Outcome(RunState.FAILED, str(error), reusable=not isinstance(error.__cause__, torch.OutOfMemoryError))
    except MemoryError:
        return Outcome(RunState.FAILED, "memory ran out; a smaller training.batch_size or dataset.subset may help")
    except Exception as error:  # the run ends, the process goes on to the next
        return failed(folder, error)


def prepare(folder: RunFolder) -> TrainState | None:
    """Brings the folder back to its newest valid checkpoint. Returns the state in it; `None` starts from the beginning."""
    for left in folder.path.glob(".*.tmp"):
        left.unlink()
    found = checkpoints.find(folder.checkpoints_path)
    for name, reason in found.passed_over:
        _log.warning("checkpoint %s is passed over: %s", name, reason)
    state = None if found.path is None else checkpoints.load(found.path)
    checkpoints.clear_unfinished(folder.checkpoints_path, found.path)
    cut_back(folder.metrics_path, state.step if state else 0, state.epoch if state else 0)
    folder.cut_snapshots(state.step if state else -1)
    if state is None or state.best is None:
        folder.best_path.unlink(missing_ok=True)
    else:
        checkpoints.save_best(folder.best_path, state.best.weights, state.best.epoch, state.best.accuracy)
    folder.write_progress(folder.progress() | {"recovered": found.told(state.step if state else 0)})
    _log.info("beginning at step %d", state.step if state else 0)
    return state


def checkpoint_every() -> int | timedelta:
    """How often a checkpoint is due."""
    steps = os.environ.get(CHECKPOINT_STEPS)
    return int(steps) if steps else timedelta(seconds=30)


def stopped(folder: RunFolder, told: str = "") -> Outcome:
    """The outcome of a training that ended with a checkpoint before its time."""
    asked = folder.requested()
    if asked is None:
        return Outcome(RunState.INTERRUPTED, f"{told or 'it stopped'}; it can be resumed")
    return Outcome(RunState.PAUSED if asked == "pause" else RunState.STOPPED)


def failed(folder: RunFolder, error: Exception) -> Outcome:
    """The outcome of an error, in words for people."""
    _log.error("the run failed", exc_info=error)
    if disk_full(folder.path) or (isinstance(error, OSError) and error.errno == errno.ENOSPC):
        return Outcome(RunState.FAILED, "the disk is full; free some space, then resume the run")
    of_cuda = type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error)
    if isinstance(error, ValueError | FileNotFoundError | PermissionError):
        return Outcome(RunState.FAILED, str(error), reusable=not of_cuda)
    return Outcome(RunState.FAILED, f"{type(error).__name__}: {error}".rstrip(": "), reusable=not of_cuda)


_last_dataset: tuple[str, ImageDataset] | None = None


def dataset(config: DatasetConfig, progress: Progress) -> ImageDataset:
    """The data set; that of the last run is kept, unless it is a path, whose content may have changed."""
    from attnlab.data import list_datasets, load_dataset

    global _last_dataset
    key = config.model_dump_json()
    if _last_dataset is not None and _last_dataset[0] == key:
        return _last_dataset[1]
    _last_dataset = None
    data = load_dataset(config, progress=progress)
    if config.name in list_datasets():
        _last_dataset = (key, data)
    return data


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """What is logged goes to a file too."""
    if path.exists() and path.stat().st_size > _LOG_BYTES:
        path.unlink()
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)
    level = _log.level
    _log.setLevel(logging.INFO)
    try:
        yield
    finally:
        _log.setLevel(level)
        _log.removeHandler(handler)
        handler.close()


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Whatever is printed, by C libraries too, goes to the end of a file."""
    before = os.dup(1), os.dup(2)
    with path.open("ab") as stream:
        for descriptor in (1, 2):
            os.dup2(stream.fileno(), descriptor)
    try:
        yield
    finally:
        for kept, descriptor in zip(before, (1, 2), strict=True):
            os.dup2(kept, descriptor)
            os.close(kept)


def _warm_up() -> None:
    """Two steps on the built-in data, so that every library has done its first-time work and the data are at hand."""
    from attnlab.training import train

    config = RunConfig.model_validate({"model": {"width": 4}})
    seen: list[Event] = []
    data = dataset(config.dataset, lambda what, done: None)
    train(
        config,
        on_event=seen.append,
        should_stop=lambda: sum(event.kind == "step" for event in seen) >= 2,
        dataset=data,
        checkpoint_every=None,
    )


def _terminate(*_: object) -> None:
    raise Terminated


def once(location: str, attempt: int) -> int:
    """One attempt at the run at a location. Returns the exit code: 0 when its end stands in the folder.

    Raises:
        FolderError: when no run can be there.
    """
    from attnlab.training.device import prepare_process

    folder = RunFolder(_local(location))
    signal.signal(signal.SIGTERM, _terminate)
    prepare_process(int(os.environ[THREADS]) if THREADS in os.environ else None)
    with _output_to(folder.log_path):
        try:
            run_with_others(folder.path, attempt=attempt)
        except FolderError as error:
            print(error, file=sys.stderr)
            return 3
        except Terminated:
            return 4
    return 0


def _local(location: str) -> Path:
    """The path of a location. The one place to extend for stores that are reached by another way."""
    scheme, separator, rest = location.partition("://")
    if not separator:
        return Path(location)
    if scheme != "file":
        raise FolderError(f"{location}: only folders on a shared path (file://) can be worked on, not {scheme}://")
    return Path(url2pathname(rest))


def main() -> int:
    """The warm process, or one attempt where a location and its number are given."""
    if len(sys.argv) == 3:
        return once(sys.argv[1], int(sys.argv[2]))
    protocol = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing else may speak on the protocol's line
    signal.signal(signal.SIGTERM, _terminate)
    try:
        os.nice(NICE)
        load()
        from attnlab.training.device import prepare_process

        prepare_process(int(os.environ[THREADS]) if THREADS in os.environ else None)
        try:
            _warm_up()
        except Exception:  # what is wrong is said of the run that meets it
            traceback.print_exc()
        for line in sys.stdin.buffer:
            job = json.loads(line)
            folder = RunFolder(Path(job["run"]))
            reusable = True
            with _output_to(folder.log_path):
                try:
                    reusable = run_with_others(folder.path, attempt=job["attempt"]).reusable
                except FolderError as error:
                    print(error, file=sys.stderr)
            with suppress(BrokenPipeError):
                print(json.dumps({"done": job["run"], "reusable": reusable}), file=protocol)
            if not reusable:
                return 3
    except Terminated:
        return 0
    return 0


if __name__ == "__main__":
    from attnlab.worker.main import main as canonical  # whose exceptions are those that others import

    sys.exit(canonical())
