"""A time that is promised: what a run costs on a machine, and how many epochs of it end in time.

`attnlab.training.estimate.measure_speed` measures the costs; here they are added up, without torch. The accuracy to expect
after so many epochs is in `attnlab.training.expected`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

RESERVE_SHARE, RESERVE_SECONDS = 0.06, 1.5
"""Kept free of a run: a machine is not equally fast all the time, and a run waits for the next round of the queue.
docs/time_budget.md says how promise and run compare."""

MOST_SNAPSHOTS = 40  # as `attnlab.training.snapshots.SNAPSHOTS`, which is not imported because it needs torch
CHECKPOINT_SECONDS = 30.0
"""The time between two checkpoints within an epoch."""

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600}


class TooShort(ValueError):
    """Not one epoch fits into the time; the message says by how much, and what would help."""


@dataclass(frozen=True)
class Speed:
    """What a run costs on this machine; all times in seconds.

    Attributes:
        start: reading the data and building the network.
        step: one optimizer step.
        steps: optimizer steps per epoch.
        validation, test: a pass over these images.
        checkpoint: writing one, with the weights of the best epoch.
        snapshot: the maps of the probe images.
        images: training images per epoch.
        timing: how long the measurement took, from the request to its end.
        share: how much of its cores the process got meanwhile, in (0, 1]; 1 on a GPU.
    """

    start: float
    step: float
    steps: int
    validation: float
    test: float
    checkpoint: float
    snapshot: float
    images: int
    timing: float = 0.0
    share: float = 1.0

    @property
    def epoch(self) -> float:
        """Seconds per epoch: its steps, validation and checkpoints."""
        steps = self.step * self.steps
        return steps * (1 + self.checkpoint / CHECKPOINT_SECONDS) + self.validation + self.checkpoint

    @property
    def images_per_second(self) -> float:
        return self.images / (self.step * self.steps)

    def seconds(self, epochs: int) -> float:
        """A whole run of so many epochs, from reading the data to the result of the test."""
        snapshots = min(MOST_SNAPSHOTS, epochs * self.steps + 1)
        return self.start + epochs * self.epoch + snapshots * self.snapshot + self.test

    def after(self, others: int) -> Speed:
        """The speed once ``others`` trainings have ended that ran beside the measurement.

        No more than what they took is added: a process that was slowed down by something else too stays slow.
        """
        faster = max(1.0, min(0.9 / self.share, 1 + others))
        times = ("start", "step", "validation", "test", "checkpoint", "snapshot")
        return replace(self, timing=0.0, **{name: getattr(self, name) / faster for name in times})


SPEED = TypeAdapter(Speed)
"""Reads a speed that `dataclasses.asdict` made a tree of."""


def needed(runs: Sequence[Speed], epochs: int) -> float:
    """The seconds to promise for these runs, one after the other: what they cost, with the reserve."""
    return sum(speed.seconds(epochs) * (1 + RESERVE_SHARE) + RESERVE_SECONDS for speed in runs)


def epochs_that_fit(runs: Sequence[Speed], seconds: float, most: int) -> int:
    """The number of epochs with which all these runs end in time, the same for each; at most ``most``, 0 if not one fits."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed(runs, middle) <= seconds else (low, middle - 1)
    return low


def images_that_fit(speed: Speed, seconds: float) -> int:
    """How many of the training images fit, for one epoch; rounded down to two digits, 0 when none do."""
    fixed = needed([speed], 1) - speed.step * speed.steps * (1 + RESERVE_SHARE)
    images = int(speed.images_per_second * (seconds - fixed) / (1 + RESERVE_SHARE))
    if images < 2:
        return 0
    digit = 10 ** max(0, int(math.log10(images)) - 1)
    return images // digit * digit


def parse_seconds(text: str) -> float:
    """Seconds of ``"60"``, ``"90 s"``, ``"5m"``, ``"45min"``, ``"1h30m"``.

    Raises:
        ValueError: for anything else, or nothing at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(min|[smh])?\s*", text.strip().lower())
    whole = re.fullmatch(r"(?:\d+(?:\.\d+)?\s*(?:min|[smh])?\s*)+", text.strip().lower())
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not whole or not seconds:
        raise ValueError(f"the time budget {text!r} is not a time; write 60 for seconds, or 5m, or 1h30m")
    return seconds


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min" if whole % 3600 // 60 else f"{whole // 3600} h"
