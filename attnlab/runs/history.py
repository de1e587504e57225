"""The curves of a run as lists, read from its metrics file as far as that has grown since the last look."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attnlab.runs.folder import RunFolder
from attnlab.runs.metrics_log import read_rows
from attnlab.runs.records import RunRecord

_KEPT = 256


@dataclass
class History:
    """What a run has told so far.

    Attributes:
        steps, losses: one entry for each optimizer step.
        epochs: the epoch records.
        speed: images per second, as last told.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    epochs: list[Mapping[str, Any]] = field(default_factory=list)
    speed: float | None = None
    offset: int = 0

    def read_on(self, path: Path) -> None:
        """Takes in the lines written since the last call."""
        rows, self.offset = read_rows(path, self.offset)
        for row in rows:
            if row["kind"] == "step":
                self.steps.append(row["step"])
                self.losses.append(row["loss"])
                self.speed = row.get("images_per_second", self.speed)
            elif row["kind"] == "epoch":
                self.epochs.append(row)


_known: OrderedDict[tuple[str, int], History] = OrderedDict()
_lock = threading.Lock()


def history(record: RunRecord) -> History:
    """The history of a run, shared by all who ask; only new lines are read. A run started again is read anew."""
    key = (str(record.folder), record.attempt)
    with _lock:
        found = _known.setdefault(key, History())
        _known.move_to_end(key)
        if len(_known) > _KEPT:
            _known.popitem(last=False)
        path = RunFolder(record.folder).metrics_path
        if path.exists() and path.stat().st_size < found.offset:  # cut back by a run that resumes
            found = _known[key] = History()
        found.read_on(path)
        return found
