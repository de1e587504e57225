"""What an attempt at a run leaves behind while it trains: metrics, progress, snapshots, checkpoints.

The training tells what happens (`attnlab.training.events`), an `Attempt` writes it into the run's folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from attnlab.runs import checkpoints, faults
from attnlab.runs.folder import TRAINING, RunFolder

if TYPE_CHECKING:
    from attnlab.runs.metrics_log import MetricsLog
    from attnlab.training import Event, TrainState

_PROGRESS_SECONDS = 0.25

Watch = Callable[[dict[str, Any]], None]
"""Told the content of `state.json` whenever it is written."""


class StopAsked(BaseException):
    """A request to stop or pause was seen where the training cannot look for one: while the data are read."""


class Attempt:
    """Writes down what the training tells."""

    log: MetricsLog

    def __init__(self, folder: RunFolder, number: int, state: TrainState | None, watch: Watch | None) -> None:
        self.folder, self.watch = folder, watch
        self.progress: dict[str, Any] = {**folder.progress(), "attempt": number, "eta_seconds": None}
        self.progress |= {"step": state.step if state else 0, "epoch": state.epoch if state else 0}
        self.progress["validation_accuracy"] = state.best.accuracy if state and state.best else None
        self._first_step = self.progress["step"]
        self._seconds_before = state.seconds if state else 0.0
        self._began = self._written = 0.0
        self._best_epoch = state.best.epoch if state and state.best else None
        self._control = folder.path / "control"
        self.write_progress("starting")

    def should_stop(self) -> bool:
        return self._control.exists()

    def loading(self, what: str, done: float) -> None:
        """Progress of the data set."""
        if self.should_stop():
            raise StopAsked
        self.tell_loading(what, done)

    def tell_loading(self, what: str, done: float) -> None:
        """Progress of the data set, without a look at requests."""
        self.write_progress(f"{what}, {done:.0%}", now=done in (0.0, 1.0))

    def on_event(self, event: Event) -> None:
        from attnlab.training import to_dict

        match event.kind:
            case "start":
                self._began = time.monotonic()
                names = ("device", "parameters", "total_steps", "steps_per_epoch")
                self.progress |= {name: getattr(event, name) for name in names} | {"torch": version("torch")}
                self.write_progress(TRAINING)
            case "probes":
                self.folder.write_probes(event)  # type: ignore[arg-type]
            case "snapshot":
                self.folder.write_snapshot(event)  # type: ignore[arg-type]
            case "checkpoint":
                self._keep(event.state, best=event.best)  # type: ignore[union-attr]
            case "step":
                faults.point("step")
                self.log.append(to_dict(event))  # type: ignore[arg-type]
                self._note_step(event)
            case "epoch":
                self.log.append(to_dict(event))  # type: ignore[arg-type]
                if event.best:  # type: ignore[union-attr]
                    self.progress["validation_accuracy"] = event.validation_accuracy  # type: ignore[union-attr]
                self.write_progress(TRAINING)

    def write_progress(self, phase: str, *, now: bool = True) -> None:
        if not now and time.monotonic() - self._written < _PROGRESS_SECONDS:
            return
        self._written = time.monotonic()
        self.progress["phase"] = phase
        if self._began:
            self.progress["seconds"] = self._seconds_before + time.monotonic() - self._began
        self.folder.write_progress(self.progress)
        if self.watch is not None:
            self.watch(dict(self.progress))

    def _note_step(self, event: Any) -> None:
        done = event.step - self._first_step
        left = self.progress["total_steps"] - event.step
        self.progress |= {
            "step": event.step,
            "epoch": event.epoch,
            "images_per_second": event.images_per_second,
            "eta_seconds": (time.monotonic() - self._began) / done * left,
        }
        self.write_progress(TRAINING, now=done == 1)

    def _keep(self, state: TrainState, *, best: bool) -> None:
        if state.best is not None and (best or self._best_epoch != state.best.epoch):
            checkpoints.save_best(self.folder.best_path, state.best.weights, state.best.epoch, state.best.accuracy)
            self._best_epoch = state.best.epoch
            faults.point("best.renamed")
        checkpoints.save(self.folder.checkpoints_path, state, self.folder.best_path if state.best else None)
