"""A short series of kills: of workers, and of the queue's process, once inside a write of the index."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_nothing_is_lost_or_trained_twice_when_workers_and_the_queue_are_killed() -> None:
    command = [sys.executable, "-m", "benchmarks.kill_loop", "--kills", "2", "--servers", "2"]
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, capture_output=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "'killed inside a write of the index': 1" in ended.stdout
