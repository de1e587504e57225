"""What is known of a run, as the pages and the command line see it. Imports neither torch nor SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from attnlab.config import RunConfig


class RunState(StrEnum):
    """Where a run is in its life. `interrupted`: its process died; it can be resumed, as a paused or stopped one can."""

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
        """Waiting for or using a worker."""
        return self in (RunState.QUEUED, RunState.STARTING, RunState.RUNNING)

    @property
    def resumable(self) -> bool:
        return self in (RunState.PAUSED, RunState.STOPPED, RunState.INTERRUPTED, RunState.FAILED)


@dataclass(frozen=True)
class RunRecord:
    """One run.

    Attributes:
        run_id: name of its folder; also in links.
        group: names the runs that differ only in the seed.
        title: what a person called it; the run id until renamed.
        config: everything that decided its result.
        state: see `RunState`.
        reason: why it failed or was interrupted, in a sentence; empty otherwise.
        phase: what a live run is doing, in words ("reading images, 40 %"); empty otherwise.
        note: what a person wrote about it.
        folder: where its files are.
        demo: shipped with the project; read only.
        attempt: how often it was started.
        created: seconds since the epoch; for sorting and showing, never for judging who is alive.
        step, total_steps, epoch: progress.
        eta_seconds: estimated time left while it runs.
        images_per_second, device, parameters, seconds: as measured by the training; `None` until known.
        validation_accuracy, test_accuracy, test_auc: of the best epoch; `None` until known.
        result: the whole result record of a finished run.
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
