"""Two servers on one home, and a worker that comes too late: real processes, as a person starts them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.conftest import ROOT

SERVER = """
import sys
from pathlib import Path
from attnlab.config import RunConfig
from attnlab.queue.manager import Manager
from tests.queue.test_manager import AtOnce

manager = Manager(Path(sys.argv[1]), AtOnce())
print(manager.queue_owner, flush=True)
for line in sys.stdin:
    run_id = manager.submit(RunConfig(seed=int(line)))
    print(run_id, manager.wait(run_id, 100).state, flush=True)
"""
WORKER = """
import sys
from attnlab.worker.main import main

for folder in sys.argv[1:]:
    sys.argv = ["worker", folder, "1"]
    print(main(), flush=True)
"""


class Server:
    """A process with a manager, whose workers end at once; a line with a seed has it submit a run and wait for it."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(home)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.said = self.process.stdout.readline()
        self.home = home

    def train(self, seed: int) -> int:
        """Which process has trained the run that this one submitted."""
        print(seed, file=self.process.stdin, flush=True)
        run_id, state = self.process.stdout.readline().split()
        assert state == RunState.FINISHED
        return RunFolder(self.home / "runs" / run_id).owner()["process"]["pid"]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    server = Server(home)
    try:
        yield server
    finally:
        server.kill()
        server.process.stdin.close()
        server.process.stdout.close()


@pytest.mark.slow
def test_the_second_server_names_the_first_hands_over_its_requests_and_takes_over_when_it_is_killed(private_home: Path) -> None:
    with ExitStack() as servers:
        first, second = servers.enter_context(serving(private_home)), servers.enter_context(serving(private_home))
        assert first.said == "this process runs the queue\n"
        assert f"another process ({first.process.pid}) runs the queue of {private_home}" in second.said
        assert "your requests are passed on to it" in second.said
        assert [first.train(0), second.train(1)] == [first.process.pid] * 2
        first.kill()
        assert second.train(2) == second.process.pid
        third = servers.enter_context(serving(private_home))
        assert f"another process ({second.process.pid})" in third.said
    runs = [RunFolder(path) for path in (private_home / "runs").iterdir()]
    assert [run.observe().attempt for run in runs] == [1, 1, 1]


@pytest.mark.slow
def test_a_late_worker_of_an_earlier_attempt_changes_nothing(tmp_path: Path) -> None:
    ended, training = RunFolder.create(tmp_path, RunConfig()), RunFolder.create(tmp_path, RunConfig(seed=1))
    for folder in (ended, training):
        folder.begin_attempt(2)
        folder.write_progress({"attempt": 2, "phase": "training", "step": 5, "total_steps": 10})
    ended.write_end(RunState.STOPPED, 2)

    def files() -> dict[Path, bytes]:
        own = ("log.txt", "lock")
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name not in own}

    before = files()
    with training.lock():
        late = subprocess.run(
            [sys.executable, "-c", WORKER, str(ended.path), str(training.path)],
            cwd=ROOT, env=dict(os.environ), text=True, capture_output=True, check=True,
        )  # fmt: skip
        assert files() == before
        assert (ended.observe().state, training.observe().state) == (RunState.STOPPED, RunState.RUNNING)
    assert late.stdout.split() == ["3", "3"]
    assert "attempt 1 of" in ended.log_path.read_text() and "comes too late" in ended.log_path.read_text()
    assert "is being trained by another process" in training.log_path.read_text()
