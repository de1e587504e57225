"""A run folder tells what happened to its run, and half-written things are never seen."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from attnlab.config import RunConfig
from attnlab.experiments.demo import ship, thinned
from attnlab.files import write_file
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.history import history
from attnlab.runs.ownership import folder_lock, identity, is_alive, is_locked
from attnlab.runs.records import RunState
from tests.waiting import PATIENCE

CONFIG = RunConfig()
SMALL = CONFIG.changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    model__attention="eca",
    training__epochs=1,
    training__batch_size=16,
)


def test_states_follow_from_the_files(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CONFIG, queued=4.0)
    assert (folder.observe().state, folder.observe().queued) == (RunState.QUEUED, 4.0)
    with folder.lock():
        assert folder.observe().state is RunState.STARTING
        assert folder.begin_attempt() == 1
        folder.write_progress({"attempt": 1, "phase": "training", "step": 2})
        assert folder.observe().state is RunState.RUNNING
    died = folder.observe()
    assert (died.state, died.attempt, died.queued) == (RunState.INTERRUPTED, 1, None)
    folder.write_end(RunState.FAILED, 1, reason="the disk is full")
    assert (folder.observe().state, folder.observe().reason) == (RunState.FAILED, "the disk is full")
    folder.enqueue(1.0)
    assert folder.observe().state is RunState.QUEUED
    assert folder.begin_attempt() == 2
    assert folder.observe().state is RunState.INTERRUPTED, "the end of attempt 1 says nothing of attempt 2"


def test_equal_configs_get_folders_of_their_own_and_half_made_ones_are_no_runs(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, CONFIG).run_id for _ in range(3)]
    assert names == [CONFIG.run_id, f"{CONFIG.run_id}-2", f"{CONFIG.run_id}-3"]
    (tmp_path / ".new-left-by-a-crash").mkdir()
    assert [folder.run_id for folder in run_folders(tmp_path)] == sorted(names)
    assert RunFolder(tmp_path / names[2]).config == CONFIG


def test_a_request_is_forgotten_when_the_run_is_queued_again(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, CONFIG)
    folder.request("pause")
    assert folder.requested() == "pause"
    folder.enqueue(1.0)
    assert folder.requested() is None


@pytest.mark.parametrize(
    ("act", "named"),
    [
        (lambda folder: folder.weights(), "no weights yet"),
        (lambda folder: folder.snapshot(7), "no maps of step 7"),
        (lambda folder: RunFolder(folder.path / "nowhere").config, "no config.json"),
        (lambda folder: folder.begin_attempt(0), "too late"),
    ],
)
def test_what_is_not_there_is_named(act: object, named: str, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=named):
        act(RunFolder.create(tmp_path, CONFIG))  # type: ignore[operator]


def test_a_write_that_fails_leaves_the_old_content_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, lambda stream: stream.write(b"old"))

    def fail(stream: object) -> None:
        stream.write(b"ne")  # type: ignore[attr-defined]
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_file(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError) as refused:
        write_file(path / "inside", lambda stream: stream.write(b"new"))
    assert refused.value.filename == str(path / "inside"), "not the name of the temporary file"


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff"])
def test_a_file_that_is_no_json_object_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_bytes(content)
    with pytest.raises(FolderError, match=r"meta\.json"):
        read_json(tmp_path / "meta.json")


def test_a_process_is_told_from_a_later_one_of_the_same_number() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = identity(child.pid)
    assert who is not None and is_alive(who)
    assert not is_alive(who | {"start": "1"}) and not is_alive(who | {"boot": "yesterday's"})
    child.kill()
    while identity(child.pid) is not None:  # a zombie until it is waited for
        pass
    assert not is_alive(who)
    child.wait()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert is_locked(path)
    child.kill()
    child.wait()
    assert not is_locked(path)
    with folder_lock(path).acquire(timeout=0):
        assert is_locked(path)


def test_thinning_keeps_every_epoch_and_both_ends() -> None:
    rows = [{"kind": "step", "step": step} for step in range(1, 101)] + [{"kind": "epoch", "step": 100}]
    kept = thinned(rows, 10)
    assert kept[-1]["kind"] == "epoch"
    steps = [row["step"] for row in kept if row["kind"] == "step"]
    assert len(steps) == 10 and (steps[0], steps[-1]) == (1, 100)
    assert thinned([], 10) == []
    assert thinned(rows, 1000) == rows


def test_a_run_in_a_thread_leaves_what_the_pages_read_and_can_be_shipped(private_home: Path, tmp_path: Path) -> None:
    manager = Manager(private_home, ThreadExecutor())
    try:
        run_id = manager.submit(SMALL, title="in a thread")
        record = manager.wait(run_id, PATIENCE)
        assert record.state is RunState.FINISHED, record.reason
        assert record.step == record.total_steps == len(history(record).steps)
        assert record.test_accuracy == record.result["test_accuracy"]
        assert record.parameters and record.seconds and record.device
        folder = RunFolder(record.folder)
        probes, last = folder.probes(), folder.snapshot(folder.snapshot_steps()[-1])
        assert probes is not None and len(probes.images) == len(last.probabilities) == 8
        assert folder.snapshot_steps()[0] == 0 and last.maps
        assert folder.dataset_summary()["class_names"] == [str(digit) for digit in range(10)]  # type: ignore[index]

        size = ship(folder, tmp_path)
        shipped = RunFolder(tmp_path / SMALL.run_id)
        assert size == sum(path.stat().st_size for path in shipped.path.rglob("*") if path.is_file())
        assert shipped.observe().state is RunState.FINISHED
        for name, value in folder.weights().items():
            assert np.allclose(shipped.weights()[name], value, rtol=1e-3, atol=1e-6), name

        assert ship(folder, tmp_path / "more", whole=False) < 30_000
        figures = RunFolder(tmp_path / "more" / SMALL.run_id)
        assert figures.observe().state is RunState.FINISHED and not figures.has_weights and not figures.snapshot_steps()
        assert [row for row in figures.metrics() if row["kind"] == "epoch"] == [
            row for row in folder.metrics() if row["kind"] == "epoch"
        ]
    finally:
        manager.shutdown()
