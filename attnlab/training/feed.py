"""Batches of a split: images are moved as uint8, then augmented and normalised on the device."""

from __future__ import annotations

import torch
from torch import Tensor

from attnlab.config import RunConfig
from attnlab.data import DataError, ImageDataset, Split, normalise
from attnlab.training.augment import augment

_RESIDENT_SHARE = 0.5  # the images of a split may take up to this share of the device's free memory


class Feed:
    """One split, held on the device as uint8 where it fits, else moved batch by batch.

    On a CPU the split's own tensor is used, so one that is mapped from a file is read batch by batch.
    """

    def __init__(self, split: Split, dataset: ImageDataset, device: torch.device, *, augmentation: str = "none") -> None:
        self.mean, self.std = dataset.mean, dataset.std
        self.device = device
        self.augmentation = augmentation
        self.images = split.images.to(device) if _fits(split.images, device) else split.images
        self.labels = split.labels.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised float32 images (B, C, H, W) and labels (B,) on the device, for ``index`` (int64, on the CPU)."""
        if self.images.device == self.device:
            images = self.images[index.to(self.device, non_blocking=True)]
        else:
            images = self.images[index].pin_memory().to(self.device, non_blocking=True)
        if self.augmentation != "none":
            images = augment(images, self.augmentation)
        # Channels last suits tensor cores, and on a CPU it makes narrow networks up to a third faster.
        x = normalise(images, self.mean, self.std).contiguous(memory_format=torch.channels_last)
        return x, self.labels[index.to(self.device)]


def _fits(images: Tensor, device: torch.device) -> bool:
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= free * _RESIDENT_SHARE


def check_labels(dataset: ImageDataset) -> None:
    """Checks that every split has images, and labels in [0, classes).

    Raises:
        DataError: otherwise, naming the split and the label. On a CUDA device a wrong label would end the process.
    """
    classes = len(dataset.class_names)
    for name, split in (("training", dataset.train), ("validation", dataset.validation), ("test", dataset.test)):
        if not len(split):
            raise DataError(f"the {name} split of {dataset.name!r} has no images")
        if len(split.images) != len(split.labels):
            raise DataError(f"the {name} split of {dataset.name!r} has {len(split.images)} images, {len(split.labels)} labels")
        low, high = int(split.labels.min()), int(split.labels.max())
        if low < 0 or high >= classes:
            label = low if low < 0 else high
            raise DataError(
                f"label {label} in the {name} split of {dataset.name!r}; {classes} classes allow 0 to {classes - 1}"
            )


def check_best_epoch(config: RunConfig, dataset: ImageDataset) -> None:
    """Checks that there will be a validation AUC where the best epoch is chosen by it.

    Raises:
        ValueError: otherwise, saying what to choose instead.
    """
    both = len(dataset.class_names) == 2 and len(dataset.validation.labels.unique()) == 2
    if config.protocol.best_epoch == "validation_auc" and not both:
        raise ValueError(
            "protocol.best_epoch 'validation_auc' needs two classes that both occur in the validation images;"
            " choose 'validation' or 'validation_loss'"
        )


def steps_per_epoch(config: RunConfig, images: int) -> int:
    """Batches per epoch. A last batch of a single image is left out: it has no variance for batch normalisation.

    Raises:
        ValueError: when there would be no batch.
    """
    whole, rest = divmod(images, config.training.batch_size)
    steps = whole + (rest > (1 if whole else 0) and not config.protocol.drop_last)
    if not steps:
        raise ValueError(
            f"{images} training images do not fill one batch of {config.training.batch_size}, and protocol.drop_last leaves"
            " out incomplete ones; use a smaller training.batch_size"
        )
    return steps
