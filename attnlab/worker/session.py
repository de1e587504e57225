"""One attempt at the run in a folder, or at several runs together that differ only in their seed.

    lock each folder -> begin the attempt -> go back to the newest checkpoint -> train -> write how each run ended

Every executor and the command line come through here. A run that is trained alone is a stack of one. Whatever goes
wrong in the training becomes the end of the runs in it, in words, and not an exception; and an end that cannot be
written does not keep the other runs from theirs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import Timeout

from attnlab import plugins
from attnlab.config import DatasetConfig
from attnlab.files import is_full
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import WRITTEN_BY_THE_APP, RunFolder
from attnlab.runs.metrics_log import MetricsLog, truncate
from attnlab.runs.records import RunState
from attnlab.training.events import ResultEvent, to_dict
from attnlab.worker.attempt import Attempt, Watch
from attnlab.worker.seeds import stacks_here, waiting_seeds

if TYPE_CHECKING:
    from attnlab.data import ImageDataset, Progress
    from attnlab.training import TrainState
    from attnlab.training.stacked import End

_log = logging.getLogger("attnlab")

CHECKPOINT_STEPS = "ATTNLAB_CHECKPOINT_STEPS"
"""Environment: write a checkpoint every so many steps, instead of every half minute."""

NEEDS_LESS = "a smaller training.batch_size, dataset.image_size or dataset.subset may help"
_AFTER_GPU_ERROR = (
    "The next run gets a new process. Often an index is out of range, as in a plug-in: with CUDA_LAUNCH_BLOCKING=1 in the "
    "environment of the app, log.txt of the run names the line."
)
LOCK_SECONDS = 5.0
_LOG_BYTES = 1 << 20


class StopRequested(BaseException):
    """All runs of the session were asked to stop or pause while their data set was being read."""


class Terminated(BaseException):
    """The process was told to end (SIGTERM)."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state, reason, result: as written to `end.json`.
        reusable: false when the process must end too: it was told to, or a CUDA error left it in an unknown state.
    """

    state: RunState
    reason: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    reusable: bool = True


@dataclass(frozen=True)
class _Claim:
    """A run that this session holds the lock of, and the number of its attempt."""

    folder: RunFolder
    number: int


def run(run_dir: Path, *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """Trains the run in a folder, from its newest valid checkpoint if it has one, until it ends.

    Args:
        attempt: the number this attempt was started with; `None` takes the next one.
        watch: called with the progress, in this thread.

    Raises:
        FolderError: when there is no run in the folder, another process is training it, or a later attempt has begun.
        OSError: when how it ended could not be written.
    """
    return run_together([RunFolder(run_dir)], attempt=attempt, watch=watch)


def run_with_waiting_seeds(run_dir: Path, *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """Like `run`, together with the other seeds in the queue where seeds are trained together."""
    folder = RunFolder(run_dir)
    stack = stacks_here() and folder.config.training.device != "cpu"
    return run_together([folder, *(waiting_seeds(folder) if stack else ())], attempt=attempt, watch=watch)


def run_together(folders: Sequence[RunFolder], *, attempt: int | None = None, watch: Watch | None = None) -> Outcome:
    """Trains the runs in these folders together; they differ only in the seed and stand at the same step.

    Args:
        attempt: of the first run; the others take their next one.
        watch: called with the first run's progress.

    Returns:
        How the first run ended; the ends of the others are in their folders.

    Raises:
        FolderError: as in `run`, for the first run. Another one that cannot be begun is left out.
        OSError: when how a run ended could not be written. The other runs have got their ends nevertheless.
    """
    with ExitStack() as locks:
        claims = _claim(folders, attempt, locks)
        with ExitStack() as logs:
            outcomes = _attempt(claims, logs, watch)
            with ExitStack() as ends:  # runs every callback, the last one first, whether or not one of them fails
                for claim, outcome in zip(claims, outcomes, strict=True):
                    ends.callback(_write_end, claim, outcome)
    return replace(outcomes[0], reusable=all(outcome.reusable for outcome in outcomes))


def load() -> None:
    """Imports what a training needs."""
    import attnlab.training.loop  # noqa: F401


_last_dataset: tuple[str, ImageDataset] | None = None


def dataset(config: DatasetConfig, progress: Progress) -> ImageDataset:
    """The data set. The last one is kept for the next run, unless it is a path, whose content may have changed."""
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


def _claim(folders: Sequence[RunFolder], attempt: int | None, locks: ExitStack) -> list[_Claim]:
    """Locks the folders and begins an attempt at each. The first must succeed; another that does not is left out."""
    first, *others = folders
    _ = first.config  # without a readable configuration nothing is written into the folder
    claims = [_begin(first, attempt, locks, LOCK_SECONDS)]
    for folder in others:
        try:
            claims.append(_begin(folder, None, locks, 0))
        except (FolderError, OSError) as error:
            _log.warning("%s is not trained with the others: %s", folder.run_id, error)
    return claims


def _begin(folder: RunFolder, attempt: int | None, locks: ExitStack, seconds: float) -> _Claim:
    with ExitStack() as held:
        lock = folder.lock()
        try:
            lock.acquire(timeout=seconds)
        except Timeout:
            raise FolderError(f"{folder.run_id} is being trained by another process") from None
        held.callback(lock.release)
        claim = _Claim(folder, folder.begin_attempt(attempt))
        locks.push(held.pop_all())
    return claim


def _attempt(claims: Sequence[_Claim], logs: ExitStack, watch: Watch | None) -> list[Outcome]:
    """One attempt at each run; every way in which it can end becomes an outcome."""
    from attnlab.training import TrainingFailed

    with ExitStack() as reserves:
        try:
            for claim in claims:
                logs.enter_context(_logging_to(claim.folder.log_path))
                reserves.enter_context(claim.folder.reserve())
            for claim in claims:
                _log.info("attempt %d at %s in process %d", claim.number, claim.folder.run_id, os.getpid())
            return _train(claims, watch)
        except (StopRequested, Terminated, TrainingFailed, MemoryError) as end:
            return [outcome_of(claim.folder, end) for claim in claims]
        except Exception as error:  # the runs end, the process goes on to the next
            _log.error("the training failed", exc_info=error)
            return [outcome_of(claim.folder, error) for claim in claims]


def _train(claims: Sequence[_Claim], watch: Watch | None) -> list[Outcome]:
    from attnlab.training import train
    from attnlab.training.stacked import train_stacked

    folders = [claim.folder for claim in claims]
    configs = [folder.config for folder in folders]
    states = [_go_back(folder) for folder in folders]
    with ExitStack() as logs:
        attempts = [
            Attempt(claim.folder, claim.number, state, logs.enter_context(MetricsLog(claim.folder.metrics_path)))
            for claim, state in zip(claims, states, strict=True)
        ]
        attempts[0].watch = watch

        def report_loading(what: str, done: float) -> None:
            """A run that is asked to stop leaves before the first step; the others go on."""
            if all(attempt.should_stop() for attempt in attempts):
                raise StopRequested
            for attempt in attempts:
                attempt.report_loading(what, done)

        data = dataset(configs[0].dataset, report_loading)
        for folder in folders:
            folder.write_dataset(data.summary())
        ends: Sequence[End]
        if len(attempts) == 1:
            ends = [
                train(
                    configs[0],
                    on_event=attempts[0].on_event,
                    should_stop=attempts[0].should_stop,
                    dataset=data,
                    resume=states[0],
                    checkpoint_every=_checkpoint_every(),
                )
            ]
        else:
            ends = train_stacked(
                configs,
                on_event=lambda place, event: attempts[place].on_event(event),
                should_stop=lambda place: attempts[place].should_stop(),
                dataset=data,
                resume=states,
                checkpoint_every=_checkpoint_every(),
            )
    return [_conclude(attempt, end, len(attempts)) for attempt, end in zip(attempts, ends, strict=True)]


def _go_back(folder: RunFolder) -> TrainState | None:
    """Brings a folder back to its newest valid checkpoint. Returns the state in it; `None` starts from the beginning."""
    for unfinished in (*folder.path.glob(".*.tmp"), *folder.snapshots_path.glob(".*.tmp")):
        if not unfinished.name.startswith(WRITTEN_BY_THE_APP):  # it may be writing one right now
            unfinished.unlink(missing_ok=True)
    newest = checkpoints.find(folder.checkpoints_path)
    for name, reason in newest.skipped:
        _log.warning("checkpoint %s cannot be used: %s", name, reason)
    state = None if newest.path is None else checkpoints.load(newest.path)
    step = state.step if state else 0
    checkpoints.clear_unfinished(folder.checkpoints_path, newest.path)
    truncate(folder.metrics_path, step, state.epoch if state else 0)
    folder.remove_snapshots_after(step if state else -1)
    if state is None or state.best is None:
        folder.best_path.unlink(missing_ok=True)
    else:
        checkpoints.save_best(folder.best_path, state.best.weights, state.best.epoch, state.best.accuracy)
    folder.write_progress(folder.progress() | {"recovered": newest.warning(step)})
    _log.info("%s begins at step %d", folder.run_id, step)
    return state


def _checkpoint_every() -> int | timedelta:
    steps = os.environ.get(CHECKPOINT_STEPS)
    return int(steps) if steps else timedelta(seconds=30)


def _conclude(attempt: Attempt, end: End, together: int) -> Outcome:
    """The outcome of a run whose training has returned. Its last progress is written here, so a failure costs no other run."""
    outcome = outcome_of(attempt.folder, end)
    if outcome.state is RunState.FAILED:
        return outcome
    try:
        attempt.write_progress(attempt.progress["phase"])
    except OSError as error:
        return outcome_of(attempt.folder, error)
    if isinstance(end, ResultEvent) and together > 1:
        outcome.result["extra"] |= {"stacked": together}
    return outcome


def outcome_of(folder: RunFolder, end: ResultEvent | BaseException | None) -> Outcome:
    """What the end of a training means for a run: a result, an exception, or (`None`) a stop with a checkpoint."""
    import torch

    from attnlab.training import TrainingFailed

    match end:
        case ResultEvent():
            return Outcome(RunState.FINISHED, result=to_dict(end))
        case None | StopRequested():
            return _stopped(folder, "it stopped")
        case Terminated():
            return replace(_stopped(folder, "its process was told to end"), reusable=False)
        case TrainingFailed():
            return Outcome(RunState.FAILED, str(end), reusable=not isinstance(end.__cause__, torch.OutOfMemoryError))
        case _ if _out_of_memory(end):
            return Outcome(RunState.FAILED, f"the computer ran out of memory; {NEEDS_LESS}")
        case _ if is_full(end, folder.path):
            return Outcome(RunState.FAILED, "the disk is full; free some space, then resume the run")
    cuda_error = type(end).__name__ == "AcceleratorError" or "CUDA error" in str(end)
    in_words = isinstance(end, FileNotFoundError | PermissionError)
    reason = str(end) if in_words else plugins.with_place(end)
    return Outcome(RunState.FAILED, f"{reason}. {_AFTER_GPU_ERROR}" if cuda_error else reason, reusable=not cuda_error)


def _stopped(folder: RunFolder, why: str) -> Outcome:
    """The outcome of a training that ended early, with a checkpoint: as requested, or for another reason."""
    request = folder.requested()
    if request is None:
        return Outcome(RunState.INTERRUPTED, f"{why}; it can be resumed")
    return Outcome(RunState.PAUSED if request == "pause" else RunState.STOPPED)


_ONEDNN_OUT_OF_MEMORY = ("could not create a primitive", "could not create a memory object")
"""All that oneDNN says when the kernel of a convolution gets no memory."""


def _out_of_memory(error: BaseException) -> bool:
    """Whether a program on the CPU got no more memory; torch says so by an error of no kind of its own."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error) or str(error) in _ONEDNN_OUT_OF_MEMORY


def _write_end(claim: _Claim, outcome: Outcome) -> None:
    _log.info("%s: %s %s", claim.folder.run_id, outcome.state, outcome.reason)
    claim.folder.write_end(outcome.state, claim.number, reason=outcome.reason, result=outcome.result)
    claim.folder.clear_request()


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Writes what is logged into a file too."""
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
