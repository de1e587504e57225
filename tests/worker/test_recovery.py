"""Runs survive what can happen to a process and to its files, and end with the weights of a run that nothing happened to."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.records import RunState
from attnlab.worker.session import run
from tests.example_runs import TWO_EPOCHS
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[2]
LONG = TWO_EPOCHS.changed(training__epochs=2000)
TIMES = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder.create(tmp_path_factory.mktemp("unbroken"), TWO_EPOCHS)
    assert run(folder.path).state is RunState.FINISHED
    return folder


@pytest.fixture(scope="module")
def stopped_midway(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that was stopped in its second epoch, with two checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTNLAB_CHECKPOINT_STEPS", "3")
        patch.setattr("attnlab.worker.attempt._PROGRESS_SECONDS", 0.0)  # tell of every step
        folder = RunFolder.create(tmp_path_factory.mktemp("midway"), TWO_EPOCHS)

        def stop_late(progress: dict[str, Any]) -> None:
            if progress["step"] == 11:
                folder.request("stop")

        assert run(folder.path, watch=stop_late).state is RunState.STOPPED
    return folder


def rows_without_times(folder: RunFolder) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in folder.metrics()]


def assert_same_run(folder: RunFolder, expected: RunFolder) -> None:
    """Best and last weights equal bit for bit, and the log holds every step and epoch once."""
    for latest in (False, True):
        weights, wanted = folder.weights(latest=latest), expected.weights(latest=latest)
        assert weights.keys() == wanted.keys()
        for name, value in wanted.items():
            assert np.array_equal(weights[name], value), name
    assert rows_without_times(folder) == rows_without_times(expected)
    assert folder.snapshot_steps() == expected.snapshot_steps()
    assert not list(folder.path.rglob("*.tmp"))


FAULTS = (
    "step:kill:5",
    "checkpoint.data:kill:2",
    "checkpoint.manifest:kill:2",
    "checkpoint.renamed:kill:2",
    "best.renamed:kill:1",
)
KILLED = """
import os, sys
from pathlib import Path
from attnlab.worker.session import load, run
load()
for fault, folder in zip(sys.argv[1::2], sys.argv[2::2]):  # a process for each, torch loaded once
    child = os.fork()
    if not child:
        os.environ["ATTNLAB_FAULT"] = fault
        run(Path(folder))
        os._exit(0)
    print(fault, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RunFolder]:
    """A run for each fault, whose process was killed there."""
    folders = {fault: RunFolder.create(tmp_path_factory.mktemp("killed"), TWO_EPOCHS) for fault in FAULTS}
    arguments = [argument for fault, folder in folders.items() for argument in (fault, str(folder.path))]
    environment = {**os.environ, "ATTNLAB_CHECKPOINT_STEPS": "3"}
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], env=environment, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True
    )
    assert done.stdout.splitlines() == [f"{fault} {-signal.SIGKILL}" for fault in FAULTS]
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_killed_run_resumes_to_the_same_weights(fault: str, killed: dict[str, RunFolder], unbroken: RunFolder) -> None:
    folder = killed[fault]
    assert folder.observe().state is RunState.INTERRUPTED
    assert run(folder.path).state is RunState.FINISHED
    assert folder.observe().attempt == 2
    assert_same_run(folder, unbroken)


def flip_byte(checkpoint: Path) -> None:
    path = checkpoint / checkpoints.STATE
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(checkpoint: Path) -> None:
    os.truncate(checkpoint / checkpoints.STATE, 100)


def lose_manifest(checkpoint: Path) -> None:
    (checkpoint / checkpoints.MANIFEST).unlink()


def empty_scalars(checkpoint: Path) -> None:
    os.truncate(checkpoint / checkpoints.SCALARS, 0)


