"""What a training tells while it runs. Plain records; `to_dict` gives what is written to the run's metrics file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from attnlab.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class StartEvent:
    """Training is set up: what runs where, and how long it is."""

    device: str
    parameters: int
    classes: int
    train_images: int
    steps_per_epoch: int
    total_steps: int
    kind: str = "start"


@dataclass(frozen=True, kw_only=True)
class ProbeEvent:
    """The test images whose maps the snapshots show; sent once, before the first snapshot.

    Attributes:
        images: uint8 (images, C, H, W).
        labels: int64 (images,).
        masks: bool (images, H, W), or `None` where the data has none.
        names: a name for every image.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    names: tuple[str, ...]
    kind: str = "probes"


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """One optimizer step. Steps and epochs count from 1. On CUDA these come in small batches, not one by one."""

    step: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    kind: str = "step"


@dataclass(frozen=True, kw_only=True)
class EpochEvent:
    """One pass over the training images, and the validation after it. AUC only where there are two classes."""

    step: int
    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    train_auc: float | None = None
    validation_auc: float | None = None
    best: bool = False
    seconds: float = 0.0
    kind: str = "epoch"


@dataclass(frozen=True, kw_only=True)
class SnapshotEvent:
    """The maps of the probe images at a step.

    Attributes:
        maps: tap name -> uint8 (images, ...) with the shape a snapshot keeps (see `attnlab.training.snapshots`).
        peaks: tap name -> float32 (images,), the weight that 255 stands for.
        probabilities: float16 (images, classes), the prediction for each probe image at this step.
        kinds, scales: tap name -> `MapKind` and `MapScale` of the map, as text.
        grids: tap name -> (H, W) of the map as the network made it, (1, C) of CHANNEL; what is kept may be smaller.
        scalars: learned numbers that weigh a whole map, see `attnlab.attention.attention_scalars`.
    """

    step: int
    maps: Mapping[str, np.ndarray]
    peaks: Mapping[str, np.ndarray]
    probabilities: np.ndarray
    kinds: Mapping[str, str]
    scales: Mapping[str, str]
    grids: Mapping[str, tuple[int, int]]
    scalars: Mapping[str, float] = field(default_factory=dict)
    kind: str = "snapshot"


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent:
    """A point the training can be resumed from; also sent for the best epoch so far."""

    step: int
    state: TrainState
    best: bool = False
    kind: str = "checkpoint"


@dataclass(frozen=True, kw_only=True)
class ResultEvent:
    """The test of the best epoch: the last event of a training that was not stopped.

    Attributes:
        extra: JSON-ready figures of the test, see `attnlab.training.metrics.describe_test`.
    """

    step: int
    best_epoch: int
    validation_accuracy: float
    test_loss: float
    test_accuracy: float
    test_auc: float | None
    seconds: float
    images_per_second: float
    extra: Mapping[str, Any] = field(default_factory=dict)
    kind: str = "result"


Event = StartEvent | ProbeEvent | StepEvent | EpochEvent | SnapshotEvent | CheckpointEvent | ResultEvent


def to_dict(event: StartEvent | StepEvent | EpochEvent | ResultEvent) -> dict[str, Any]:
    """A JSON-ready dict of an event that holds only scalars."""
    return asdict(event)
