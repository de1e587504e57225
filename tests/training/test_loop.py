"""The training function: same config, same bits; stopped anywhere and resumed, same bits; every switch has its effect."""

import json
import math
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from attnlab.config import DatasetConfig, ModelConfig, ProtocolConfig, RunConfig, TrainingConfig
from attnlab.data import DataError, ImageDataset, Split
from attnlab.training import CheckpointEvent, Event, ResultEvent, TrainingFailed, TrainState, measure_speed, train
from attnlab.training.optim import Schedule, build_optimizer
from attnlab.training.state import Weights
from tests.training.colours import make_dataset

STEPS = 3  # of an epoch: 40 images in batches of 16


DATA = make_dataset()
BASE = RunConfig(
    dataset=DatasetConfig(name="colours"),
    model=ModelConfig(attention="eca+cbam_spatial", width=4, options={"hidden": 64, "blocks": 1}),
    training=TrainingConfig(epochs=3, batch_size=16, device="cpu"),
)


class Recorder:
    """Keeps every event; stops after a number of questions, when told to."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[Event] = []
        self.questions, self.stop_after = 0, stop_after

    def should_stop(self) -> bool:
        self.questions += 1
        return self.stop_after is not None and self.questions > self.stop_after

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.kind == kind]

    @property
    def last_state(self) -> TrainState:
        event = self.of("checkpoint")[-1]
        assert isinstance(event, CheckpointEvent)
        return event.state


def run(config: RunConfig, data: ImageDataset = DATA, stop_after: int | None = None, **more: Any) -> tuple[Recorder, Any]:
    recorder = Recorder(stop_after)
    result = train(config, on_event=recorder.events.append, should_stop=recorder.should_stop, dataset=data, **more)
    return recorder, result


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_training_tells_its_story_in_order() -> None:
    recorder, result = run(BASE)
    kinds = [event.kind for event in recorder.events]
    assert kinds[:3] == ["start", "probes", "snapshot"] and kinds[-1] == "result"
    (start,) = recorder.of("start")
    assert (start.steps_per_epoch, start.total_steps, start.train_images, start.classes) == (STEPS, 3 * STEPS, 40, 3)
    assert [event.step for event in recorder.of("step")] == list(range(1, 3 * STEPS + 1))
    assert [event.epoch for event in recorder.of("step")] == [1] * STEPS + [2] * STEPS + [3] * STEPS
    assert [(event.epoch, event.step) for event in recorder.of("epoch")] == [(1, 3), (2, 6), (3, 9)]
    assert recorder.last_state.epoch == 3
    assert isinstance(result, ResultEvent) and result is recorder.events[-1]
    best = max(recorder.of("epoch"), key=lambda event: event.validation_accuracy)
    assert (result.best_epoch, result.validation_accuracy) == (best.epoch, best.validation_accuracy)
    assert sum(map(sum, result.extra["confusion"])) == 22
    assert sum(row[i] for i, row in enumerate(result.extra["confusion"])) / 22 == pytest.approx(result.test_accuracy)


def test_it_learns_what_is_there_to_learn() -> None:
    _, result = run(BASE.changed(training__epochs=20, training__lr=1e-2))
    assert result.test_accuracy > 0.9


def test_the_same_config_gives_the_same_bits_and_another_seed_others() -> None:
    torch.manual_seed(1)
    first, _ = run(BASE)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second, _ = run(BASE)
    assert torch.equal(torch.get_rng_state(), before), "the caller's random numbers are disturbed"
    assert same(first.last_state.model, second.last_state.model)
    assert [event.loss for event in first.of("step")] == [event.loss for event in second.of("step")]
    other, _ = run(BASE.changed(seed=1))
    assert not same(first.last_state.model, other.last_state.model)


RESUMED = {
    "one cycle, adamw, rotation": {"training__augment": "rotate_flip", "training__weight_decay": 0.1},
    "plateau, momentum": {"training__schedule": "plateau", "training__optimizer": "sgd", "training__momentum": 0.9},
    "made anew each epoch": {
        "protocol__optimizer_scope": "epoch",
        "training__schedule": "cosine",
        "training__optimizer": "adam",
    },
}


@cache
def unbroken(name: str) -> tuple[Recorder, Any]:
    return run(BASE.changed(**RESUMED[name]))


@pytest.mark.parametrize("name", RESUMED)
@pytest.mark.parametrize("stop_after", range(0, 18, 2))
def test_a_resumed_training_ends_with_the_same_bits(name: str, stop_after: int) -> None:
    """Stopped before, between and after steps, in the middle of validations and of the test; through the files' formats."""
    config = BASE.changed(**RESUMED[name])
    whole, expected = unbroken(name)
    stopped, result = run(config, stop_after=stop_after)
    assert result is None and stopped.events[-1].kind == "checkpoint"
    tensors, scalars = stopped.last_state.to_parts()
    state = TrainState.from_parts(load(save(tensors)), json.loads(json.dumps(scalars, allow_nan=False)))
    resumed, result = run(config, resume=state)
    final = resumed.of("checkpoint")[-1].state if resumed.of("checkpoint") else state
    assert same(final.model, whole.last_state.model)
    assert final.best is not None and whole.last_state.best is not None
    assert same(final.best.weights, whole.last_state.best.weights)
    for field in ("best_epoch", "validation_accuracy", "test_loss", "test_accuracy", "extra"):
        assert getattr(result, field) == getattr(expected, field)
    # Nothing happens twice or is left out, and an epoch interrupted in the middle has the figures of a whole one.
    for kind, fields in (
        ("step", ("step", "loss", "lr")),
        ("epoch", ("epoch", "train_loss", "train_accuracy", "validation_loss")),
    ):
        told = [[getattr(event, field) for field in fields] for event in [*stopped.of(kind), *resumed.of(kind)]]
        assert told == [[getattr(event, field) for field in fields] for event in whole.of(kind)]
    taken = [event.step for event in [*stopped.of("snapshot"), *resumed.of("snapshot")]]
    assert taken == [event.step for event in whole.of("snapshot")]


