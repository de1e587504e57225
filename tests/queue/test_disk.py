"""A full disk and a read-only one: said in words, nothing half made, and the queue goes on when it can."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from attnlab.config import RunConfig
from attnlab.queue.manager import Manager
from attnlab.runs.errors import RequestRefused
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.queue.test_manager import AtOnce, Never, finish
from tests.small_disk import fill, read_only, small_disk
from tests.waiting import wait_until

CONFIG = RunConfig()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 8) as place:
        yield place


def finished_run(home: Path) -> RunFolder:
    folder = RunFolder.create(home / "runs", CONFIG)
    finish(folder, 1)
    return folder


@pytest.mark.parametrize("known", [True, False], ids=["with an index", "without one"])
def test_a_start_on_a_full_disk_is_told_and_goes_on_when_there_is_space(known: bool, disk: Path) -> None:
    home = disk / "home"
    folder = finished_run(home)
    if known:
        Manager(home, Never()).shutdown()
    filler = fill(disk)
    manager = Manager(home, AtOnce())
    try:
        wait_until(lambda: "the disk is full" in manager.trouble, "the trouble is told")
        assert [record.run_id for record in manager.runs() if not record.demo] == [folder.run_id]
        filler.unlink()
        wait_until(lambda: not manager.trouble, "the trouble is over")
        run_id = manager.submit(CONFIG.changed(seed=1))
        assert manager.wait(run_id, 60).state is RunState.FINISHED
    finally:
        manager.shutdown()
    again = Manager(home, Never())  # the lock of the home is free
    assert again.owns_queue
    again.shutdown()


def test_nothing_is_started_on_a_full_disk(disk: Path) -> None:
    manager = Manager(disk / "home", executor := AtOnce())
    try:
        filler = fill(disk, leave=1 << 19)
        run_id = manager.submit(CONFIG)
        wait_until(lambda: "the disk is full" in manager.trouble, "the trouble is told")
        assert manager.get(run_id).state is RunState.QUEUED and not executor.started
        filler.unlink()
        assert manager.wait(run_id, 60).state is RunState.FINISHED
    finally:
        manager.shutdown()


def test_requests_on_a_full_disk_are_refused_and_leave_nothing_behind(disk: Path) -> None:
    home = disk / "home"
    folder = finished_run(home)
    failed = RunFolder.create(home / "runs", CONFIG.changed(seed=1), title="before")
    failed.begin_attempt()
    failed.write_end(RunState.FAILED, 1, reason="for a test")
    manager = Manager(home, Never(slots=0))
    try:
        filler = fill(disk)
        before = {path: path.read_bytes() for path in (home / "runs").rglob("*") if path.is_file()}
        for request in (
            lambda: manager.submit(CONFIG.changed(seed=2)),
            lambda: manager.submit_many(CONFIG, [3, 4]),
            lambda: manager.rename(failed.run_id, "after" * 2000),
            lambda: manager.resume(failed.run_id),
        ):
            with pytest.raises(RequestRefused, match="disk is full"):
                request()
        assert {path: path.read_bytes() for path in (home / "runs").rglob("*") if path.is_file()} == before
        assert manager.get(failed.run_id).title == "before"
        assert not list((home / "runs").glob(".*"))
        manager.delete(folder.run_id)  # which is how space is made
        filler.unlink()
        manager.resume(failed.run_id)
        assert manager.get(failed.run_id).state is RunState.QUEUED
    finally:
        manager.shutdown()


def test_many_runs_are_queued_all_or_none(disk: Path) -> None:
    manager = Manager(disk / "home", Never(slots=0))
    try:
        filler = fill(disk, leave=60 << 10)
        with pytest.raises(RequestRefused, match="disk is full"):
            manager.submit_many(CONFIG, range(100))
        assert not list((disk / "home" / "runs").iterdir())
        filler.unlink()
        assert len(manager.submit_many(CONFIG, range(3))) == 3
    finally:
        manager.shutdown()


def test_a_read_only_home_can_be_looked_at(private_home: Path) -> None:
    folder = finished_run(private_home)
    Manager(private_home, Never()).shutdown()
    other = RunFolder.create(private_home / "runs", CONFIG.changed(seed=9))  # after the last look
    finish(other, 1)
    with read_only(private_home):
        manager = Manager(private_home, Never())
        try:
            wait_until(lambda: "read-only" in manager.trouble, "the trouble is told")
            wait_until(lambda: {folder.run_id, other.run_id} <= {run.run_id for run in manager.runs()}, "both runs are seen")
            for request in (
                lambda: manager.submit(CONFIG),
                lambda: manager.rename(folder.run_id, "x"),
                lambda: manager.delete(folder.run_id),
            ):
                with pytest.raises(RequestRefused, match="read-only"):
                    request()
        finally:
            manager.shutdown()


def test_a_folder_that_is_deleted_or_edited_under_the_app(private_home: Path) -> None:
    gone, edited = finished_run(private_home), RunFolder.create(private_home / "runs", CONFIG.changed(seed=1))
    finish(edited, 1)
    for seed in range(2, 8):
        finish(RunFolder.create(private_home / "runs", CONFIG.changed(seed=seed)), 1)
    manager = Manager(private_home, Never(slots=0))
    try:
        assert manager.get(gone.run_id) and manager.get(edited.run_id).test_accuracy == 0.75
        shutil.rmtree(gone.path)
        end = json.loads((edited.path / "end.json").read_text())
        end["result"]["test_accuracy"] = 0.25
        with (edited.path / "end.json").open("r+") as stream:  # in place: the folder's own time stays the same
            stream.truncate()
            json.dump(end, stream)
        wait_until(lambda: manager.get(edited.run_id).test_accuracy == 0.25, "the change is seen", 60)
        wait_until(lambda: gone.run_id not in [run.run_id for run in manager.runs()], "the folder is missed", 60)
        with (edited.path / "end.json").open("r+") as stream:
            stream.truncate(5)
        wait_until(lambda: edited.run_id in manager.store.broken(), "the damage is seen", 60)
        assert not manager.trouble
    finally:
        manager.shutdown()


def test_a_run_that_is_deleted_while_it_starts_does_not_stop_the_queue(private_home: Path) -> None:
    manager = Manager(private_home, Never(slots=2))
    try:
        first, second = manager.submit_many(CONFIG, [0, 1])
        manager.wait(first, 60, RunState.STARTING)
        manager.wait(second, 60, RunState.STARTING)
        shutil.rmtree(private_home / "runs" / first)
        (private_home / "runs" / second / "end.json").write_bytes(b"{}")
        third = manager.submit(CONFIG.changed(seed=2))
        assert manager.wait(third, 60, RunState.STARTING).state is RunState.STARTING
    finally:
        manager.shutdown()


def test_an_internal_error_does_not_end_the_queue(private_home: Path) -> None:
    calls = []

    def feed(manager: Manager) -> None:
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("a mistake in the program")

    manager = Manager(private_home, AtOnce(), feeders=(feed,))
    try:
        wait_until(lambda: len(calls) > 1, "the next round")
        assert manager.wait(manager.submit(CONFIG), 60).state is RunState.FINISHED
    finally:
        manager.shutdown()
