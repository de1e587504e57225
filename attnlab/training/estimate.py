"""How long a run would take, estimated from a few timed steps."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from attnlab.config import RunConfig
from attnlab.data import ImageDataset, load_dataset
from attnlab.training.device import choose_device
from attnlab.training.events import Event
from attnlab.training.feed import Feed
from attnlab.training.loop import Training
from attnlab.training.seeding import epoch_order


@dataclass(frozen=True)
class Estimate:
    """How long a run would take on this machine; loading the data is not included."""

    seconds: float
    images_per_second: float
    seconds_per_epoch: float


def estimate_seconds(config: RunConfig, dataset: ImageDataset | None = None, steps: int = 3) -> Estimate:
    """Times ``steps`` optimizer steps after a first one that is not counted, and one batch of validation.

    Raises:
        ValueError: as `attnlab.training.train`.
        TrainingFailed: when the first steps already fail.
    """
    data = dataset if dataset is not None else load_dataset(config.dataset)
    device = choose_device(config.training.device)
    size = config.training.batch_size
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        training = Training(config, data, device, _ignore)
        batches = epoch_order(config.seed, 0, len(data.train)).split(size)[: training.steps_per_epoch]
        training.one_step(batches[0])
        began = _now(device)
        images = 0
        for step in range(steps):
            batch = batches[step % len(batches)]
            training.one_step(batch)
            images += len(batch)
        per_image = (_now(device) - began) / images
        training.model.eval()
        x, _ = Feed(data.validation, data, device).batch(torch.arange(min(size, len(data.validation))))
        with torch.inference_mode():
            began = _now(device)
            training.model(x)
            per_validation_image = (_now(device) - began) / len(x)
    per_epoch = per_image * len(data.train) + per_validation_image * len(data.validation)
    return Estimate(
        seconds=per_epoch * config.training.epochs + per_validation_image * len(data.test),
        images_per_second=1 / per_image,
        seconds_per_epoch=per_epoch,
    )


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _ignore(event: Event) -> None:
    """The steps of an estimate are not reported."""
