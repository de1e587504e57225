"""A data set that a few steps learn: noise with one colour channel lifted by the class."""

import torch

from attnlab.data import ImageDataset, Provenance, Split


def make_split(count: int, classes: int, seed: int, side: int = 12) -> Split:
    """Noise with one colour channel lifted by its class: a few steps learn it."""
    labels = torch.arange(count) % classes
    images = torch.randint(0, 100, (count, 3, side, side), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    images[torch.arange(count), labels % 3] += 120
    return Split(images, labels)


def make_dataset(classes: int = 3, train_images: int = 40, side: int = 12) -> ImageDataset:
    return ImageDataset(
        name="colours",
        class_names=tuple(f"class {i}" for i in range(classes)),
        mean=(0.35, 0.35, 0.35),
        std=(0.2, 0.2, 0.2),
        train=make_split(train_images, classes, 1, side),
        validation=make_split(20, classes, 2, side),
        test=make_split(22, classes, 3, side),
        provenance=Provenance("drawn in a test", "0"),
    )