def test_auc_of_an_interrupted_epoch_is_that_of_the_whole_one() -> None:
    data = make_dataset(classes=2)
    whole, _ = run(BASE, data)
    stopped, _ = run(BASE, data, stop_after=2)
    resumed, result = run(BASE, data, resume=stopped.last_state)
    assert [event.train_auc for event in resumed.of("epoch")] == [event.train_auc for event in whole.of("epoch")]
    assert result.test_auc is not None and len(result.extra["probabilities"]) == 22


def test_a_network_with_one_output_and_focal_loss_is_a_classifier_of_two() -> None:
    config = BASE.changed(
        model=ModelConfig(backbone="attention_vgg16", width=2, options={"output": "single"}).model_dump(),
        training__loss="focal",
        training__epochs=1,
    )
    recorder, result = run(config, make_dataset(classes=2, side=32))
    assert recorder.of("snapshot")[-1].probabilities.shape == (8, 2)
    assert 0 <= result.test_auc <= 1
    assert len(result.extra["confusion"]) == 2 and "roc" in result.extra


def test_images_mapped_from_a_file_train_to_the_same_bits(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", DATA.train.images.numpy())
    mapped = torch.from_numpy(np.load(tmp_path / "images.npy", mmap_mode="r+"))
    data = ImageDataset(**{**vars(DATA), "train": Split(mapped, DATA.train.labels)})
    assert same(run(BASE, data)[0].last_state.model, run(BASE)[0].last_state.model)


def test_a_state_can_leave_the_best_weights_to_who_keeps_them() -> None:
    state = run(BASE)[0].last_state
    tensors, scalars = state.to_parts(best_weights=False)
    assert not [name for name in tensors if name.startswith("best/")]
    with pytest.raises(ValueError, match="weights are missing"):
        TrainState.from_parts(tensors, scalars)
    assert state.best is not None
    again = TrainState.from_parts(tensors, scalars, state.best.weights)
    assert again.best is not None and same(again.best.weights, state.best.weights)


def test_a_state_of_another_config_is_refused() -> None:
    state = run(BASE, stop_after=1)[0].last_state
    with pytest.raises(ValueError, match="another configuration"):
        run(BASE.changed(training__lr=0.5), resume=state)


def test_checkpoints_come_when_asked_for() -> None:
    best_or_last = {event.step for event in run(BASE, checkpoint_every=None)[0].of("checkpoint")}
    assert best_or_last <= {3, 6, 9}
    assert {event.step for event in run(BASE, checkpoint_every=2)[0].of("checkpoint")} == best_or_last | {2, 4, 6, 8}
    every_step = run(BASE, checkpoint_every=timedelta(0))[0].of("checkpoint")
    assert {event.step for event in every_step} == set(range(1, 10))


def test_a_loss_that_is_not_finite_ends_the_training_with_step_and_reason() -> None:
    recorder = Recorder()
    with pytest.raises(TrainingFailed, match=r"became (not a number|infinite)") as failure:
        train(BASE.changed(training__lr=1e30, training__optimizer="sgd", training__schedule="constant"),
              on_event=recorder.events.append, dataset=DATA)  # fmt: skip
    assert failure.value.step == len(recorder.of("step")) + 1
    assert all(math.isfinite(event.loss) for event in recorder.of("step"))


def test_labels_are_checked_before_anything_starts() -> None:
    wrong = Split(DATA.validation.images, torch.full_like(DATA.validation.labels, 3))
    data = ImageDataset(**{**vars(DATA), "validation": wrong})
    recorder = Recorder()
    with pytest.raises(DataError, match="label 3 in the validation split"):
        train(BASE, on_event=recorder.events.append, dataset=data)
    assert not recorder.events


def test_cuda_asked_for_and_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="sees no CUDA device"):
        run(BASE.changed(training__device="cuda"))


