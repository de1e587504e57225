"""What a training reports while it runs: plain records. `to_dict` gives what is written to the run's metrics file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from attnlab.geometry import Cells
from attnlab.maps import MapKind, MapScale, tap_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from attnlab.training.state import TrainState


@dataclass(frozen=True, kw_only=True)
class StartEvent:
    """The training is set up: what it trains, on which device, and for how many steps."""

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
        labels: int64 (images,); -1 where the class is not known, as it may be in a recorded run.
        masks: bool (images, H, W), or `None` where the data has none.
        names: one per image.
        cells: tap -> where its features lie in the images, see `attnlab.attention.locate_maps`; nothing in old runs.
    """

    images: np.ndarray
    labels: np.ndarray
    masks: np.ndarray | None
    names: tuple[str, ...]
    cells: Mapping[str, Cells] = field(default_factory=dict)
    kind: str = "probes"

    def cells_of(self, stored: SnapshotMap) -> Cells | None:
        """Where the cells of a stored map lie; `None` for channels and branches, and where that is not known.

        A map that was reduced fills the same frame with fewer cells.
        """
        cells = self.cells.get(tap_of(stored.name))
        return None if cells is None or not stored.kind.placed else cells.resized(stored.grid, stored.kept)


@dataclass(frozen=True, kw_only=True)
class StepEvent:
    """One optimizer step. Steps and epochs count from 1. On CUDA these events arrive several at a time."""

    step: int
    epoch: int
    loss: float
    lr: float
    images_per_second: float
    kind: str = "step"


@dataclass(frozen=True, kw_only=True)
class EpochEvent:
    """One pass over the training images and the validation after it. AUC only with two classes."""

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


@dataclass(frozen=True, eq=False)
class SnapshotMap:
    """One map of all probe images, as a snapshot stores it: ``weight = floor + code / 255 * (peak - floor)``.

    Attributes:
        name: as in `attnlab.attention.AttentionMap.name`, with ``#2`` after it where a tap was passed twice.
        kind: of the map as the network made it.
        scale: gate, softmax or factor.
        grid: (H, W) of the map as the network made it, (1, C) of CHANNEL; files of the first version say (1, 1) there;
            (M, C) of BRANCH.
        codes: uint8 (images, channels) of CHANNEL, (images, branches, channels) of BRANCH, else (images, h, w); see
            `attnlab.training.snapshots`.
        peaks: float32 (images,), the weight that code 255 stands for.
        floors: float32 (images,), the weight that code 0 stands for; `None` where that is 0, as for all but factors.
        neutral, branches: as in `attnlab.attention.AttentionMap`.
    """

    name: str
    kind: MapKind
    scale: MapScale
    grid: tuple[int, int]
    codes: NDArray[np.uint8]
    peaks: NDArray[np.float32]
    floors: NDArray[np.float32] | None = None
    neutral: float | None = None
    branches: tuple[str, ...] = ()

    @property
    def spans(self) -> NDArray[np.float32]:
        """From code 0 to code 255, (images,)."""
        return self.peaks if self.floors is None else self.peaks - self.floors

    @property
    def kept(self) -> tuple[int, int]:
        """The grid that is stored, (1, channels) of CHANNEL; smaller than ``grid`` where the map was reduced."""
        return (1, self.codes.shape[1]) if self.codes.ndim == 2 else (self.codes.shape[1], self.codes.shape[2])


@dataclass(frozen=True, kw_only=True)
class SnapshotEvent:
    """The maps of the probe images at one step.

    Attributes:
        maps: in the order of the forward; names are unique.
        probabilities: float16 (images, classes), the prediction for each probe image at this step.
        scalars: learned numbers that weigh a whole map, see `attnlab.attention.attention_scalars`.
    """

    step: int
    maps: Sequence[SnapshotMap]
    probabilities: np.ndarray
    scalars: Mapping[str, float] = field(default_factory=dict)
    kind: str = "snapshot"


@dataclass(frozen=True, kw_only=True)
class CheckpointEvent:
    """A state the training can be resumed from; also sent when an epoch is the best so far."""

    step: int
    state: TrainState
    best: bool = False
    kind: str = "checkpoint"


@dataclass(frozen=True, kw_only=True)
class ResultEvent:
    """The test of the best epoch: the last event of a training that was not stopped.

    Attributes:
        extra: further results of the test, JSON-ready; see `attnlab.training.metrics.describe_test`.
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
    """The event as a JSON-ready dict; only for events without arrays."""
    return asdict(event)
