"""What an executor is: it starts, asks and ends the worker; what a run does and how it ended stands in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.ownership import is_locked


@dataclass(frozen=True)
class Job:
    """One attempt at a run."""

    run_dir: Path
    attempt: int


class JobState(StrEnum):
    """What an executor knows of a job. `UNKNOWN` is not `GONE`: whoever cannot be asked may still work."""

    PENDING = "pending"
    RUNNING = "running"
    GONE = "gone"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Answer:
    """The state of a job, and for one that is gone how it went, where that is known ("killed by signal 9 (SIGKILL)")."""

    state: JobState
    detail: str = ""


class Executor(Protocol):
    """Starts jobs; every call returns at once.

    Attributes:
        slots: jobs that may run at the same time; it may change.
        retries: how often the queue itself begins a run again whose worker was lost.
        trouble: why nothing can be started at present, in a sentence; empty when it can.
    """

    @property
    def slots(self) -> int: ...
    @property
    def retries(self) -> int: ...
    @property
    def trouble(self) -> str: ...

    def admit(self, config: RunConfig) -> None:
        """Looks at a run before it is queued.

        Raises:
            RunRefused: when it asks for what there will never be.
        """

    def warm(self) -> None:
        """Makes ready for the next job."""

    def start(self, job: Job) -> None:
        """Lets a worker begin.

        Raises:
            OSError: when none can be started.
        """

    def poll(self, job: Job) -> Answer:
        """Also answers for jobs that an earlier process started."""

    def cancel(self, job: Job, *, force: bool = False) -> None:
        """Ends a job that does not heed the request in its folder; with ``force``, without letting it finish anything."""

    def close(self) -> None:
        """Ends what is idle. Jobs at work go on."""


def ask_folder(job: Job) -> Answer:
    """What the lock of its folder says of a job that nobody here started."""
    return Answer(JobState.RUNNING if is_locked(RunFolder(job.run_dir).lock_path) else JobState.GONE)
