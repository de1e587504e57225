"""Reports of steps on a device that is slow to read from: several at once, none lost, the right one blamed."""

import time

import pytest
import torch

from attnlab.config import RunConfig
from attnlab.training import Event, TrainingFailed
from attnlab.training.reporting import StepReporter

CUDA = torch.device("cuda")  # only named: the losses below are on the CPU


def report(losses: list[float], events: list[Event]) -> StepReporter:
    reporter = StepReporter(RunConfig(), CUDA, events.append, steps_per_epoch=10, images=95)
    for step, loss in enumerate(losses, start=1):
        reporter.add(step, 0.1, torch.tensor(loss), 10, time.perf_counter() - 0.5)
    return reporter


def test_steps_arrive_together_and_flush_sends_the_rest() -> None:
    events: list[Event] = []
    reporter = report([float(step) for step in range(1, 26)], events)
    assert [event.step for event in events] == list(range(1, 21))  # type: ignore[union-attr]
    reporter.flush()
    reporter.flush()
    assert [event.step for event in events] == list(range(1, 26))  # type: ignore[union-attr]
    assert [event.loss for event in events] == [float(step) for step in range(1, 26)]  # type: ignore[union-attr]
    assert [event.epoch for event in events] == [1] * 10 + [2] * 10 + [3] * 5  # type: ignore[union-attr]
    assert reporter.seconds >= 25 * 0.5


def test_a_loss_that_is_not_finite_is_blamed_on_its_own_step() -> None:
    events: list[Event] = []
    with pytest.raises(TrainingFailed, match="step 3: the loss became not a number") as failure:
        report([1.0, 1.0, float("nan"), *[1.0] * 17], events)
    assert failure.value.step == 3
    assert len(events) == 2
