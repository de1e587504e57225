"""One step of a training without arithmetic, before it starts, so that an impossible config is told in words."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from attnlab.attention import NONE, split_composition
from attnlab.config import RunConfig
from attnlab.models import ImageShape


def rehearse(config: RunConfig, model: nn.Module, shape: ImageShape, images: int) -> None:
    """Passes the smallest batch of the training through a copy of ``model`` that holds no numbers.

    Args:
        model: as it will be trained.
        images: number of training images.

    Raises:
        ValueError: when the network cannot take such a batch; the message says what to change.
    """
    whole, rest = divmod(images, config.training.batch_size)
    sizes = [config.training.batch_size] if whole else []
    if rest > (1 if whole else 0) and not config.protocol.drop_last:  # as `attnlab.training.feed.steps_per_epoch` counts
        sizes.append(rest)
    batch = min(sizes)
    try:
        _forward(copy.deepcopy(model).to("meta"), batch, shape)
    except Exception:
        trial = copy.deepcopy(model).cpu()
        try:  # not every operation works without numbers: only what fails with them as well is an error
            _forward(trial, batch, shape)
        except torch.OutOfMemoryError:
            return  # the first step tells it, as every step does
        except (RuntimeError, ValueError) as error:
            raise ValueError(_advice(config, trial, shape, batch, error)) from error


def _forward(model: nn.Module, batch: int, shape: ImageShape) -> None:
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.train()(torch.zeros(batch, *shape, device=device))


def _advice(config: RunConfig, model: nn.Module, shape: ImageShape, batch: int, error: Exception) -> str:
    name, size = config.model.backbone, f"{shape.height} x {shape.width}"
    if "more than 1 value per channel" in str(error):
        if variant := _variant_of_one(config, model, batch, shape):
            return (
                f"{variant} cannot train on batches of {batch} in {name} at {size} pixels: its batch normalisation has only "
                "one number per channel there. Set training.batch_size to 2 or more, or choose one that leaves no last batch "
                "of a single image."
            )
        return (
            f"{name} cannot train on batches of {batch} at {size} pixels: batch normalisation needs more than one number per "
            "channel, and the last maps have one position. Set training.batch_size to 2 or more, or enlarge dataset.image_size."
        )
    attention = "" if config.model.attention == NONE else f" with {config.model.attention}"
    return (
        f"{name}{attention} cannot work on images of {size} pixels with this config: {str(error).splitlines()[0]}. "
        "Enlarge dataset.image_size or model.width, or change the options of the network and of the attention."
    )


def _variant_of_one(config: RunConfig, model: nn.Module, batch: int, shape: ImageShape) -> str | None:
    """The attention variant whose batch normalisation fails on such a batch; `None` where another part of the network does."""
    called: list[str] = []

    paths = {module: path for path, module in model.named_modules() if isinstance(module, _BatchNorm)}
    for norm in paths:
        norm.register_forward_pre_hook(lambda module, inputs: called.append(paths[module]))
    try:
        _forward(model, batch, shape)
    except (RuntimeError, ValueError):
        parts = called[-1].split(".") if called else []
        return next((name for name in split_composition(config.model.attention) if name in parts), None)
    return None
