"""Reports the optimizer steps of a training: their losses, which must be finite, and their speed.

Reading a loss from a CUDA device waits for the device, so there the losses of several steps are read together.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import Tensor

from attnlab.config import RunConfig
from attnlab.training.events import Event, StepEvent

_CUDA_STEPS_AT_ONCE = 20  # steps whose losses are read together
_SPEED_MEMORY = 0.9  # weight of earlier steps in the images per second that are shown


class TrainingFailed(RuntimeError):
    """The training cannot go on.

    Attributes:
        step: the step that failed, from 1.
        reason: a sentence for people.
    """

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(f"step {step}: {reason}")
        self.step = step
        self.reason = reason


class StepReporter:
    """Sends one `StepEvent` per step of a training.

    Attributes:
        seconds: time spent in steps, without validation and snapshots.
    """

    def __init__(
        self, config: RunConfig, device: torch.device, on_event: Callable[[Event], None], steps_per_epoch: int, images: int
    ) -> None:
        """
        Args:
            images: training images of an epoch.
        """
        self.config, self.device, self.on_event = config, device, on_event
        self.steps_per_epoch, self.images = steps_per_epoch, images
        self.seconds = 0.0
        self._pending: list[tuple[int, float, Tensor]] = []  # step, learning rate, loss on the device
        self._speed: float | None = None

    def add(self, step: int, lr: float, loss: Tensor, images: int, began: float) -> None:
        """Notes a finished step, and sends the pending steps when it is their turn.

        Args:
            images: in the batch.
            began: `time.perf_counter` at the start of the step.

        Raises:
            TrainingFailed: when the loss of a pending step is not finite.
        """
        self._pending.append((step, lr, loss.detach()))
        if self.device.type == "cpu" or len(self._pending) >= _CUDA_STEPS_AT_ONCE:
            losses = self._read_losses()  # waits for the device, so that the time below is true
            self._measure(time.perf_counter() - began, images)
            self._send(losses)
        else:
            self.seconds += time.perf_counter() - began

    def flush(self) -> None:
        """Sends the pending steps. Raises as `add`."""
        if self._pending:
            self._send(self._read_losses())

    def check_finite(self, step: int, loss: float, what: str = "loss") -> None:
        """Raises `TrainingFailed` unless ``loss`` is a finite number."""
        if not math.isfinite(loss):
            now = "not a number" if math.isnan(loss) else "infinite"
            raise TrainingFailed(
                step, f"the {what} became {now}; a smaller learning rate than {self.config.training.lr:g} may help"
            )

    def mean_speed(self, step: int) -> float:
        """Images per second over all ``step`` steps so far."""
        epochs, rest = divmod(step, self.steps_per_epoch)
        batch_size = self.config.training.batch_size
        per_epoch = min(self.steps_per_epoch * batch_size, self.images)  # the last batch may be smaller, or left out
        return (epochs * per_epoch + rest * batch_size) / self.seconds

    def _read_losses(self) -> list[float]:
        return torch.stack([loss for *_, loss in self._pending]).tolist()

    def _send(self, losses: list[float]) -> None:
        pending, self._pending = self._pending, []
        for (step, lr, _), loss in zip(pending, losses, strict=True):
            self.check_finite(step, loss)
            epoch = (step - 1) // self.steps_per_epoch + 1
            self.on_event(StepEvent(step=step, epoch=epoch, loss=loss, lr=lr, images_per_second=self._speed or 0.0))

    def _measure(self, seconds: float, images: int) -> None:
        """Adds a step's time and updates the speed, after the device was waited for."""
        self.seconds += seconds
        if self.device.type == "cpu":
            speed = images / seconds
            self._speed = speed if self._speed is None else _SPEED_MEMORY * self._speed + (1 - _SPEED_MEMORY) * speed
        else:
            self._speed = self.mean_speed(self._pending[-1][0])
