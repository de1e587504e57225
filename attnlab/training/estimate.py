"""What a training costs on this machine, measured with a few of its steps."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from attnlab.config import RunConfig
from attnlab.data import ImageDataset, Split
from attnlab.interop import start_weights
from attnlab.training.budget import Speed
from attnlab.training.device import choose_device
from attnlab.training.events import Event
from attnlab.training.feed import Feed
from attnlab.training.loop import Training
from attnlab.training.state import Best, to_cpu

_WARM_STEPS = 3
_MOST_STEPS = 60


def ignore(event: Event) -> None:
    """The `on_event` of a training that nobody follows."""


def measure_speed(
    config: RunConfig,
    dataset: ImageDataset,
    *,
    on_event: Callable[[Event], None] = ignore,
    seconds: float = 1.5,
    tell: Callable[[float], None] = lambda done: None,
) -> Speed:
    """Trains the first steps and times them, and once everything else that a run does.

    The default random generators are unchanged when it returns.

    Args:
        on_event: receives what a run would report, so that writing it is in the times.
        seconds: the steps are timed for about so long, and everything else for less. Slow networks take longer: two steps
            are the least.
        tell: called with how much of it is done, in [0, 1].

    Raises:
        ValueError, TrainingFailed: as `attnlab.training.train`.
    """
    device = choose_device(config.training.device)
    now = _clock(device)
    size = config.training.batch_size
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        began = now()
        training = Training(config, dataset, device, on_event)
        built = now() - began
        start_weights(training.model)  # may download them, once, which is no part of a run
        began = now()
        training.begin(fresh=True)
        built += now() - began

        batches = training.begin_epoch()
        first = now()
        for step in range(_WARM_STEPS):
            training.one_step(batches[step % len(batches)])
            if now() - first > seconds:
                break
        began, worked = now(), time.process_time()
        done = 0
        while not done or (done < _MOST_STEPS and now() - began < seconds):
            training.one_step(batches[done % len(batches)])
            done += 1
            tell(min(0.6, 0.6 * (now() - began) / seconds))
        took = now() - began
        share = 1.0 if device.type == "cuda" else (time.process_time() - worked) / took / torch.get_num_threads()

        began = now()
        training.send_snapshot()
        snapshot = now() - began
        tell(0.7)
        validation = _evaluation(training, dataset, dataset.validation, size, seconds / 4)
        test = _evaluation(training, dataset, dataset.test, size, seconds / 4)
        tell(0.9)
        training.best = Best(1, 0.0, 0.0, to_cpu(training.model.state_dict()))
        began = now()
        training.send_checkpoint(best=True)
        checkpoint = now() - began
    return Speed(
        start=built,
        step=took / done,
        steps=training.steps_per_epoch,
        validation=validation,
        test=test,
        checkpoint=checkpoint,
        snapshot=snapshot,
        images=min(training.steps_per_epoch * size, len(dataset.train)),
        share=min(1.0, max(0.01, share)),
    )


def _evaluation(training: Training, dataset: ImageDataset, split: Split, size: int, seconds: float) -> float:
    """Seconds of a pass over a split, from one batch or two."""
    now = _clock(training.device)
    count, took = min(size, len(split)), 0.0
    while True:
        feed = Feed(split.select(torch.arange(count)), dataset, training.device)
        began = now()
        training.evaluate(training.model, feed)
        took = now() - began
        if count == len(split) or took > seconds / 2:
            return took * len(split) / count
        count = min(len(split), max(2 * count, int(count * seconds / (2 * took))))


def _clock(device: torch.device) -> Callable[[], float]:
    """A clock that waits for the device first."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    return now
