"""A data set after loading: uint8 images in three splits, and their source.

The images of a split are one uint8 tensor (n, C, H, W), in memory or mapped from a cache file, so that large data sets are
read batch by batch with the same code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # torch is imported only when a data set is loaded, so that listing them stays fast
    from torch import Tensor

    from attnlab.data.reading import Choice, Reading

Progress = Callable[[str, float], None]
"""Called with the current step, in words, and the share that is done, in [0, 1]."""


Describer = Callable[[Mapping[str, np.ndarray], Mapping[str, str], Sequence[str], Sequence[tuple[str, str]]], "Reading"]
"""Says how a source was read; see `Pool.describe`."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation per channel of ImageNet's training images scaled to [0, 1], as torchvision normalises them."""


class DataError(ValueError):
    """The data cannot be used; the message says what is wrong and what would work.

    Attributes:
        choices: other ways to read the same source, of which a person may choose one.
    """

    def __init__(self, message: str, *, choices: Sequence[Choice] = ()) -> None:
        super().__init__(message)
        self.choices = tuple(choices)


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (n, C, H, W), RGB or grey.
        labels: int64 (n,), in [0, classes).
        masks: bool (n, H, W), true on the object; `None` for data without masks. An image without a mask has one that is
            false everywhere.
        names: one name per image (file name or number), shown to people.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(f"image {i}" for i in range(len(self.labels))))

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def digest(self) -> str:
        """Sixteen hex digits that identify the images of this split and their order."""
        text = "\n".join(f"{name}\t{label}" for name, label in zip(self.names, self.labels.tolist(), strict=True))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]

    def select(self, index: Tensor) -> Split:
        """The images at ``index`` (int64), in that order."""
        return Split(
            self.images[index],
            self.labels[index],
            None if self.masks is None else self.masks[index],
            tuple(self.names[i] for i in index.tolist()),
        )


@dataclass(frozen=True)
class Provenance:
    """The source of a data set, stored with the run.

    Attributes:
        source: a path, a link or a description.
        digest: sha256 of the content, or of the recipe of drawn data.
        licence: as stated by the source; empty when unknown.
        note: what to keep in mind when reading results ("JPEG copies", "synthetic").
        skipped: images that could not be used, with the reason.
    """

    source: str
    digest: str
    licence: str = ""
    note: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A data set ready for training.

    Attributes:
        name: as in the config.
        class_names: in label order.
        mean, std: per channel, of images scaled to [0, 1]; used for normalisation everywhere.
        train, validation, test: disjoint splits.
        reading: how a folder or archive was read; `None` for a registered data set.
    """

    name: str
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Split
    validation: Split
    test: Split
    provenance: Provenance
    split_seed: int = 42
    extra: dict[str, str] = field(default_factory=dict)
    reading: Reading | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) on any device -> float32 with zero mean and unit standard deviation per channel."""
        return normalise(images, self.mean, self.std)

    def summary(self) -> dict[str, Any]:
        """A JSON-ready description, stored with a run; it shows whether two runs used the same images and split."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {
            "name": self.name,
            "class_names": list(self.class_names),
            "shape": list(self.shape),
            "mean": list(self.mean),
            "std": list(self.std),
            "split_seed": self.split_seed,
            "counts": {
                part: np.bincount(split.labels.numpy(), minlength=len(self.class_names)).tolist()
                for part, split in splits.items()
            },
            "masks": {part: split.masks is not None for part, split in splits.items()},
            "split_digest": {part: split.digest for part, split in splits.items()},
            "provenance": asdict(self.provenance) | {"skipped": list(self.provenance.skipped)},
            "extra": dict(self.extra),
        } | ({} if self.reading is None else {"reading": self.reading.tree()})


class Part(IntEnum):
    """What an image is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNUSED = 3


@dataclass(frozen=True)
class Prepared:
    """The result of decoding.

    Attributes:
        refused: row -> why it could not be decoded.
        digest: sha256 of the names and the content of all requested rows.
        extra: further facts to show, as text.
    """

    refused: dict[int, str]
    digest: str
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pool:
    """All images of a source before they are split; in NumPy, so that building one needs no torch.

    Attributes:
        images: uint8 (n, C, H, W); may be a cache file in which only the rows passed to `prepare` are filled.
        labels: int64 (n,).
        parts: int8 (n,) of `Part`. Without any TEST image a test split is held out; without VALIDATION, a validation split.
        names: n names, shown to people.
        class_names: in label order.
        provenance: the source.
        masks: bool (n, H, W) or `None`.
        mean, std: per channel, of images scaled to [0, 1]; `None` measures them on the training images.
        side: the selected rows are resized to this many pixels; `None` keeps their size.
        prepare: ``prepare(rows, progress)`` decodes rows before they are used; `None` when all are ready.
        extra: further facts to show, as text.
        describe: ``describe(labels by part, how parts were drawn, warnings, (name, reason) of undecodable images)`` says how
            a folder or archive was read; `None` for others.
    """

    images: np.ndarray
    labels: np.ndarray
    parts: np.ndarray
    names: Sequence[str]
    class_names: tuple[str, ...]
    provenance: Provenance
    masks: np.ndarray | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    side: int | None = None
    prepare: Callable[[np.ndarray, Progress], Prepared] | None = None
    extra: dict[str, str] = field(default_factory=dict)
    describe: (
        Callable[[Mapping[str, np.ndarray], Mapping[str, str], Sequence[str], Sequence[tuple[str, str]]], Reading] | None
    ) = None


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, C, H, W) -> float32 ``(x / 255 - mean) / std`` on the images' device."""
    import torch

    scale = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    shift = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255 - shift) / scale


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out) of a random split, each sorted; the same for the same seed.

    It selects the same images as ``torch.utils.data.random_split(images, [n - held, held],
    torch.Generator().manual_seed(seed))``, with which the report's code holds out 5,000 of CIFAR-10's 50,000 (seed 42).

    Raises:
        DataError: when either part would be empty.
    """
    import torch

    size = round(len(labels) * share)
    if not 0 < size < len(labels):
        raise DataError(
            f"{share:.0%} of {len(labels)} training images leaves no image to train or to validate on; use more images"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return order[:-size].sort().values, order[-size:].sort().values
