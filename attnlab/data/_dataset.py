"""What every data set is once it is read: uint8 images in three splits, and where they came from.

The images of a split are one uint8 tensor (n, C, H, W). It may lie in memory or be mapped from a cache file, so a
large data set is read batch by batch without a second code path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it is done, in [0, 1]."""


class DataError(ValueError):
    """The data cannot be used as asked; the message says what is wrong and what would be right."""


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Attributes:
        images: uint8 (n, C, H, W), RGB or grey.
        labels: int64 (n,), in [0, classes).
        masks: bool (n, H, W), true on the object; `None` where the data has none.
        names: a name for every image (file name or number), shown to people.
    """

    images: Tensor
    labels: Tensor
    masks: Tensor | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, index: Tensor) -> Split:
        """The images at ``index`` (int64), in that order."""
        return Split(
            self.images[index],
            self.labels[index],
            None if self.masks is None else self.masks[index],
            tuple(self.names[i] for i in index.tolist()) if self.names else (),
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


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """uint8 (B, C, H, W) -> float32 ``(x / 255 - mean) / std`` on the images' device."""
    scale = torch.tensor(std, device=images.device).view(1, -1, 1, 1)
    shift = torch.tensor(mean, device=images.device).view(1, -1, 1, 1)
    return (images.float() / 255 - shift) / scale


def hold_out(labels: Tensor, share: float, seed: int) -> tuple[Tensor, Tensor]:
    """Indices (kept, held out) of a random split, each sorted; the same for the same seed.

    Raises:
        DataError: when a side would be empty.
    """
    held = round(len(labels) * share)
    if not 0 < held < len(labels):
        raise DataError(
            f"{share:.0%} of {len(labels)} training images leaves no image to train or to validate on; use more images"
        )
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    return order[held:].sort().values, order[:held].sort().values
