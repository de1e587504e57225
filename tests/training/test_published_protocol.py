"""The report's published training, written a second time in plain torch from its description, beside `training.train`."""

import json
from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from attnlab.config import RunConfig
from attnlab.data import ImageDataset, Provenance, Split
from attnlab.models import ImageShape, build_model, report_config
from attnlab.training import Event, TrainState, train
from attnlab.training.loop import Training
from attnlab.training.metrics import Evaluation
from attnlab.training.optim import Schedule
from attnlab.training.seeding import epoch_order, mix

EPOCHS, BATCH, RATE = 8, 16, 0.1
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)


def split(count: int, seed: int) -> Split:
    """Noise in which the class lifts one channel a little: hard enough for accuracies that go up and down."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (count,), generator=generator)
    images = torch.randint(0, 220, (count, 3, 16, 16), generator=generator, dtype=torch.uint8)
    images[torch.arange(count), labels] += 18
    return Split(images, labels)


DATA = ImageDataset("noise", ("a", "b", "c"), MEAN, STD, split(70, 1), split(37, 2), split(40, 3), Provenance("test", "0"))


def published(row: str, **changes: object) -> RunConfig:
    config = report_config(row).changed(
        dataset__name="noise",
        dataset__image_size=None,
        model__width=4,
        model__options={**report_config(row).model.options, "hidden": 64},
        training__epochs=EPOCHS,
        training__batch_size=BATCH,
        training__lr=RATE,
        training__device="cpu",
    )
    return config.changed(**changes)


@dataclass
class Told:
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    epochs: list[tuple[float, float]] = field(default_factory=list)
    tested: int = 0
    test_accuracy: float = 0.0


def by_hand(config: RunConfig, *, anew: bool) -> Told:
    """The published rules. ``anew``: optimizer and schedule are made in each epoch, as the code does."""
    torch.manual_seed(mix(config.seed, "weights"))
    model = build_model(config.model, ImageShape(3, 16, 16), 3)
    told, accuracies, best, step = Told(), [], {}, 0

    def pixels(images: Tensor) -> Tensor:
        """Normalised; channels last as in `train`, since another order of sums would be another rounding, and grow."""
        x = (images.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
        return x.contiguous(memory_format=torch.channels_last)

    def measured(part: Split) -> tuple[float, float]:
        """Means over batches of the loss and of the accuracy."""
        model.eval()
        losses, right = [], []
        with torch.no_grad():
            for x, y in zip(pixels(part.images).split(BATCH), part.labels.split(BATCH), strict=True):
                outputs = F.softmax(F.relu(model(x)), dim=1)
                losses.append(F.cross_entropy(outputs, y))
                right.append((outputs.argmax(dim=1) == y).float().mean())
        return float(torch.stack(losses).mean()), float(torch.stack(right).mean())

    for epoch in range(1, EPOCHS + 1):
        if anew or epoch == 1:
            optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
            schedule = ReduceLROnPlateau(optimizer, patience=1)
        model.train()
        for index in epoch_order(config.seed, epoch - 1, len(DATA.train)).split(BATCH):
            if len(index) < BATCH:
                continue
            torch.manual_seed(mix(config.seed, "step", step))
            loss = F.cross_entropy(F.softmax(F.relu(model(pixels(DATA.train.images[index]))), dim=1), DATA.train.labels[index])
            told.losses.append(loss.item())
            told.rates.append(optimizer.param_groups[0]["lr"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
        loss_of_epoch, accuracy = measured(DATA.validation)
        schedule.step(loss_of_epoch)
        told.epochs.append((loss_of_epoch, accuracy))
        if epoch == 2 or all(accuracy > earlier for earlier in accuracies):
            told.tested, best = epoch, {name: value.clone() for name, value in model.state_dict().items()}
        accuracies.append(accuracy)
    model.load_state_dict(best)
    told.test_accuracy = measured(DATA.test)[1]
    return told


@pytest.mark.parametrize("anew", [True, False], ids=["optimizer anew each epoch", "optimizer made once"])
@pytest.mark.parametrize(
    ("row", "seed"), [("CNN", 0), ("CNN", 1), ("CNN + CBAM", 0), ("CNN + CBAM", 1), ("CNN + linear autoencoder + ECA", 0)]
)
def test_losses_rates_and_the_tested_epoch_are_those_of_the_published_rules(row: str, anew: bool, seed: int) -> None:
    config = published(row, seed=seed, protocol__optimizer_scope="epoch" if anew else "run")
    events: list[Event] = []
    result = train(config, on_event=events.append, dataset=DATA)
    assert result is not None
    expected = by_hand(config, anew=anew)
    steps = [event for event in events if event.kind == "step"]
    assert [event.loss for event in steps] == pytest.approx(expected.losses, abs=2e-5)
    assert [event.lr for event in steps] == pytest.approx(expected.rates)
    epochs = [(event.validation_loss, event.validation_accuracy) for event in events if event.kind == "epoch"]
    assert epochs == [pytest.approx(pair, abs=2e-5) for pair in expected.epochs]
    assert (result.best_epoch, result.test_accuracy) == (expected.tested, pytest.approx(expected.test_accuracy, abs=1e-5))
    assert result.validation_accuracy == pytest.approx(expected.epochs[result.best_epoch - 1][1], abs=2e-5)
    if anew:
        assert set(expected.rates) == {RATE}


def test_the_examples_tell_the_rules_apart() -> None:
    """Made once, the rate falls in some of these runs, so patience and averaging are really compared."""
    assert any(min(by_hand(published("CNN", seed=seed), anew=False).rates) < RATE for seed in range(3))


CURVES = st.lists(st.integers(0, 8), min_size=1, max_size=12)


@given(CURVES, st.integers(0, 11))
@settings(max_examples=60, deadline=None)
def test_the_second_epoch_replaces_and_later_ones_exceed_all_earlier(curve: list[int], stopped: int) -> None:
    """Also when the training was stopped after any epoch, and went on from its state. .40, .30, .35 test epoch 2."""
    config = published("CNN", training__epochs=len(curve))

    def training() -> Training:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "attnlab.training.loop.rehearse", lambda *_: None
            )  # nothing is trained, and it takes most of the time
            made = Training(config, DATA, torch.device("cpu"), lambda event: None)
        made.model = nn.Linear(1, 1)  # only what is decided matters here, so the weights may be few
        made._make_optimizer()
        return made

    one = training()
    for number, accuracy in enumerate(curve):
        one.finish_epoch(Evaluation(1.0, accuracy / 8, None, torch.zeros(0).numpy(), torch.zeros(0).long().numpy()))
        if number == stopped:
            tensors, scalars = one.capture().to_parts()
            one = training()
            one.restore(TrainState.from_parts(tensors, json.loads(json.dumps(scalars))))
    expected = 1
    for epoch in range(2, len(curve) + 1):
        if epoch == 2 or curve[epoch - 1] > max(curve[: epoch - 1]):
            expected = epoch
    assert one.best is not None and (one.best.epoch, one.best.accuracy) == (expected, curve[expected - 1] / 8)


@given(CURVES, st.integers(0, 4), st.integers(0, 11))
@settings(max_examples=60, deadline=None)
def test_the_plateau_falls_when_torchs_does(curve: list[int], patience: int, saved: int) -> None:
    """Also when its state was saved as JSON after any epoch."""
    training = published("CNN").changed(training__plateau_patience=patience).training

    def optimizer() -> torch.optim.Optimizer:
        return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)

    theirs = optimizer()
    scheduler = ReduceLROnPlateau(theirs, patience=patience)
    mine = optimizer()
    schedule = Schedule(mine, training, steps=12)
    for number, loss in enumerate(curve):
        scheduler.step(loss / 8)
        schedule.after_validation(loss / 8)
        assert schedule.lr == theirs.param_groups[0]["lr"]
        if number == saved:
            state = json.loads(json.dumps(schedule.state_dict()))
            schedule = Schedule(mine, training, steps=12)
            schedule.load_state_dict(state)


def test_three_accuracies_of_the_published_code() -> None:
    """Its rule keeps the second epoch although the third is better; the described rule takes the first."""
    for rule, expected in (("second_replaces", 2), ("validation", 1)):
        training = Training(published("CNN", protocol__best_epoch=rule), DATA, torch.device("cpu"), lambda event: None)
        for accuracy in (0.40, 0.30, 0.35):
            training.finish_epoch(Evaluation(1.0, accuracy, None, torch.zeros(0).numpy(), torch.zeros(0).long().numpy()))
        assert training.best is not None and training.best.epoch == expected
