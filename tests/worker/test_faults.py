"""A worker that dies or gets no memory: its run ends alone, with the cause and what to reduce, and the next one trains.

The same on a GPU is in `test_gpu.py`.
"""

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.example_runs import TWO_EPOCHS
from tests.waiting import PATIENCE, wait_until

LONG = TWO_EPOCHS.changed(training__epochs=2000)
HUNGRY = TWO_EPOCHS.changed(model__width=512, training__batch_size=64)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """A manager whose warm worker the tests of this file share."""
    made = Manager(tmp_path_factory.mktemp("faults"), WorkerProcessExecutor())
    yield made
    children = psutil.Process().children()
    made.shutdown()
    psutil.wait_procs(children, timeout=10)


def worker_of(queue: Manager, run_id: str) -> int:
    return RunFolder(queue.get(run_id).folder).owner()["process"]["pid"]


def assert_the_next_run_trains(queue: Manager, before: str) -> None:
    assert queue.wait(before, PATIENCE).state is RunState.FINISHED, "what had been trained before is as it was"
    assert queue.wait(queue.submit(TWO_EPOCHS), PATIENCE).state is RunState.FINISHED
    assert not queue.trouble


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGSEGV, "a library crashed, log.txt of the run says where"),
        (signal.SIGKILL, "often for lack of memory: a smaller training.batch_size"),
    ],
)
def test_a_worker_that_dies_ends_its_run_alone(number: signal.Signals, cause: str, queue: Manager) -> None:
    before = queue.submit(TWO_EPOCHS)
    run_id = queue.submit(LONG)
    wait_until(lambda: queue.get(run_id).step >= 3, "step 3")
    os.kill(worker_of(queue, run_id), number)
    ended = queue.wait(run_id, PATIENCE)
    assert ended.state is RunState.INTERRUPTED and ended.state.resumable
    assert number.name in ended.reason and cause in ended.reason
    log = (ended.folder / "log.txt").read_text()
    assert ("Segmentation fault" in log and "most recent call first" in log) == (number is signal.SIGSEGV)
    assert_the_next_run_trains(queue, before)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="this system cannot limit the memory of a running process")
def test_a_run_that_gets_no_memory_fails_alone_and_the_same_worker_trains_the_next(queue: Manager) -> None:
    before = queue.submit(TWO_EPOCHS)
    queue.wait(before, PATIENCE)
    worker = psutil.Process(worker_of(queue, before))
    worker.rlimit(psutil.RLIMIT_AS, (worker.memory_info().vms + (300 << 20), psutil.RLIM_INFINITY))
    run_id = queue.submit(HUNGRY)
    ended = queue.wait(run_id, PATIENCE)
    assert ended.state is RunState.FAILED
    assert "out of memory" in ended.reason and "a smaller training.batch_size" in ended.reason
    assert worker_of(queue, run_id) == worker.pid
    assert_the_next_run_trains(queue, before)