@pytest.mark.parametrize("damage", [flip_byte, truncate, lose_manifest, empty_scalars])
def test_damaged_checkpoint_is_passed_over(
    damage: Callable[[Path], None], stopped_midway: RunFolder, unbroken: RunFolder, tmp_path: Path
) -> None:
    folder = RunFolder(shutil.copytree(stopped_midway.path, tmp_path / stopped_midway.run_id))
    older, newest = sorted(path for path in folder.checkpoints_path.iterdir())
    damage(newest)
    valid = checkpoints.find(folder.checkpoints_path)
    assert valid.path == older
    assert [name for name, _ in valid.skipped] == [newest.name]

    assert run(folder.path).state is RunState.FINISHED
    assert newest.name in folder.log_path.read_text()
    warning = folder.progress()["recovered"]
    assert newest.name in warning and f"at step {int(older.name.split('-')[0])}" in warning
    assert_same_run(folder, unbroken)


def test_what_a_killed_process_left_half_written_is_removed(stopped_midway: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(stopped_midway.path, tmp_path / stopped_midway.run_id))
    for place in (folder.path / ".end.json.1-2.tmp", folder.snapshots_path / ".000007.npz.1-2.tmp"):
        place.write_bytes(b"half of")
    (folder.checkpoints_path / ".00000009-0001.tmp").mkdir()
    (title := folder.path / ".meta.json.1-2.tmp").write_bytes(b"the app is at it")
    assert run(folder.path).state is RunState.FINISHED
    assert list(folder.path.rglob("*.tmp")) == [title]


def test_without_any_valid_checkpoint_it_begins_anew(stopped_midway: RunFolder, unbroken: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(stopped_midway.path, tmp_path / stopped_midway.run_id))
    for checkpoint in folder.checkpoints_path.iterdir():
        flip_byte(checkpoint)
    assert run(folder.path).state is RunState.FINISHED
    assert_same_run(folder, unbroken)


def test_torn_last_line_is_cut(stopped_midway: RunFolder, unbroken: RunFolder, tmp_path: Path) -> None:
    folder = RunFolder(shutil.copytree(stopped_midway.path, tmp_path / stopped_midway.run_id))
    with folder.metrics_path.open("ab") as stream:
        stream.write(b'{"step": 999, "epo')
    assert max(row["step"] for row in folder.metrics()) < 999
    assert run(folder.path).state is RunState.FINISHED
    assert_same_run(folder, unbroken)


def test_loss_that_is_not_finite_fails_with_step_and_reason(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, TWO_EPOCHS.changed(training__optimizer="sgd", training__lr=1e30))
    outcome = run(folder.path)
    assert outcome.state is RunState.FAILED
    assert "step" in outcome.reason and "learning rate" in outcome.reason


def test_too_little_memory_is_told_with_what_to_reduce_and_the_next_run_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(tmp_path, TWO_EPOCHS)

    def greedy(progress: dict[str, Any]) -> None:
        if progress["step"] >= 1:
            torch.empty(1 << 60)  # more than any machine has: torch's own error for it

    outcome = run(folder.path, watch=greedy)
    assert outcome.state is RunState.FAILED and outcome.reusable
    assert "out of memory" in outcome.reason and "batch_size" in outcome.reason
    assert run(folder.path).state is RunState.FINISHED


def test_missing_data_fail_in_words(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, TWO_EPOCHS.changed(dataset__name=str(tmp_path / "nowhere.zip")))
    outcome = run(folder.path)
    assert outcome.state is RunState.FAILED
    assert "nowhere.zip" in outcome.reason
    assert "Traceback" not in outcome.reason


# In a worker process, under a manager


@pytest.fixture
def manager(private_home: Path) -> Iterator[Manager]:
    made = Manager(private_home, WorkerProcessExecutor(), grace=0.5)
    yield made
    children = psutil.Process().children()
    made.shutdown()
    for record in made_records(private_home):
        owner = RunFolder(record).owner()
        if owner and psutil.pid_exists(owner["process"]["pid"]) and owner["process"]["pid"] != os.getpid():
            psutil.Process(owner["process"]["pid"]).kill()
    psutil.wait_procs(children, timeout=10)


def made_records(home: Path) -> list[Path]:
    return [path for path in (home / "runs").iterdir() if not path.name.startswith(".")] if (home / "runs").is_dir() else []


