"""The curves of a run as lists, for the pages: the one place that turns its metrics file into figures to show."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.metrics_log import MetricsReader
from attnlab.runs.records import RunRecord

_MOST_RUNS = 256
"""How many runs are remembered; the one that was not asked for longest is read again the next time."""


class History:
    """Everything a run has reported so far.

    Attributes:
        steps, losses: one entry per optimizer step.
        epochs: one record per epoch.
        speed: the newest images per second; `None` until known.
    """

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.epochs: list[Mapping[str, Any]] = []
        self.speed: float | None = None

    def extend(self, rows: list[dict[str, Any]]) -> None:
        """Appends the rows of a metrics file."""
        for row in rows:
            if row["kind"] == "step":
                self.steps.append(row["step"])
                self.losses.append(row["loss"])
                self.speed = row.get("images_per_second", self.speed)
            elif row["kind"] == "epoch":
                self.epochs.append(row)


_known: OrderedDict[Path, tuple[MetricsReader, History]] = OrderedDict()
_lock = threading.Lock()


def history(record: RunRecord) -> History:
    """The history of a run, shared by all callers. A call parses only the lines written since the last one.

    When a resumed run has dropped the rows after its checkpoint, a new history is made from the whole file.
    """
    path = RunFolder(record.folder).metrics_path
    with _lock:
        reader, known = _known.pop(path) if path in _known else (MetricsReader(path), History())
        rows, first = reader.read()
        if first:
            known = History()
        known.extend(rows)
        _known[path] = (reader, known)
        if len(_known) > _MOST_RUNS:
            _known.popitem(last=False)
        return known


def tested_step(result: Mapping[str, Any] | None, total_steps: int, config: RunConfig) -> int | None:
    """The step at the end of the epoch that was tested, by the result of a run; `None` before the test."""
    best = (result or {}).get("best_epoch")
    return None if best is None else best * (total_steps // config.training.epochs)


def steps_per_epoch(record: RunRecord, rows: History) -> int:
    """By the settings of a run; of a recorded one by the epochs it has logged. 0 where that is not known."""
    if not record.config.recorded:
        return record.total_steps // record.config.training.epochs
    last = rows.epochs[-1] if rows.epochs else None
    return last["step"] // last["epoch"] if last is not None and last["epoch"] > 0 else 0
