"""What a foreign network expects of its images: their size, and the mean and spread of their channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Preprocessing:
    """What is done to images in [0, 1] before a network sees them.

    Attributes:
        shape: (C, H, W).
        mean, std: per channel.
        source: who says so, in words.
    """

    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


def preprocessing_of(model: nn.Module) -> Preprocessing:
    """What the network itself says of its images.

    timm keeps it with the network (``pretrained_cfg``), transformers keeps the size in ``config``; torchvision's networks
    have neither, and are known by their module: they take 224 x 224 and the mean and spread of ImageNet.

    Raises:
        ValueError: for a network that says nothing; then give an example.
    """
    stated = getattr(model, "pretrained_cfg", None) or getattr(model, "default_cfg", None)
    if isinstance(stated, Mapping) and stated.get("input_size"):
        shape = _shape(stated["input_size"])
        size = getattr(getattr(model, "patch_embed", None), "img_size", None)
        if isinstance(size, tuple) and len(size) == 2:
            shape = (shape[0], int(size[0]), int(size[1]))
        first = _first_channels(model)
        shape = (first or shape[0], *shape[1:])
        return Preprocessing(
            shape,
            _spread(stated.get("mean", IMAGENET_MEAN), shape[0]),
            _spread(stated.get("std", IMAGENET_STD), shape[0]),
            "timm's configuration of this network",
        )
    config = getattr(model, "config", None)
    config = getattr(config, "vision_config", config)
    side: Any = getattr(config, "image_size", None)
    if side is not None:
        height, width = (side, side) if isinstance(side, int) else (side[0], side[1])
        channels = int(getattr(config, "num_channels", 3))
        half = (0.5,) * channels
        return Preprocessing(
            (channels, height, width), half, half, "transformers' configuration of this network; its mean is mostly 0.5"
        )
    named = type(model).__module__.partition(".")[0]
    if named in ("torchvision", "transformers"):
        planes = _first_channels(model) or 3
        side = getattr(model, "image_size", 224)
        return Preprocessing(
            (planes, side, side),
            _spread(IMAGENET_MEAN, planes),
            _spread(IMAGENET_STD, planes),
            f"what networks of {named} mostly expect",
        )
    raise ValueError(
        f"{type(model).__name__} does not say which images it takes. Give an example, as in "
        "attnlab.adopt(model, torch.zeros(1, 3, 224, 224))"
    )


def _shape(size: Any) -> tuple[int, int, int]:
    channels, height, width = (int(each) for each in size)
    return channels, height, width


def _spread(values: Any, channels: int) -> tuple[float, ...]:
    """One value for each channel: as given, or their mean where the number of channels is another."""
    given = tuple(float(each) for each in values)
    return given if len(given) == channels else (sum(given) / len(given),) * channels


def _first_channels(model: nn.Module) -> int | None:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return None if first is None else first.in_channels