def reach_step(manager: Manager, run_id: str, step: int) -> None:
    def reached() -> bool:
        record = manager.get(run_id)
        assert record.state.live, record
        return record.step >= step

    wait_until(reached, f"step {step}")


@pytest.mark.slow
def test_worker_process_pauses_resumes_stops_and_dies(manager: Manager) -> None:
    run_id = manager.submit(LONG, title="long")
    reach_step(manager, run_id, 5)
    manager.pause(run_id)
    assert manager.wait(run_id, PATIENCE).state is RunState.PAUSED
    paused_at = manager.get(run_id).step
    assert paused_at >= 5

    manager.resume(run_id)
    reach_step(manager, run_id, paused_at + 5)
    worker = RunFolder(manager.get(run_id).folder).owner()["process"]["pid"]
    assert worker != os.getpid()
    os.kill(worker, signal.SIGKILL)
    record = manager.wait(run_id, PATIENCE)
    assert record.state is RunState.INTERRUPTED
    assert "SIGKILL" in record.reason

    manager.resume(run_id)
    reach_step(manager, run_id, record.step + 5)
    assert manager.get(run_id).attempt == 3
    manager.stop(run_id)
    assert manager.wait(run_id, PATIENCE).state is RunState.STOPPED
    steps = history(manager.get(run_id)).steps
    assert steps == list(range(1, len(steps) + 1))


@pytest.mark.slow
def test_hanging_worker_is_ended_by_force_and_the_queue_goes_on(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_FAULT", "step:hang:3")  # the warm-up takes no notice: it has no such point
    run_id = manager.submit(LONG)
    reach_step(manager, run_id, 1)
    monkeypatch.delenv("ATTNLAB_FAULT")
    after = manager.submit(TWO_EPOCHS)
    manager.stop(run_id)
    assert manager.wait(run_id, PATIENCE).state is RunState.STOPPED
    assert manager.wait(after, PATIENCE).state is RunState.FINISHED


SERVER = """
import sys, time
from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
run_id = get_manager().submit(RunConfig.from_json(sys.stdin.read()))
print(run_id, flush=True)
time.sleep(600)
"""


@pytest.mark.slow
def test_a_killed_server_leaves_its_run_at_work_and_the_next_one_adopts_it(private_home: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(LONG.to_json())
    server.stdin.close()
    run_id = server.stdout.readline().strip()
    folder = RunFolder(private_home / "runs" / run_id)
    wait_until(lambda: folder.end() or folder.progress().get("step", 0) >= 3, "step 3")
    assert folder.end() is None, folder.observe()
    server.kill()
    server.wait()
    server.stdout.close()

    worker = psutil.Process(folder.owner()["process"]["pid"])
    manager = Manager(private_home, WorkerProcessExecutor())
    try:
        assert manager.get(run_id).state is RunState.RUNNING
        reach_step(manager, run_id, folder.progress()["step"] + 5)
        assert manager.get(run_id).attempt == 1
        manager.stop(run_id)
        assert manager.wait(run_id, PATIENCE).state is RunState.STOPPED
        assert psutil.wait_procs([worker], timeout=PATIENCE)[1] == []  # with its server gone, nothing is left for it to do
    finally:
        manager.shutdown()


def test_runs_whose_process_died_with_the_server_are_interrupted(private_home: Path, stopped_midway: RunFolder) -> None:
    path = shutil.copytree(stopped_midway.path, private_home / "runs" / stopped_midway.run_id)
    folder = RunFolder(path)
    owner = json.loads((path / "owner.json").read_text())
    (path / "owner.json").write_text(
        json.dumps({"attempt": owner["attempt"] + 1, "process": {"pid": 1, "start": "0", "boot": ""}})
    )
    manager = Manager(private_home, WorkerProcessExecutor())
    try:
        record = manager.get(folder.run_id)
        assert record.state is RunState.INTERRUPTED and record.state.resumable
        assert record.reason
    finally:
        manager.shutdown()
