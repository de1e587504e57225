"""A time budget: how many epochs fit, what is reserved, and what accuracy is to be expected."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from attnlab.config import RunConfig
from attnlab.training import budget, expected
from attnlab.training.budget import SPEED, Speed, epochs_that_fit, images_that_fit, needed, parse_seconds
from attnlab.training.expected import expected_accuracy, save_expected
from attnlab.training.snapshots import SNAPSHOTS, snapshot_steps

STEPS = Speed(start=0, step=0.1, steps=100, validation=0, test=0, checkpoint=0, snapshot=0, images=6400)
WHOLE = Speed(start=2, step=0.1, steps=100, validation=1, test=3, checkpoint=0.3, snapshot=0.02, images=6400, share=0.5)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("90s", 90), ("5m", 300), ("45 min", 2700), ("1h30m", 5400), (" 2H ", 7200), ("0.5h", 1800), ("1m 5s", 65)],
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "5x", "0", "0m", "m", "1:30", "60 60x"])
def test_what_is_no_time_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        parse_seconds(text)


def test_a_machine_ten_times_slower_trains_a_tenth_of_the_epochs() -> None:
    seconds = needed([STEPS], 50)
    slower = replace(STEPS, step=10 * STEPS.step)
    assert epochs_that_fit([STEPS], seconds, 1000) == 50
    assert epochs_that_fit([slower], seconds, 1000) == 5


@pytest.mark.parametrize("seconds", [0, 5, 17, 18, 60, 600, 10_000])
@pytest.mark.parametrize("runs", [[WHOLE], [WHOLE, STEPS] * 3])
def test_as_many_epochs_as_possible_fit_and_one_more_would_not(runs: list[Speed], seconds: float) -> None:
    epochs = epochs_that_fit(runs, seconds, 40)
    assert 0 <= epochs <= 40
    assert not epochs or needed(runs, epochs) <= seconds
    assert epochs == 40 or needed(runs, epochs + 1) > seconds


def test_everything_a_person_waits_for_is_counted() -> None:
    for part in ("start", "step", "validation", "test", "checkpoint", "snapshot"):
        assert replace(WHOLE, **{part: getattr(WHOLE, part) + 1}).seconds(3) >= WHOLE.seconds(3) + 1


def test_what_is_counted_of_snapshots_is_what_is_taken() -> None:
    assert budget.MOST_SNAPSHOTS == SNAPSHOTS
    assert len(snapshot_steps(100_000)) <= SNAPSHOTS


def test_a_speed_beside_another_training_is_that_of_the_machine_without_it() -> None:
    assert WHOLE.after(1).step == pytest.approx(WHOLE.step / 1.8)
    crowded = replace(WHOLE, share=0.1)  # by something that stays
    assert crowded.after(1).step == pytest.approx(WHOLE.step / 2)
    alone = replace(WHOLE, share=0.98)  # the other had ended meanwhile
    assert alone.after(1).step == WHOLE.step


def test_the_images_that_fit_do_fit() -> None:
    images = images_that_fit(WHOLE, 12)
    assert 0 < images < WHOLE.images
    fewer = replace(WHOLE, steps=round(WHOLE.steps * images / WHOLE.images))
    assert epochs_that_fit([fewer], 12, 10) == 1
    assert images_that_fit(WHOLE, 3) == 0


def test_a_speed_is_kept_as_json() -> None:
    assert SPEED.validate_python(json.loads(json.dumps(asdict(WHOLE)))) == WHOLE


def test_expected_accuracy_is_interpolated_and_never_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expected, "FILE", tmp_path / "expected.json")
    expected._curves.cache_clear()
    config = RunConfig()
    save_expected([(config, [(1, 0.4), (5, 0.8), (10, 0.9)])], seeds=3)
    after = {epochs: expected_accuracy(config.changed(training__epochs=epochs, seed=7)) for epochs in (1, 3, 5, 10, 11)}
    assert after == {1: 0.4, 3: pytest.approx(0.6), 5: 0.8, 10: 0.9, 11: None}
    assert expected_accuracy(config.changed(training__epochs=5, training__device="cpu")) == 0.8
    assert expected_accuracy(config.changed(training__epochs=5, dataset__subset=500)) is None
    expected._curves.cache_clear()


def test_the_shipped_figures_can_be_read() -> None:
    for curve in expected._curves().values():
        assert [epochs for epochs, _ in curve] == sorted({epochs for epochs, _ in curve})
        assert all(0 < accuracy < 1 for _, accuracy in curve)
