"""A run as the pages and the command line see it. Imports neither torch nor SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from attnlab.config import RunConfig


class RunState(StrEnum):
    """The state of a run. `interrupted`: its process died; it can be resumed, like a paused or stopped run."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def live(self) -> bool:
        """Whether the run waits for a worker or has one."""
        return self in (RunState.QUEUED, RunState.STARTING, RunState.RUNNING)

    @property
    def resumable(self) -> bool:
        return self in (RunState.PAUSED, RunState.STOPPED, RunState.INTERRUPTED, RunState.FAILED)


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        run_id: name of its folder; also in links.
        group: the same for runs that differ only in the seed.
        title: the name a person gave it; the run id until then.
        config: all settings that determine the result.
        state: see `RunState`.
        reason: why it failed or was interrupted, in a sentence; empty otherwise.
        phase: what a live run is doing, in words ("reading images, 40%"); empty otherwise.
        note: a person's note about it.
        owner: the browser it belongs to, see `attnlab.desk.permissions`; empty: the owner of the machine.
        folder: its files.
        demo: whether it is shipped with the project, and so read-only.
        attempt: how many times it was started.
        created: seconds since 1970; only for sorting and display.
        step, total_steps, epoch: progress.
        eta_seconds: estimated time left while it runs.
        images_per_second, device, parameters, seconds: as measured by the training; `None` until known.
        validation_accuracy, test_accuracy, test_auc: of the best epoch; `None` until known.
        result: the whole result of a finished run.
        queue_position: 1 is next; `None` unless queued.
    """

    run_id: str
    group: str
    title: str
    config: RunConfig
    state: RunState
    folder: Path
    reason: str = ""
    phase: str = ""
    note: str = ""
    owner: str = ""
    demo: bool = False
    attempt: int = 0
    created: float = 0.0
    step: int = 0
    total_steps: int = 0
    epoch: int = 0
    eta_seconds: float | None = None
    images_per_second: float | None = None
    device: str | None = None
    parameters: int | None = None
    seconds: float | None = None
    validation_accuracy: float | None = None
    test_accuracy: float | None = None
    test_auc: float | None = None
    result: Mapping[str, Any] = field(default_factory=dict)
    queue_position: int | None = None

    @property
    def resumable(self) -> bool:
        """Whether a worker can go on with it."""
        return self.state.resumable and not self.config.recorded
