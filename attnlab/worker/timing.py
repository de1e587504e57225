"""Measures in the process of a worker what a run would cost there, without leaving a run behind."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.metrics_log import MetricsLog
from attnlab.training.budget import Speed
from attnlab.worker.attempt import Attempt
from attnlab.worker.session import dataset, outcome_of

Tell = Callable[[str, float], None]
"""Called with what is being done, in words, and how much of it is done, in [0, 1]."""


class CannotBeTimed(RuntimeError):
    """A run could not be trained for a few steps; the message says why.

    Attributes:
        reusable: whether the process can still train others.
    """

    def __init__(self, reason: str, reusable: bool = True) -> None:
        super().__init__(reason)
        self.reusable = reusable


def measure(config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
    """Trains a few steps in this process, as a worker does, with everything that a run writes.

    Args:
        seconds: as `attnlab.training.measure_speed`.

    Raises:
        CannotBeTimed: for a run that would fail.
    """
    from attnlab.training import measure_speed

    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="timing-", dir=paths.cache_dir(), ignore_cleanup_errors=True) as place:
        folder = RunFolder.create(Path(place), config)
        try:
            began = time.perf_counter()
            data = dataset(config.dataset, tell)
            read = time.perf_counter() - began
            with MetricsLog(folder.metrics_path) as log:
                attempt = Attempt(folder, 1, None, log)
                speed = measure_speed(
                    config,
                    data,
                    on_event=attempt.on_event,
                    seconds=seconds,
                    tell=lambda done: tell("timing a few steps", done),
                )
        except Exception as error:
            outcome = outcome_of(folder, error)
            raise CannotBeTimed(outcome.reason, outcome.reusable) from error
    return replace(speed, start=speed.start + read)
