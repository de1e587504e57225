"""The clock is set, or the time zone changes, while a run trains and others wait: the queue and the pages go on as before.

What is set is the clock that the server and the training see (`time.time` and its relatives). The times of files stay those of
the kernel, so clock and files disagree as they do on a disk of another machine.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab.experiments.managers import get_manager
from attnlab.runs.ownership import process_start
from attnlab.runs.records import RunState
from tests.example_runs import TWO_EPOCHS
from tests.pages import open_page
from tests.waiting import PATIENCE, wait_until

PAGES = ("pages/train.py", "pages/compare.py")
LONG = TWO_EPOCHS.changed(training__epochs=2000)


@pytest.fixture
def time_zone() -> Iterator[None]:
    yield
    time.tzset()


def set_clock(patch: pytest.MonkeyPatch, hours: float) -> None:
    seconds, now, now_ns, local = 3600 * hours, time.time, time.time_ns, time.localtime
    patch.setattr(time, "time", lambda: now() + seconds)
    patch.setattr(time, "time_ns", lambda: now_ns() + int(seconds * 1e9))
    patch.setattr(time, "localtime", lambda at=None: local(now() + seconds if at is None else at))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["an hour back", "an hour on", "another time zone"])
def test_runs_go_on_and_keep_their_order(
    change: str, app: AppTest, private_home: Path, time_zone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = get_manager()
    first, second = manager.submit(LONG), manager.submit(TWO_EPOCHS)
    wait_until(lambda: manager.get(first).step >= 3, "step 3")
    age = time.monotonic() - process_start()

    with pytest.MonkeyPatch.context() as patch:
        if change == "another time zone":
            patch.setenv("TZ", "Pacific/Kiritimati")
            time.tzset()
        else:
            set_clock(patch, {"an hour back": -1, "an hour on": 1}[change])
        third = manager.submit(TWO_EPOCHS.changed(seed=1))
        assert [run.run_id for run in manager.runs() if not run.demo] == [third, second, first], "the newest first"
        assert [run.run_id for run in manager.queue()] == [second, third]
        at = manager.get(first).step
        wait_until(lambda: manager.get(first).step > at + 3, "the run goes on")
        assert (manager.get(first).state, manager.get(first).attempt) == (RunState.RUNNING, 1)
        for page in PAGES:
            open_page(app, page)
        assert (manager.get(first).eta_seconds or 0.0) >= 0
        manager.stop(first)
        assert manager.wait(first, PATIENCE).state is RunState.STOPPED
        for run_id in (second, third):
            ended = manager.wait(run_id, PATIENCE)
            assert ended.state is RunState.FINISHED and 0 <= (ended.seconds or -1) < PATIENCE
        assert 0 <= time.monotonic() - process_start() - age < PATIENCE, "what a run costs is judged by another clock"
        manager.delete(second)
        (deleted,) = manager.deleted()
        assert deleted.days_left in (6, 7)
        open_page(app, PAGES[0])
    # the clock is set right again
    manager.restore(second)
    later = manager.submit(TWO_EPOCHS.changed(seed=2))
    assert [run.run_id for run in manager.runs() if not run.demo] == [later, third, second, first]
    assert manager.wait(later, PATIENCE).state is RunState.FINISHED
    open_page(app, PAGES[0])
