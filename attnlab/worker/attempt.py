"""What an attempt at a run writes while it trains: metrics, progress, snapshots, checkpoints.

The training reports events (`attnlab.training.events`); an `Attempt` writes them into the folder of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attnlab.runs import checkpoints, faults
from attnlab.runs.folder import TRAINING, RunFolder
from attnlab.runs.metrics_log import MetricsLog
from attnlab.training.events import (
    CheckpointEvent,
    EpochEvent,
    Event,
    ProbeEvent,
    SnapshotEvent,
    StartEvent,
    StepEvent,
    to_dict,
)

if TYPE_CHECKING:
    from attnlab.training import TrainState

_PROGRESS_SECONDS = 0.25
"""The least time between two writes of `state.json` that only update the progress."""

Watch = Callable[[dict[str, Any]], None]
"""Called with the content of `state.json` whenever it is written."""


class Attempt:
    """Writes what happens in one attempt at a run.

    Args:
        folder: of the run; the caller holds its lock.
        number: of the attempt.
        state: what the training resumes from; `None` when it starts from the beginning.
        log: the run's metrics file, open for as long as the training runs.
        watch: called in this thread.
    """

    def __init__(
        self, folder: RunFolder, number: int, state: TrainState | None, log: MetricsLog, watch: Watch | None = None
    ) -> None:
        self.folder, self.log, self.watch = folder, log, watch
        self.progress: dict[str, Any] = {**folder.progress(), "attempt": number, "eta_seconds": None}
        self.progress |= {"step": state.step if state else 0, "epoch": state.epoch if state else 0}
        self.progress["validation_accuracy"] = state.best.accuracy if state and state.best else None
        self._first_step = self.progress["step"]
        self._seconds_before = state.seconds if state else 0.0
        self._training_since = self._written = 0.0
        self._best_epoch = state.best.epoch if state and state.best else None
        self.write_progress("starting")

    def should_stop(self) -> bool:
        """Whether somebody has asked this run to stop or pause."""
        return self.folder.requested() is not None

    def report_loading(self, what: str, done: float) -> None:
        """Writes how much of the data set has been read; ``done`` is in [0, 1]."""
        self.write_progress(f"{what}, {done:.0%}", now=done in (0.0, 1.0))

    def on_event(self, event: Event) -> None:
        """Writes what the event reports. The result is not written here: it belongs to the end of the run."""
        match event:
            case StepEvent():
                faults.point("step")
                self.log.append(to_dict(event))
                self._update_speed(event)
            case EpochEvent():
                self.log.append(to_dict(event))
                if event.best:
                    self.progress["validation_accuracy"] = event.validation_accuracy
                self.write_progress(TRAINING)
            case SnapshotEvent():
                self.folder.write_snapshot(event)
            case CheckpointEvent():
                self._write_checkpoint(event)
            case ProbeEvent():
                self.folder.write_probes(event)
            case StartEvent():
                self._training_since = time.monotonic()
                names = ("device", "parameters", "total_steps", "steps_per_epoch")
                self.progress |= {name: getattr(event, name) for name in names} | {"torch": version("torch")}
                self.write_progress(TRAINING)

    def write_progress(self, phase: str, *, now: bool = True) -> None:
        """Writes `state.json`; with ``now=False`` only where the last write is a moment ago."""
        if not now and time.monotonic() - self._written < _PROGRESS_SECONDS:
            return
        self._written = time.monotonic()
        self.progress["phase"] = phase
        if self._training_since:
            self.progress["seconds"] = self._seconds_before + time.monotonic() - self._training_since
        self.folder.write_progress(self.progress)
        if self.watch is not None:
            self.watch(dict(self.progress))

    def _update_speed(self, event: StepEvent) -> None:
        steps = event.step - self._first_step
        steps_left = self.progress["total_steps"] - event.step
        self.progress |= {
            "step": event.step,
            "epoch": event.epoch,
            "images_per_second": event.images_per_second,
            "eta_seconds": (time.monotonic() - self._training_since) / steps * steps_left,
        }
        self.write_progress(TRAINING, now=steps == 1)

    def _write_checkpoint(self, event: CheckpointEvent) -> None:
        """The weights of the best epoch first, since the checkpoint links to them."""
        best = event.state.best
        if best is not None and (event.best or self._best_epoch != best.epoch):
            checkpoints.save_best(self.folder.best_path, best.weights, best.epoch, best.accuracy)
            self._best_epoch = best.epoch
            faults.point("best.renamed")
        checkpoints.save(self.folder.checkpoints_path, event.state, self.folder.best_path if best else None)
