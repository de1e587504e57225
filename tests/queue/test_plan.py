"""A run that must end in time: its epochs are settled before it is queued, and all seeds of a group share the number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attnlab.config import RunConfig
from attnlab.queue import plan as planning
from attnlab.queue.executors.base import Job
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.plan import measure_beside, note_budget, plan_run, waiting_seconds
from attnlab.runs.errors import RunRefused
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord, RunState
from attnlab.training.budget import Speed, TooShort, needed
from attnlab.worker.timing import Tell
from tests.waiting import PATIENCE, wait_until

CONFIG = RunConfig().changed(training__epochs=50)
SPEED = Speed(start=0, step=0.1, steps=10, validation=0, test=0, checkpoint=0, snapshot=0, images=640)
BUDGET = needed([SPEED], 20)
TINY = RunConfig.model_validate(
    {
        "dataset": {"subset": 60, "test_subset": 20},
        "model": {"width": 2},
        "training": {"epochs": 3, "batch_size": 16, "device": "cpu"},
    }
)


class Machine:
    """Says how fast it is, and counts how often it was asked."""

    def __init__(self, speed: Speed = SPEED) -> None:
        self.speed, self.asked = speed, 0

    def __call__(self, config: RunConfig, tell: Tell) -> Speed:
        self.asked += 1
        return self.speed


def fitted_run(home: Path, config: RunConfig, budget: float) -> RunRecord:
    folder = RunFolder.create(home / "runs", config)
    note_budget([folder], budget)
    return RunRecord(folder.run_id, config.group, "", config, RunState.FINISHED, folder.path, created=1.0)


def test_ten_times_slower_is_a_tenth_of_the_epochs(private_home: Path) -> None:
    slow = Machine(replace(SPEED, step=1.0))
    assert plan_run(CONFIG, BUDGET, home=private_home, measure=Machine()).config.training.epochs == 20
    assert plan_run(CONFIG, BUDGET, home=private_home, measure=slow, fresh=True).config.training.epochs == 2


def test_at_most_as_many_as_were_asked_for(private_home: Path) -> None:
    plan = plan_run(CONFIG.changed(training__epochs=7), BUDGET, home=private_home, measure=Machine())
    assert plan.config == CONFIG.changed(training__epochs=7)
    assert plan.words.startswith("All 7 epochs fit into 23 s on this machine (about 7 s).")


def test_time_that_the_measurement_took_is_not_promised_twice(private_home: Path) -> None:
    late = Machine(replace(SPEED, timing=needed([SPEED], 20) - needed([SPEED], 15)))
    assert plan_run(CONFIG, BUDGET, home=private_home, measure=late).config.training.epochs == 15


def test_a_slow_measurement_is_charged_in_part_where_a_class_begins(private_home: Path) -> None:
    late = Machine(replace(SPEED, timing=0.9 * BUDGET))
    plan = plan_run(CONFIG, BUDGET, home=private_home, measure=late, most_charged=0.2)
    assert plan.config.training.epochs == max(n for n in range(1, 21) if needed([SPEED], n) <= 0.8 * BUDGET)
    (private_home / "speeds").rename(private_home / "forgotten")
    with pytest.raises(TooShort):
        plan_run(CONFIG, BUDGET, home=private_home, measure=late)


def test_seeds_that_are_started_together_are_timed_once(private_home: Path) -> None:
    machine = Machine()
    plans = [plan_run(CONFIG.changed(seed=seed), BUDGET, home=private_home, measure=machine) for seed in range(4)]
    assert {plan.config.training.epochs for plan in plans} == {20}
    assert [plan.config.seed for plan in plans] == [0, 1, 2, 3]
    assert machine.asked == 1
    plan_run(CONFIG.changed(model__attention="eca"), BUDGET, home=private_home, measure=machine)
    assert machine.asked == 2, "another network has its own speed"


def test_a_measurement_counts_for_a_short_while(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "REMEMBERED_SECONDS", 0.0)
    machine = Machine()
    for _ in range(2):
        plan_run(CONFIG, BUDGET, home=private_home, measure=machine)
    assert machine.asked == 2


def test_a_damaged_memory_is_measured_anew(private_home: Path) -> None:
    machine = Machine()
    plan_run(CONFIG, BUDGET, home=private_home, measure=machine)
    for text in ("{", "{}", '{"time": 0}', '{"time": 1e12, "speed": {}}'):
        (path,) = (private_home / "speeds").iterdir()
        path.write_text(text)
        assert plan_run(CONFIG, BUDGET, home=private_home, measure=machine).config.training.epochs == 20
    assert machine.asked == 5


def test_a_group_keeps_its_number_however_fast_the_machine_is_now(private_home: Path) -> None:
    records = [fitted_run(private_home, CONFIG.changed(training__epochs=9), BUDGET)]
    plan = plan_run(CONFIG.changed(seed=3), BUDGET, home=private_home, measure=Machine(), records=records)
    assert (plan.config.training.epochs, plan.config.seed, plan.kept) == (9, 3, True)
    assert "the same number as in earlier runs of these settings" in plan.words


@pytest.mark.parametrize(
    "change",
    [
        {"model__attention": "eca"},
        {"training__lr": 0.5},
        {"dataset__subset": 300},
        {"training__epochs": 5},  # fewer than the group has were asked for
    ],
)
def test_only_seeds_of_the_group_keep_it(private_home: Path, change: dict) -> None:
    records = [fitted_run(private_home, CONFIG.changed(training__epochs=9), BUDGET)]
    assert not plan_run(CONFIG.changed(**change), BUDGET, home=private_home, measure=Machine(), records=records).kept


def test_runs_with_a_number_of_their_own_bind_nobody(private_home: Path) -> None:
    given = fitted_run(private_home, CONFIG.changed(training__epochs=9), BUDGET / 2)
    assert plan_run(CONFIG, BUDGET, home=private_home, measure=Machine(), records=[given]).config.training.epochs == 20


def test_not_one_epoch_is_told_with_what_would_help(private_home: Path) -> None:
    machine = Machine(replace(SPEED, step=2.0, steps=100, images=6400))
    with pytest.raises(TooShort, match=r"Not one epoch fits into 1 min on this machine.*too long") as told:
        plan_run(CONFIG, 60, home=private_home, measure=machine)
    assert "use 1,700 training images or fewer (dataset.subset), or allow 3 min 40 s" in str(told.value)
    machine.speed = SPEED  # other programs were closed
    assert plan_run(CONFIG, 60, home=private_home, measure=machine).config.training.epochs == 50


def test_without_a_budget_the_epochs_stay(private_home: Path) -> None:
    plan = plan_run(CONFIG, None, home=private_home, measure=Machine())
    assert plan.config == CONFIG
    assert plan.words == "50 epochs take about 50 s on this machine."


def test_the_wait_is_known_where_all_speeds_are(private_home: Path) -> None:
    plan_run(CONFIG, None, home=private_home, measure=Machine())
    running = RunRecord("a", "g", "", CONFIG, RunState.RUNNING, private_home, eta_seconds=12.0)
    queued = RunRecord("b", "g", "", CONFIG.changed(training__epochs=10, seed=4), RunState.QUEUED, private_home)
    unknown = RunRecord("c", "g", "", CONFIG.changed(training__lr=0.5), RunState.QUEUED, private_home)
    assert waiting_seconds([running, queued], private_home, 1) == pytest.approx(22)
    assert waiting_seconds([running, queued], private_home, 2) == pytest.approx(11)
    assert waiting_seconds([running, queued, unknown], private_home, 1) is None


class _Timed:
    """An executor that knows the answer."""

    slots = 1

    def measure(self, config: RunConfig, tell: Tell, *, seconds: float = 1.5) -> Speed:
        return replace(SPEED, share=0.45)


def test_a_training_that_will_have_ended_does_not_count(private_home: Path) -> None:
    beside = measure_beside(_Timed(), 1)
    plan = plan_run(CONFIG, BUDGET, home=private_home, measure=beside)
    assert plan.config.training.epochs == 40
    alone = measure_beside(_Timed(), 0)
    assert plan_run(CONFIG, BUDGET, home=private_home, measure=alone, fresh=True).config.training.epochs <= 20


@pytest.mark.slow
def test_a_worker_times_a_run_refuses_an_impossible_one_and_trains_the_next(private_home: Path) -> None:
    executor = WorkerProcessExecutor()
    told: list[str] = []
    try:
        speed = executor.measure(TINY, lambda words, done: told.append(words), seconds=0.1)
        assert (speed.steps, speed.images) == (4, 54)
        assert "timing a few steps" in told
        with pytest.raises(RunRefused, match="unknown"):
            executor.measure(TINY.changed(dataset__options={"unknown": 1}), lambda words, done: None, seconds=0.1)
        plan = plan_run(TINY, 36_000, home=private_home, measure=lambda config, tell: speed)
        folder = RunFolder.create(private_home / "runs", plan.config)
        executor.start(Job(folder.path, 1))
        end = wait_until(folder.end, "the run ends", PATIENCE)
        assert (end["state"], folder.progress()["total_steps"]) == ("finished", 3 * speed.steps)
        assert len(executor._children) == 1, "one process did it all"
        executor.start(Job(RunFolder.create(private_home / "runs", plan.config.changed(seed=1, training__epochs=500)).path, 1))
        beside = []
        for _ in range(2):
            executor.measure(TINY, lambda words, done: None, seconds=0.1)
            beside += [child.process.pid for child in executor._idle]
        assert len(beside) == 2 and len(set(beside)) == 1, "another process times beside a training, and is kept for the next"
        for job in list(executor._children):
            executor.cancel(job, force=True)
    finally:
        executor.close()
    assert not list((private_home / "cache").glob("timing-*")), "nothing is left behind"


def test_whoever_leaves_ends_the_measurement(private_home: Path) -> None:
    class Left(BaseException):
        pass

    def leave(words: str, done: float) -> None:
        raise Left

    executor = WorkerProcessExecutor()
    with pytest.raises(Left):
        executor.measure(TINY, leave)
    assert executor._idle == []
    executor.close()
