"""What an executor is: it starts, polls and ends workers. What a run does and how it ended is in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import is_locked
from attnlab.training.budget import Speed
from attnlab.worker.timing import Tell


@dataclass(frozen=True)
class Job:
    """One attempt at a run."""

    run_dir: Path
    attempt: int


class JobState(StrEnum):
    """What an executor knows about a job. `UNKNOWN` is not `GONE`: a worker that cannot be reached may still be training."""

    PENDING = "pending"
    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """The state of a job, and for one that is gone how it ended, if that is known ("killed by signal 9 (SIGKILL)")."""

    state: JobState
    detail: str = ""


class Executor(Protocol):
    """Starts jobs; every call returns at once, except `measure`.

    Attributes:
        slots: how many jobs may run at the same time; may change.
        retries: how often the queue starts a run again whose worker was lost.
        trouble: why nothing can be started at the moment, in a sentence; empty when something can.
    """

    @property
    def slots(self) -> int: ...
    @property
    def retries(self) -> int: ...
    @property
    def trouble(self) -> str: ...

    def admit(self, config: RunConfig) -> None:
        """Checks a run before it is queued.

        Raises:
            RunRefused: when no worker of this executor could ever train it.
        """

    def warm(self) -> None:
        """Prepares for the next job."""

    def start(self, job: Job) -> None:
        """Starts a worker on a job.

        Raises:
            OSError: when no worker can be started.
        """

    def poll(self, job: Job) -> Answer:
        """The state of a job, also of one that an earlier process started."""

    def cancel(self, job: Job, *, force: bool = False) -> None:
        """Ends a job that did not respond to the request in its folder; with ``force``, without giving it time to clean up."""

    def measure(self, config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
        """What a run would cost on a worker, from a few steps that a worker trains now.

        Args:
            tell: called in this thread with what is being done. An exception of it ends the measurement.
            seconds: about how long steps are timed.

        Raises:
            RunRefused: when that cannot be known, or such a run would fail; the message says why.
        """

    def close(self) -> None:
        """Ends idle workers. Running jobs go on."""


def ask_folder(job: Job) -> Answer:
    """The state of a job that another process started, judged by the lock of its folder."""
    return Answer(JobState.RUNNING if is_locked(RunFolder(job.run_dir).lock_path) else JobState.GONE)