def rates(**changes: Any) -> list[float]:
    return [event.lr for event in run(BASE.changed(**changes))[0].of("step")]


def test_schedules() -> None:
    constant = rates(training__schedule="constant", training__lr=0.01)
    assert constant == [0.01] * 9
    cosine = rates(training__schedule="cosine", training__lr=0.01)
    assert cosine == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 9)) for step in range(9)])
    cycle = rates(training__schedule="one_cycle", training__lr=0.01)
    assert max(cycle) <= 0.01 and cycle[0] == pytest.approx(0.01 / 25) and cycle[-1] < 1e-6
    assert cycle.index(max(cycle)) == pytest.approx(0.3 * 9 - 1, abs=1)


def test_plateau_divides_the_rate_by_ten_after_three_epochs_without_improvement() -> None:
    optimizer = build_optimizer(torch.nn.Linear(2, 2), BASE.training, torch.device("cpu"))
    schedule = Schedule(optimizer, BASE.changed(training__schedule="plateau", training__lr=0.1).training, steps=9)
    seen = []
    for loss in (1.0, 0.9, 0.95, 0.95, 0.95, 0.8):
        schedule.after_validation(loss)
        seen.append(schedule.lr / BASE.training.lr)
    assert seen == pytest.approx([1, 1, 1, 1, 0.1, 0.1])


def test_plateau_never_falls_when_it_is_made_anew_each_epoch() -> None:
    """A rate so small that only the running statistics of batch norm move the loss, until they do not."""
    still = {"training__schedule": "plateau", "training__optimizer": "sgd", "training__lr": 1e-6, "training__epochs": 20}
    assert rates(**still)[-1] < 1e-6
    assert set(rates(**still, protocol__optimizer_scope="epoch")) == {1e-6}


def test_one_cycle_made_anew_each_epoch_cycles_each_epoch() -> None:
    cycles = rates(protocol__optimizer_scope="epoch")
    assert cycles[:STEPS] == cycles[STEPS : 2 * STEPS] == cycles[2 * STEPS :]


def test_second_epoch_replaces_the_best_whatever_it_is() -> None:
    """With a rate of nearly zero no epoch beats the first, so the ordinary rule keeps it."""
    still = BASE.changed(
        training__lr=1e-12, training__optimizer="sgd", model__options={"hidden": 64, "blocks": 1, "dropout": 0.0}
    )
    accuracies = [event.validation_accuracy for event in run(still)[0].of("epoch")]
    expected = 1 + accuracies.index(max(accuracies))
    assert run(still)[1].best_epoch == expected
    published, result = run(still.changed(protocol__best_epoch="second_replaces"))
    assert [event.best for event in published.of("epoch")][1]
    assert result.best_epoch == (3 if accuracies[2] > max(accuracies[:2]) else 2)


