"""What every data set is once it is read: uint8 images in three splits, and where they came from.

The images of a split are one uint8 tensor (n, C, H, W). It may lie in memory or be mapped from a cache file, so a
large data set is read batch by batch without a second code path.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # torch is imported when a data set is loaded, so that a form can list them before
    from torch import Tensor

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it is done, in [0, 1]."""


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation per channel of ImageNet's training images scaled to [0, 1], as torchvision normalises them."""


class DataError(ValueError):
    """The data cannot be used as asked; the message says what is wrong and what would be right."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (n, C, H, W), RGB or grey.
        labels: int64 (n,), in [0, classes).
        masks: bool (n, H, W), true on the object; `None` where the data has none. A mask without any true pixel means
            that this image has none.
        names: a name for every image (file name or number), shown to people.
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
        """Sixteen hex digits that name which images are in this split, and in which order."""
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
    """Where a data set came from, stored with the run.

    Attributes:
        source: what a person would name it by, a path or a link.
        digest: sha256 of the content, or of the recipe for drawn data.
        licence: as stated by the source; empty when unknown.
        note: what to keep in mind when reading figures ("JPEG copies", "synthetic").
        skipped: names of images that could not be used, with the reason.
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
        mean, std: per channel, on images scaled to [0, 1]; the normalisation every user of the data applies.
        train, validation, test: disjoint splits.
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

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) on any device -> float32, zero mean and unit deviation per channel."""
        return normalise(images, self.mean, self.std)

    def summary(self) -> dict[str, Any]:
        """What is stored with a run: JSON-ready, enough to tell whether two runs saw the same images in the same split."""
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
        }


class Part(IntEnum):
    """What an image is for."""

    TRAIN = 0
    VALIDATION = 1
    TEST = 2
    UNUSED = 3


@dataclass(frozen=True)
class Prepared:
    """What decoding found.

    Attributes:
        refused: row -> why it is no image.
        digest: sha256 of the names and the content of all rows asked for.
        extra: more to be shown.
    """

    refused: dict[int, str]
    digest: str
    extra: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Pool:
    """Everything a source has, before it is split; numpy, so that a builder needs no torch.

    Attributes:
        images: uint8 (n, C, H, W); may be a cache file of which only the rows that `prepare` was asked for are filled.
        labels: int64 (n,).
        parts: int8 (n,) of `Part`. Without a TEST image a test split is held out; without VALIDATION, a validation split.
        names: n names, shown to people.
        class_names: in label order.
        provenance: where it all came from.
        masks: bool (n, H, W) or `None`.
        mean, std: published constants; `None` has them measured on the training images.
        side: the rows that are used are fitted to this many pixels when they are taken; `None` keeps their size.
        prepare: ``prepare(rows, progress)`` decodes the rows asked for; `None` where all are there.
        extra: anything else to be shown, as text.
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


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, C, H, W) -> float32 ``(x / 255 - mean) / std`` on the images' device."""
    import torch

    scale = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    shift = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255 - shift) / scale


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out) of a random split, each sorted; the same for the same seed.

    The same images as ``torch.utils.data.random_split(images, [n - held, held], torch.Generator().manual_seed(seed))``,
    which is how the report's code holds out 5,000 of CIFAR-10's 50,000 with seed 42.

    Raises:
        DataError: when a side would be empty.
    """
    import torch

    held = round(len(labels) * share)
    if not 0 < held < len(labels):
        raise DataError(
            f"{share:.0%} of {len(labels)} training images leaves no image to train or to validate on; use more images"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return order[:-held].sort().values, order[-held:].sort().values
