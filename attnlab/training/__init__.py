"""Training as a plain function: ``train(config, on_event=...)``, without threads or screens.

Names are imported on first use, because pages read events and snapshot files before torch is loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from attnlab.training.budget import Speed
from attnlab.training.events import (
    CheckpointEvent,
    EpochEvent,
    Event,
    ProbeEvent,
    ResultEvent,
    SnapshotEvent,
    StartEvent,
    StepEvent,
    to_dict,
)

if TYPE_CHECKING:
    from attnlab.training.estimate import measure_speed
    from attnlab.training.loop import train
    from attnlab.training.reporting import TrainingFailed
    from attnlab.training.state import TrainState

_HOME = {
    "TrainState": "state",
    "TrainingFailed": "reporting",
    "measure_speed": "estimate",
    "train": "loop",
}

__all__ = [
    "CheckpointEvent",
    "EpochEvent",
    "Event",
    "ProbeEvent",
    "ResultEvent",
    "SnapshotEvent",
    "Speed",
    "StartEvent",
    "StepEvent",
    "TrainState",
    "TrainingFailed",
    "measure_speed",
    "to_dict",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