@pytest.mark.parametrize(
    ("rule", "field", "better"),
    [
        ("validation", "validation_accuracy", max),
        ("validation_loss", "validation_loss", min),
        ("validation_auc", "validation_auc", max),
    ],
)
def test_the_best_epoch_is_the_best_by_its_rule(rule: str, field: str, better: Any) -> None:
    """Also in a run that was resumed."""
    config = BASE.changed(training__epochs=8, training__lr=0.05, protocol__best_epoch=rule)
    data = make_dataset(classes=2)
    recorder, result = run(config, data)
    figures = [getattr(event, field) for event in recorder.of("epoch")]
    assert result.best_epoch == 1 + figures.index(better(figures))
    tensors, scalars = recorder.of("checkpoint")[2].state.to_parts()
    _, again = run(config, data, resume=TrainState.from_parts(tensors, json.loads(json.dumps(scalars))))
    assert again.best_epoch == result.best_epoch


def test_an_auc_that_will_not_exist_is_refused_before_the_first_step() -> None:
    with pytest.raises(ValueError, match="needs two classes that both occur"):
        run(BASE.changed(protocol__best_epoch="validation_auc"))


@pytest.mark.parametrize(
    ("images", "batch", "drop_last", "steps"),
    [(40, 16, False, 3), (40, 16, True, 2), (33, 16, False, 2), (34, 16, False, 3), (1, 16, False, 1), (32, 16, True, 2)],
)
def test_incomplete_last_batch(images: int, batch: int, drop_last: bool, steps: int) -> None:
    """Kept, unless the protocol drops it; one single image behind full batches has no variance and is left out."""
    config = BASE.changed(training__batch_size=batch, training__epochs=1, protocol__drop_last=drop_last)
    recorder, _ = run(config, make_dataset(train_images=images))
    assert len(recorder.of("step")) == steps


def test_no_full_batch_is_said() -> None:
    with pytest.raises(ValueError, match=r"use a smaller training\.batch_size"):
        run(BASE.changed(training__batch_size=64, protocol__drop_last=True))


def test_relu_softmax_head_keeps_the_loss_above_its_floor() -> None:
    classes = 3
    floor = -math.log(math.e / (math.e + classes - 1))
    config = BASE.changed(training__epochs=8, training__lr=1e-2, protocol=ProtocolConfig(loss_head="relu_softmax").model_dump())
    recorder, _ = run(config)
    assert min(event.loss for event in recorder.of("step")) >= floor - 1e-6
    plain, _ = run(config.changed(protocol__loss_head="logits"))
    assert min(event.loss for event in plain.of("step")) < floor


def test_measuring_the_speed_disturbs_nothing_and_counts_all_steps() -> None:
    before = torch.get_rng_state()
    speed = measure_speed(BASE, DATA, seconds=0.05)
    assert torch.equal(torch.get_rng_state(), before)
    recorder, _ = run(BASE)
    (start,) = recorder.of("start")
    assert (speed.steps, speed.images) == (start.steps_per_epoch, len(DATA.train))
    assert min(speed.step, speed.validation, speed.test, speed.snapshot, speed.start) > 0
    assert speed.seconds(7) > 7 * speed.steps * speed.step


def test_validation_in_training_mode_normalises_by_the_batch() -> None:
    """Batch norm then knows nothing of earlier batches: with rate zero, what a network said before training it says after."""
    still = BASE.changed(
        training__lr=1e-12, training__optimizer="sgd", model__options={"hidden": 64, "blocks": 1, "dropout": 0.0}
    )
    still = still.changed(model__options={**still.model.options, "spatial_dropout": 0.0})
    losses = {}
    for mode in ("evaluation", "training"):
        recorder, _ = run(still.changed(protocol__evaluation_mode=mode))
        losses[mode] = [event.validation_loss for event in recorder.of("epoch")]
    assert losses["training"] == pytest.approx([losses["training"][0]] * 3, rel=1e-5)
    assert abs(losses["evaluation"][1] - losses["evaluation"][0]) > 1e-4, "running statistics settle"
