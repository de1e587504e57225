"""Many seeds at once: the same weights as one by one where nothing is drawn, and no run can touch another."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from attnlab.config import ModelConfig, ProtocolConfig, RunConfig, TrainingConfig
from attnlab.training import CheckpointEvent, Event, ResultEvent, TrainingFailed, train
from attnlab.training.stacked import train_stacked
from tests.training.colours import make_dataset

DATA = make_dataset(classes=3, train_images=40)
STILL = {"hidden": 64, "blocks": 1, "spatial_dropout": 0.0, "dropout": 0.0}
PUBLISHED = ProtocolConfig(
    loss_head="relu_softmax",
    optimizer_scope="epoch",
    best_epoch="second_replaces",
    accuracy_average="batches",
    drop_last=True,
)


@pytest.fixture
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def config(**changes: Any) -> RunConfig:
    base = RunConfig(
        model=ModelConfig(width=4, options=STILL),
        training=TrainingConfig(epochs=2, batch_size=16, device="cpu", optimizer="sgd", lr=0.05, schedule="plateau"),
    )
    return base.changed(dataset__name="colours", **changes)


def seeds(base: RunConfig, count: int = 3) -> list[RunConfig]:
    return [base.changed(seed=seed) for seed in range(count)]


def one_by_one(configs: list[RunConfig]) -> list[list[Event]]:
    told: list[list[Event]] = []
    for each in configs:
        told.append([])
        train(each, on_event=told[-1].append, dataset=DATA, checkpoint_every=None)
    return told


def together(configs: list[RunConfig], **more: Any) -> tuple[list[Any], list[list[Event]]]:
    told: list[list[Event]] = [[] for _ in configs]
    ends = train_stacked(
        configs,
        on_event=lambda place, event: told[place].append(event),
        dataset=DATA,
        checkpoint_every=None,
        **more,
    )
    return ends, told


def last_state(events: list[Event]) -> Any:
    return next(event.state for event in reversed(events) if isinstance(event, CheckpointEvent))


CASES = {
    "none": config(),
    "eca+cbam": config(model__attention="eca+cbam"),
    "conv_autoencoder": config(model__attention="conv_autoencoder"),
    "linear_autoencoder": config(model__attention="linear_autoencoder"),
    "self_attention": config(model__attention="self_attention"),
    "momentum": config(training__momentum=0.9, training__weight_decay=0.01),
    "adamw": config(training__optimizer="adamw", training__lr=1e-3, training__schedule="one_cycle"),
    "published": config().changed(protocol=PUBLISHED.model_dump()),
    "dead block": config(model__options=STILL | {"dead_block": True}, training__weight_decay=0.1),
}


@pytest.mark.parametrize("base", CASES.values(), ids=CASES)
@pytest.mark.usefixtures("in_float64")
def test_a_stack_trains_each_seed_as_if_it_were_alone(base: RunConfig) -> None:
    configs = seeds(base)
    alone = one_by_one(configs)
    ends, stacked = together(configs)
    for single, event in zip(alone, stacked, strict=True):
        expected, got = last_state(single), last_state(event)
        assert got.model.keys() == expected.model.keys()
        for name, value in expected.model.items():
            torch.testing.assert_close(got.model[name], value, rtol=1e-6, atol=1e-7, msg=lambda text, n=name: f"{n}: {text}")
        assert [e.kind for e in event] == [e.kind for e in single]
        assert got.best.epoch == expected.best.epoch
    for single, end in zip(alone, ends, strict=True):
        result = single[-1]
        assert isinstance(result, ResultEvent) and isinstance(end, ResultEvent)
        assert end.test_accuracy == result.test_accuracy
        assert end.test_loss == pytest.approx(result.test_loss, rel=1e-5)
        assert end.validation_accuracy == result.validation_accuracy


def test_networks_draw_their_own_dropout() -> None:
    """Two runs with one seed share weights and batches, so only dropout can part them."""
    base = config(model__options=STILL | {"dropout": 0.5})
    _, told = together([base, base])
    first, second = (last_state(events).model for events in told)
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_run_that_is_stopped_leaves_the_stack_and_can_be_resumed() -> None:
    configs = seeds(config())
    asked = {"count": 0}

    def stop_the_second(place: int) -> bool:
        asked["count"] += place == 1
        return place == 1 and asked["count"] > 2

    ends, told = together(configs, should_stop=stop_the_second)
    assert [end is None for end in ends] == [False, True, False]
    state = last_state(told[1])
    assert state.step == 2
    whole = one_by_one(configs[1:2])[0]
    events: list[Event] = []
    train(configs[1], on_event=events.append, dataset=DATA, resume=state, checkpoint_every=None)
    for name, value in last_state(whole).model.items():
        torch.testing.assert_close(last_state(events).model[name], value, rtol=1e-3, atol=1e-4)


def test_a_stack_resumes_where_it_stood() -> None:
    configs = seeds(config(model__options=STILL | {"dropout": 0.5}))
    _, whole = together(configs)
    asked = {"count": 0}

    def stop_all(place: int) -> bool:
        asked["count"] += 1
        return asked["count"] > 3 * 5

    ends, told = together(configs, should_stop=stop_all)
    assert ends == [None] * 3
    states = [last_state(events) for events in told]
    assert {state.step for state in states} == {4}
    ends, rest = together(configs, resume=states)
    for before, after in zip(whole, rest, strict=True):
        for name, value in last_state(before).model.items():
            torch.testing.assert_close(last_state(after).model[name], value, rtol=1e-4, atol=1e-6)


def test_a_run_that_diverges_does_not_harm_the_others() -> None:
    configs = seeds(config(training__schedule="constant"))
    events: list[Event] = []
    train(configs[1], on_event=events.append, dataset=DATA, checkpoint_every=None)
    state = next(event.state for event in events if isinstance(event, CheckpointEvent))
    states = [next(e.state for e in told if isinstance(e, CheckpointEvent)) for told in one_by_one(configs)]
    assert {each.step for each in states} == {state.step}
    states[1].model["classifier.1.weight"].fill_(float("nan"))
    ends, told = together(configs, resume=states)
    assert isinstance(ends[1], TrainingFailed)
    assert isinstance(ends[0], ResultEvent) and isinstance(ends[2], ResultEvent)
    assert all(torch.isfinite(value).all() for value in last_state(told[2]).model.values())


@pytest.mark.parametrize(
    ("configs", "states", "why"),
    [
        ([], None, "at least one"),
        ([config(), config(training__lr=0.1)], None, "differ in nothing but their seed"),
        (seeds(config(), 2), [None], "as many states"),
    ],
)
def test_what_cannot_be_stacked_is_refused(configs: list[RunConfig], states: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        together(configs, resume=states)
