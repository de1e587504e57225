"""Runs that wait and differ only in their seed, trained together on a device that one of them would not fill.

On CUDA a worker that is given a run takes along the other seeds of it that wait in the queue
(`attnlab.training.stacked`). Each keeps a folder of its own with the same files as any run, its own lock, requests and
end; to the queue they are runs that somebody works on. On a CPU, where stacking measures slower, runs go one by one.
``ATTNLAB_STACK``: ``1`` stacks everywhere, ``0`` nowhere.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from attnlab.worker.attempt import Attempt, StopAsked, Watch

if TYPE_CHECKING:
    from attnlab.config import RunConfig
    from attnlab.training.stacked import End
    from attnlab.worker.main import Outcome

VARIABLE = "ATTNLAB_STACK"
LARGEST = 32
_DEVICE = Path("/dev/nvidia0")
_log = logging.getLogger("attnlab")


def stacks_here() -> bool:
    """Whether seeds train together on this machine, judged without torch."""
    asked = os.environ.get(VARIABLE)
    return asked == "1" or (asked != "0" and _DEVICE.exists())


def waiting_seeds(folder: RunFolder) -> list[RunFolder]:
    """The runs beside ``folder`` that wait in the queue, differ from it only in the seed and stand at the same step."""
    group, step, found = folder.config.group, _step(folder), []
    for other in run_folders(folder.path.parent):
        if other.run_id == folder.run_id or not (other.path / "queued.json").exists():
            continue
        try:
            if other.config.group == group and _step(other) == step and other.requested() is None:
                found.append(other)
        except FolderError:
            continue  # a folder that cannot be read is reported by who keeps the index
    return found[: LARGEST - 1]


def run_with_others(run_dir: Path, *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """As `attnlab.worker.main.run`; takes along the seeds that wait, where they train together."""
    from attnlab.worker import main as worker

    folder = RunFolder(run_dir)
    others = waiting_seeds(folder) if stacks_here() and folder.config.training.device != "cpu" else []
    return (
        run_stack([folder, *others], attempt=attempt, watch=watch)
        if others
        else worker.run(run_dir, attempt=attempt, watch=watch)
    )


def run_stack(folders: list[RunFolder], *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """Trains the runs in these folders together. Who is at work elsewhere is left out, but for the first.

    Args:
        attempt: of the first; the others take their next one.
        watch: told of the first one's progress.

    Returns:
        How the first ended; the others' ends stand in their folders.

    Raises:
        FolderError, OSError: as `attnlab.worker.main.run`.
    """
    from attnlab.worker import main as worker

    with ExitStack() as held:
        ours: list[RunFolder] = []
        numbers: list[int] = []
        for folder in folders:
            lock = folder.lock()
            try:
                lock.acquire(timeout=worker.LOCK_SECONDS if not ours else 0)
            except Timeout:
                if not ours:
                    raise FolderError(f"{folder.run_id} is at work in another process") from None
                continue
            held.callback(lock.release)
            numbers.append(folder.begin_attempt(attempt if not ours else None))
            ours.append(folder)
        for folder in ours:
            held.enter_context(worker.logging_to(folder.log_path))
        _log.info("%d seeds together: %s", len(ours), ", ".join(folder.run_id for folder in ours))
        outcomes = [worker.Outcome(RunState.FAILED)] * len(ours)
        try:
            outcomes = _train(ours, numbers, watch)
        except OSError as error:
            outcomes = [worker.failed(folder, error) for folder in ours]
        finally:
            for folder, number, outcome in zip(ours, numbers, outcomes, strict=True):
                folder.write_end(outcome.state, number, reason=outcome.reason, result=outcome.result)
                folder.clear_request()
    return replace(outcomes[0], reusable=all(outcome.reusable for outcome in outcomes))


def _train(folders: list[RunFolder], numbers: list[int], watch: Watch | None) -> list[Outcome]:
    from attnlab.runs.metrics_log import MetricsLog
    from attnlab.training import TrainingFailed
    from attnlab.training.stacked import train_stacked
    from attnlab.worker import main as worker

    try:
        states = [worker.prepare(folder) for folder in folders]
        attempts = [
            Attempt(folder, number, state, watch if place == 0 else None)
            for place, (folder, number, state) in enumerate(zip(folders, numbers, states, strict=True))
        ]

        def loading(what: str, done: float) -> None:
            """A seed that is asked to stop leaves with the first step; the others go on."""
            if all(attempt.should_stop() for attempt in attempts):
                raise StopAsked
            for attempt in attempts:
                attempt.tell_loading(what, done)

        with ExitStack() as logs:
            for attempt, folder in zip(attempts, folders, strict=True):
                attempt.log = logs.enter_context(MetricsLog(folder.metrics_path))
            configs: list[RunConfig] = [folder.config for folder in folders]
            data = worker.dataset(configs[0].dataset, loading)
            for folder in folders:
                folder.write_dataset(data.summary())
            ends = train_stacked(
                configs,
                on_event=lambda place, event: attempts[place].on_event(event),
                should_stop=lambda place: attempts[place].should_stop(),
                dataset=data,
                resume=states,
                checkpoint_every=worker.checkpoint_every(),
            )
        return [_outcome(folder, end, len(folders)) for folder, end in zip(folders, ends, strict=True)]
    except StopAsked:  # of all, while the data were read
        return [worker.stopped(folder) for folder in folders]
    except worker.Terminated:
        return [replace(worker.stopped(folder, told="its process was told to end"), reusable=False) for folder in folders]
    except TrainingFailed as error:
        return [worker.Outcome(RunState.FAILED, str(error), reusable=False) for _ in folders]
    except Exception as error:  # the runs end, the process goes on to the next
        return [worker.failed(folder, error) for folder in folders]


def _outcome(folder: RunFolder, end: End, together: int) -> Outcome:
    from attnlab.training import TrainingFailed, to_dict
    from attnlab.worker import main as worker

    if end is None:
        return worker.stopped(folder)
    if isinstance(end, TrainingFailed):
        return worker.Outcome(RunState.FAILED, str(end))
    result: dict[str, Any] = to_dict(end)
    return worker.Outcome(RunState.FINISHED, result=result | {"extra": {**result["extra"], "stacked": together}})


def _step(folder: RunFolder) -> int:
    """The step of the newest valid checkpoint, 0 without one."""
    found = checkpoints.find(folder.checkpoints_path).path
    return 0 if found is None else int(found.name.split("-")[0])
