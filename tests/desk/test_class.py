"""Thirty students press Start at once: what each of them gets, and what the class was told before."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from streamlit.testing.v1 import AppTest

from attnlab.config import RunConfig
from attnlab.desk.desk import Desk
from attnlab.desk.permissions import Mode, NotAllowed, Person, browser_of
from attnlab.experiments import managers
from attnlab.queue.lesson import Offer, offers
from attnlab.queue.manager import Manager
from attnlab.runs.records import RunState
from attnlab.training.budget import Speed
from attnlab.training.presets import one_minute
from attnlab.ui import who
from attnlab.ui.state import owner_name
from tests.example_runs import finished_run
from tests.pages import open_page, seen
from tests.queue.test_manager import Never

STUDENTS = [Person(Mode.CLASSROOM, browser_of(f"{number:043d}")) for number in range(30)]
SECONDS = 12.0  # of the finished run that waits are judged by
SPEED = Speed(start=1, step=0.01, steps=100, validation=0.1, test=0.2, checkpoint=0, snapshot=0, images=6400)


@pytest.fixture
def queue(app: AppTest, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A queue that starts nothing, in which one run has been trained."""
    finished_run(private_home, RunConfig(seed=99), 0.9)
    managers.shutdown_all()
    made = Manager(private_home, Never(slots=0))
    made.store.sync()
    monkeypatch.setattr(managers, "_managers", {private_home: made})
    monkeypatch.setenv("ATTNLAB_MODE", "classroom")
    yield made


def all_press_start(times: int = 1) -> list[str]:
    at_once = Barrier(len(STUDENTS) * times)

    def press(person: Person) -> str:
        at_once.wait()
        return Desk(person).submit_new(RunConfig(), [0], None, chosen=False)[0]

    with ThreadPoolExecutor(len(STUDENTS) * times) as pool:
        return list(pool.map(press, STUDENTS * times))


def test_thirty_who_press_start_at_once_get_a_run_and_a_place_each(
    queue: Manager, app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [queue.get(run_id) for run_id in all_press_start()]
    assert {run.owner for run in runs} == {person.browser for person in STUDENTS}
    assert {run.config.seed for run in runs} == set(range(30)), "no run is trained twice"
    assert {run.queue_position for run in runs} == set(range(1, 31))
    waits = Desk(STUDENTS[0]).waits()
    expected = {run.run_id: SECONDS * ((run.queue_position or 0) - 1) for run in runs}
    assert {run_id: wait for run_id, wait in waits.items() if run_id} == pytest.approx(expected)
    monkeypatch.setattr(who, "browser", lambda: STUDENTS[0].browser)
    first = seen(open_page(app, "pages/train.py"))
    page = first + seen(app.number_input("train.waiting.page").set_value(2).run())
    for run in runs:
        assert ("yours" if run.owner == STUDENTS[0].browser else owner_name(run.owner)) in page
        assert f"position {run.queue_position} in the queue, starts in about" in page
    assert "30 runs are ahead of a new one, which starts in about 6 min" in page
    app.button("train.shorter").click().run()
    assert app.number_input("form.budget.seconds").value == 50, "the queue would then take five minutes"


def test_the_limit_of_a_browser_holds_however_fast_it_presses(queue: Manager) -> None:
    with pytest.raises(NotAllowed):
        all_press_start(times=4)
    counts = [sum(run.owner == person.browser for run in queue.live()) for person in STUDENTS]
    assert max(counts) <= 3


CASES = {
    "it fits": (30, 30, 0.0, 1, [Offer(1, 30, 60, 1800.0, True)]),
    "shorter runs or groups": (30, 20, 0.0, 1, [(1, 30, 60, False), (1, 30, 40, True), (2, 15, 60, True)]),
    "what waits counts": (30, 20, 600.0, 1, [(1, 30, 60, False), (1, 30, 20, True), (3, 10, 60, True)]),
    "three at a time": (30, 5, 0.0, 3, [(1, 30, 60, False), (1, 30, 30, True), (2, 15, 60, True)]),
    "too many for shorter runs": (300, 10, 0.0, 1, [(1, 300, 60, False), (30, 10, 60, True)]),
    "nothing fits": (30, 5, 300.0, 1, [(1, 30, 60, False)]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_class_is_told_beforehand_how_long_it_takes_and_what_fits(case: str) -> None:
    students, minutes, waiting, slots, wanted = CASES[case]
    found = offers(one_minute(), students, 60.0 * minutes, waiting=waiting, slots=slots)
    if case == "it fits":
        assert found == wanted
    else:
        assert [(each.sharing, each.runs, each.each, each.fits) for each in found] == wanted
    assert all(each.seconds <= 60 * minutes for each in found if each.fits)


def test_where_the_machine_was_timed_the_epochs_are_named_and_no_run_without_one_is_offered() -> None:
    (_, shorter, groups) = offers(one_minute(), 30, 20 * 60.0, speed=SPEED)
    assert shorter.epochs and groups.epochs and shorter.epochs <= groups.epochs <= one_minute().training.epochs
    slow = Speed(start=1, step=0.39, steps=100, validation=0.1, test=0.2, checkpoint=0, snapshot=0, images=6400)
    assert [each.sharing for each in offers(one_minute(), 30, 20 * 60.0, speed=slow)] == [1, 2]


def test_the_classroom_page_says_it_and_leads_to_the_form(
    queue: Manager, app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(who, "browser", lambda: STUDENTS[0].browser)
    page = seen(open_page(app, "pages/classroom.py"))
    assert "A run of 60 s" in page or "A run of 1 min" in page
    assert "for each of 30 students takes about 30 min" in page.replace("**", "") and "That does not fit." in page
    app.number_input("classroom.minutes").set_value(30).run()
    assert "That fits." in seen(app)
    app.query_params["seconds"] = "40"
    open_page(app, "pages/train.py")
    assert app.number_input("form.budget.seconds").value == 40
    assert all(run.state is not RunState.RUNNING for run in queue.runs())
