"""Finds the queued runs that can be trained together with a given one: the other seeds of its configuration.

One small network does not fill a GPU, so on CUDA a worker that is given a run takes the other seeds of it from the queue
and trains them all at once (`attnlab.training.stacked`). On a CPU, where that is slower, runs are trained one by one.
``ATTNLAB_STACK`` overrides this: ``1`` stacks everywhere, ``0`` nowhere.
"""

from __future__ import annotations

import os
from pathlib import Path

from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders

VARIABLE = "ATTNLAB_STACK"
LARGEST = 32
"""The most runs in a stack."""

_DEVICE = Path("/dev/nvidia0")


def stacks_here() -> bool:
    """Whether seeds are trained together on this machine; decided without importing torch."""
    setting = os.environ.get(VARIABLE)
    return setting == "1" or (setting != "0" and _DEVICE.exists())


def waiting_seeds(folder: RunFolder) -> list[RunFolder]:
    """The queued runs beside ``folder`` that differ from it only in the seed and would start at the same step."""
    group, step = folder.config.group, _checkpoint_step(folder)
    seeds = []
    for other in run_folders(folder.path.parent):
        if other.run_id == folder.run_id or not other.is_queued:
            continue
        try:
            if other.config.group == group and _checkpoint_step(other) == step and other.requested() is None:
                seeds.append(other)
        except FolderError:
            continue  # whoever maintains the index reports folders that cannot be read
    return seeds[: LARGEST - 1]


def _checkpoint_step(folder: RunFolder) -> int:
    """The step of the newest valid checkpoint; 0 without one."""
    newest = checkpoints.find(folder.checkpoints_path).path
    return 0 if newest is None else int(newest.name.split("-")[0])
