"""The index follows the run folders, whoever writes them, and the queue starts every run once."""

import json
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Answer, Job, JobState
from attnlab.queue.executors.make import make_executor
from attnlab.queue.manager import Manager
from attnlab.runs.errors import RequestRefused, UnknownRun
from attnlab.runs.files import write_json
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.index import SCHEMA_VERSION, Index
from attnlab.runs.metrics_log import MetricsLog, MetricsReader, read_rows, truncate
from attnlab.runs.records import RunState
from attnlab.runs.store import Store
from tests.waiting import PATIENCE

CONFIG = RunConfig()


def step(number: int, epoch: int = 1, loss: float = 1.0) -> dict[str, Any]:
    return {"kind": "step", "step": number, "epoch": epoch, "loss": loss, "lr": 0.1, "images_per_second": 10.0}


def epoch(number: int, at: int) -> dict[str, Any]:
    return {"kind": "epoch", "step": at, "epoch": number, "validation_accuracy": 0.5}


def write_rows(folder: RunFolder, rows: list[dict[str, Any]]) -> None:
    with MetricsLog(folder.metrics_path) as log:
        for row in rows:
            log.append(row)


def finish(folder: RunFolder, attempt: int) -> None:
    folder.begin_attempt(attempt)
    folder.write_progress({"attempt": attempt, "phase": "training", "step": 3, "total_steps": 3, "parameters": 7})
    write_rows(folder, [step(1), step(2), step(3), epoch(1, 3)])
    folder.write_end(RunState.FINISHED, attempt, result={"test_accuracy": 0.75, "seconds": 2.0})


class AtOnce:
    """An executor whose jobs are over when they begin."""

    retries = 0
    trouble = ""

    def __init__(self, slots: int = 4) -> None:
        self.slots = slots
        self.started: list[Job] = []

    def admit(self, config: RunConfig) -> None: ...

    def warm(self) -> None: ...

    def start(self, job: Job) -> None:
        self.started.append(job)
        finish(RunFolder(job.run_dir), job.attempt)

    def poll(self, job: Job) -> Answer:
        return Answer(JobState.GONE)

    def cancel(self, job: Job, *, force: bool = False) -> None: ...

    def close(self) -> None: ...


class Never(AtOnce):
    """An executor whose jobs do not begin."""

    def start(self, job: Job) -> None:
        self.started.append(job)

    def poll(self, job: Job) -> Answer:
        return Answer(JobState.PENDING)


@pytest.fixture
def store(private_home: Path) -> Iterator[Store]:
    made = Store(private_home, write=True, demo=private_home / "none")
    yield made
    made.close()


@pytest.fixture
def waiting(private_home: Path) -> Iterator[Manager]:
    """A manager whose one slot is taken by a run that never begins."""
    made = Manager(private_home, Never(slots=1))
    made.submit(CONFIG)
    made.wait(CONFIG.run_id, PATIENCE, RunState.STARTING)
    yield made
    made.shutdown()


def content(home: Path) -> list[tuple[Any, ...]]:
    """Everything in the index but the numbers that only count changes."""
    db = sqlite3.connect(home / "attnlab.db")
    try:
        db.row_factory = sqlite3.Row
        runs = [dict(row) | {"version": None, "stamp": None} for row in db.execute("SELECT * FROM runs ORDER BY 1")]
        return [tuple(row.items()) for row in runs]
    finally:
        db.close()


def test_metrics_are_taken_in_once(store: Store) -> None:
    folder = RunFolder.create(store.runs_path, CONFIG)
    store.sync()
    record = store.get(folder.run_id)
    reader = MetricsReader(folder.metrics_path)
    write_rows(folder, [step(1), step(2)])
    for _ in range(3):
        assert history(record).steps == [1, 2]
    rows, first = reader.read()
    assert ([row["step"] for row in rows], first) == ([1, 2], True)
    assert reader.read() == ([], False)
    write_rows(folder, [step(3), epoch(1, 3)])
    with folder.metrics_path.open("ab") as stream:
        stream.write(json.dumps(step(4)).encode()[:10])  # a line that is still being written
    for _ in range(3):
        known = history(record)
        assert (known.steps, known.losses) == ([1, 2, 3], [1.0] * 3)
        assert [(row["epoch"], row["step"]) for row in known.epochs] == [(1, 3)]
    assert [(row["kind"], row["step"]) for row in reader.read()[0]] == [("step", 3), ("epoch", 3)]
    assert [(row["kind"], row["step"]) for row in folder.metrics()] == [("step", 1), ("step", 2), ("step", 3), ("epoch", 3)]


def test_new_metrics_and_new_progress_raise_the_version_and_another_look_does_not(store: Store) -> None:
    folder = RunFolder.create(store.runs_path, CONFIG)
    store.sync()
    changes = (
        lambda: write_rows(folder, [step(1)]),
        lambda: folder.write_progress({"attempt": 0, "step": 1}),
        lambda: write_rows(folder, [step(2), epoch(1, 2)]),
        lambda: truncate(folder.metrics_path, step=1, epoch=0),
    )
    for change in changes:
        before = store.version(), store.version(folder.run_id)
        store.sync([folder.run_id])
        assert (store.version(), store.version(folder.run_id)) == before
        change()
        store.sync([folder.run_id])
        assert store.version() > before[0] and store.version(folder.run_id) > before[1]


@pytest.mark.parametrize("looks_between", [False, True])
def test_resumed_run_takes_back_what_is_behind_its_checkpoint(looks_between: bool, store: Store) -> None:
    folder = RunFolder.create(store.runs_path, CONFIG)
    folder.begin_attempt()
    write_rows(folder, [step(1), step(2), epoch(1, 2), step(3, 2), step(4, 2)])
    store.sync()
    record = store.get(folder.run_id)
    assert history(record).steps == [1, 2, 3, 4]
    truncate(folder.metrics_path, step=3, epoch=1)
    if looks_between:
        assert history(record).steps == [1, 2, 3]
    folder.begin_attempt()
    write_rows(folder, [step(4, 2, loss=9.0), step(5, 2), step(6, 2)])  # the file is longer than before
    store.sync([folder.run_id])
    assert [(row["step"], row["kind"]) for row in folder.metrics()] == [
        (1, "step"), (2, "step"), (2, "epoch"), (3, "step"), (4, "step"), (5, "step"), (6, "step")
    ]  # fmt: skip
    for known in (history(record), history(store.get(folder.run_id))):  # also for who still has the old record
        assert known.steps == [1, 2, 3, 4, 5, 6]
        assert known.losses[3] == 9.0
        assert [row["epoch"] for row in known.epochs] == [1]


def test_reindex_gives_an_equal_database(store: Store, private_home: Path) -> None:
    for seed in range(3):
        folder = RunFolder.create(store.runs_path, CONFIG.changed(seed=seed), queued=1.0 if seed == 2 else None)
        store.sync()
        if seed < 2:
            finish(folder, 1)
            store.sync()
    before = content(private_home)
    assert len(before) == 3
    assert store.reindex() == 3
    assert content(private_home) == before
    known = [history(record) for record in store.runs()]
    assert sum(len(run.steps) + len(run.epochs) for run in known) == 8


@pytest.mark.parametrize("damage", [b"", b"no database at all", None])
def test_index_that_is_lost_or_damaged_is_made_anew(damage: bytes | None, store: Store, private_home: Path) -> None:
    finish(RunFolder.create(store.runs_path, CONFIG), 1)
    store.sync()
    before = content(private_home)
    store.close()
    file = private_home / "attnlab.db"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage)
    again = Store(private_home, write=True)
    again.sync()
    assert content(private_home) == before
    again.close()


def test_what_another_process_does_to_the_folders_shows(store: Store) -> None:
    folder = RunFolder.create(store.runs_path, CONFIG, title="first")
    second = RunFolder.create(store.runs_path, CONFIG)
    store.sync()
    assert second.run_id == f"{CONFIG.run_id}-2"
    assert {record.run_id: record.title for record in store.runs()} == {folder.run_id: "first", second.run_id: second.run_id}
    version = store.version(folder.run_id)
    folder.describe(title="renamed")
    second.remove()
    store.sync()
    assert [record.title for record in store.runs()] == ["renamed"]
    assert store.version(folder.run_id) > version
    with pytest.raises(UnknownRun, match=second.run_id):
        store.get(second.run_id)


def test_a_run_that_was_removed_while_nobody_looked_is_forgotten_at_the_next_start(private_home: Path) -> None:
    folders = [RunFolder.create(private_home / "runs", CONFIG.changed(seed=seed)) for seed in (0, 1)]
    store = Store(private_home, write=True, demo=private_home / "none")
    store.sync()
    assert len(store.runs()) == 2
    store.close()
    shutil.rmtree(folders[0].path)
    store = Store(private_home, write=True, demo=private_home / "none")
    store.sync()
    assert [record.run_id for record in store.runs()] == [folders[1].run_id]
    store.close()


def test_a_folder_with_a_value_of_the_wrong_kind_is_left_out_and_the_others_stay(store: Store) -> None:
    good = RunFolder.create(store.runs_path, CONFIG)
    bad = RunFolder.create(store.runs_path, CONFIG.changed(seed=1))
    bad.write_progress({"attempt": 0, "step": "many"})
    store.sync()
    assert [record.run_id for record in store.runs()] == [good.run_id]
    assert "wrong kind" in store.broken()[bad.run_id]


def test_unreadable_folder_is_left_out_and_named(store: Store) -> None:
    good = RunFolder.create(store.runs_path, CONFIG)
    bad = RunFolder.create(store.runs_path, CONFIG)
    (bad.path / "config.json").write_text('{"model": {"atention": "eca"}}')
    store.sync()
    assert [record.run_id for record in store.runs()] == [good.run_id]
    assert "atention" in store.broken()[bad.run_id]


@pytest.mark.parametrize("name", ["", ".", "..", "../runs", "/etc", ".new-1"])
def test_names_that_lead_elsewhere_are_no_runs(name: str, store: Store) -> None:
    with pytest.raises(UnknownRun):
        store.folder(name)


def test_an_index_of_an_older_version_is_rebuilt(store: Store, private_home: Path) -> None:
    finish(RunFolder.create(store.runs_path, CONFIG), 1)
    store.sync()
    before = content(private_home)
    store.close()
    db = sqlite3.connect(private_home / "attnlab.db")
    db.executescript(f"DROP TABLE runs; CREATE TABLE runs (run_id TEXT); PRAGMA user_version = {SCHEMA_VERSION - 1}")
    db.close()
    again = Store(private_home, write=True)
    again.sync()
    assert content(private_home) == before
    again.close()


def test_history_holds_every_loss_as_it_was_written(store: Store) -> None:
    folder = RunFolder.create(store.runs_path, CONFIG)
    losses = [float(number % 10) for number in range(1, 1001)]
    write_rows(folder, [step(number, loss=loss) for number, loss in enumerate(losses, 1)] + [epoch(1, 1000)])
    store.sync()
    known = history(store.get(folder.run_id))
    assert known.steps == list(range(1, 1001)) and known.losses == losses
    assert [row["epoch"] for row in known.epochs] == [1]


def test_late_word_of_an_earlier_attempt_changes_nothing(private_home: Path) -> None:
    index = Index(private_home / "attnlab.db", write=True)
    folder = RunFolder.create(private_home / "runs", CONFIG, queued=1.0)
    index.refresh(folder)

    def claim() -> bool:
        return index.change(folder.run_id, RunState.STARTING, attempt=0, expected=[RunState.QUEUED], new_attempt=1)

    assert claim()
    assert not claim()
    index.refresh(folder)  # its files still say that it waits
    row = index.row(folder.run_id)
    assert row is not None and (row["state"], row["attempt"]) == (RunState.STARTING, 1)
    folder.begin_attempt(1)
    with pytest.raises(ValueError, match="too late"):
        folder.begin_attempt(1)
    assert not index.change(folder.run_id, RunState.FAILED, attempt=0, expected=[RunState.STARTING], new_attempt=0)
    index.close()


@pytest.mark.slow
def test_a_hundred_queued_runs_start_once_each_and_in_order(private_home: Path) -> None:
    executor = AtOnce(slots=20)
    manager = Manager(private_home, executor)
    try:
        submitted: list[str] = []
        threads = [
            threading.Thread(target=lambda part=part: submitted.extend(manager.submit_many(CONFIG, range(part, 100, 4))))
            for part in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for run_id in submitted:
            assert manager.wait(run_id, PATIENCE).state is RunState.FINISHED
        assert Counter(job.run_dir.name for job in executor.started) == Counter(submitted)
        assert len(set(submitted)) == 100
        in_order = sorted(submitted, key=lambda run_id: manager.get(run_id).created)
        assert [job.run_dir.name for job in executor.started] == in_order
        assert {job.attempt for job in executor.started} == {1}
        assert manager.get(submitted[0]).test_accuracy == 0.75
    finally:
        manager.shutdown()


class Broken(AtOnce):
    def start(self, job: Job) -> None:
        raise self.error

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


@pytest.mark.parametrize("error", [FileNotFoundError("no such interpreter"), KeyError("a slip of the program")])
def test_worker_that_cannot_be_started_fails_its_run_and_not_the_queue(private_home: Path, error: Exception) -> None:
    manager = Manager(private_home, Broken(error))
    try:
        for run_id in manager.submit_many(CONFIG, [0, 1]):
            record = manager.wait(run_id, PATIENCE)
            assert record.state is RunState.FAILED and str(error) in record.reason
        assert manager.trouble == ""
    finally:
        manager.shutdown()


def test_queue_can_be_reordered_and_left(waiting: Manager) -> None:
    first, second, third = waiting.submit_many(CONFIG, [1, 2, 3])
    assert [record.run_id for record in waiting.queue()] == [first, second, third]
    waiting.move(third, 1)
    assert [(record.run_id, record.queue_position) for record in waiting.queue()] == [(third, 1), (first, 2), (second, 3)]
    waiting.pause(first)
    waiting.stop(second)
    assert (waiting.get(first).state, waiting.get(second).state) == (RunState.PAUSED, RunState.STOPPED)
    waiting.resume(first)
    assert [record.run_id for record in waiting.queue()] == [third, first]
    waiting.delete(third)
    assert [record.run_id for record in waiting.live()] == [CONFIG.run_id, first]
    with pytest.raises(UnknownRun):
        waiting.get(third)


def test_requests_that_do_not_fit_are_refused_in_words(waiting: Manager) -> None:
    with pytest.raises(RequestRefused, match="is starting"):
        waiting.delete(CONFIG.run_id)
    with pytest.raises(RequestRefused, match="only a paused"):
        waiting.resume(CONFIG.run_id)
    (queued,) = waiting.submit_many(CONFIG, [1])
    waiting.stop(queued)
    with pytest.raises(RequestRefused, match="nothing to stop"):
        waiting.stop(queued)
    with pytest.raises(RequestRefused, match="not in the queue"):
        waiting.move(queued, 1)
    with pytest.raises(UnknownRun):
        waiting.rename("nobody", "x")


def test_rename(waiting: Manager) -> None:
    waiting.rename(CONFIG.run_id, "  <b>mine</b> ")
    assert waiting.get(CONFIG.run_id).title == "<b>mine</b>"
    waiting.rename(CONFIG.run_id, "")
    assert waiting.get(CONFIG.run_id).title == CONFIG.run_id


def test_shipped_runs_are_read_only(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = private_home / "shipped"
    monkeypatch.setattr("attnlab.paths.DEMO_RUNS", demo)
    finish(RunFolder.create(demo, CONFIG), 1)
    manager = Manager(private_home, Never())
    try:
        record = manager.get(CONFIG.run_id)
        assert record.demo and record.state is RunState.FINISHED and record.folder.parent == demo
        assert [row["step"] for row in RunFolder(record.folder).metrics()] == [1, 2, 3, 3]
        assert history(record).steps == [1, 2, 3]
        for act in (manager.delete, manager.resume, manager.stop):
            with pytest.raises(RequestRefused, match="shipped"):
                act(CONFIG.run_id)
    finally:
        manager.shutdown()


def test_a_run_with_the_settings_of_a_shipped_one_stands_beside_it(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = private_home / "shipped"
    monkeypatch.setattr("attnlab.paths.DEMO_RUNS", demo)
    finish(RunFolder.create(demo, CONFIG), 1)
    manager = Manager(private_home, Never())
    try:
        again = manager.submit(CONFIG)
        assert again == f"{CONFIG.run_id}-2"
        assert {record.run_id: record.demo for record in manager.runs()} == {again: False, CONFIG.run_id: True}
        assert manager.get(CONFIG.run_id).state is RunState.FINISHED
    finally:
        manager.shutdown()


def test_a_deleted_run_comes_back_as_it_was(waiting: Manager) -> None:
    (first,) = waiting.submit_many(CONFIG, [1], "my run", owner="somebody")
    (waiting.get(first).folder / "log.txt").write_text("kept")
    waiting.delete(first)
    assert [deleted.run_id for deleted in waiting.deleted()] == [first]
    (second,) = waiting.submit_many(CONFIG, [1])
    assert second == first, "its name is free again"
    assert waiting.restore(first) == f"{first}-2", "the newer run keeps the name"
    record = waiting.get(f"{first}-2")
    assert (record.title, record.owner, record.state.live) == ("my run", "somebody", False)
    assert (record.folder / "log.txt").read_text() == "kept"
    assert waiting.deleted() == []
    with pytest.raises(RequestRefused, match="the bin has no run"):
        waiting.restore(first)


def test_the_bin_is_emptied_of_what_was_deleted_long_ago(waiting: Manager) -> None:
    old, young, last = waiting.submit_many(CONFIG, [1, 2, 3])
    waiting.delete(old)
    write_json(waiting.bin.path / old / "deleted.json", {"run_id": old, "deleted": time.time() - 8 * 86_400})
    waiting.delete(young)
    assert [deleted.run_id for deleted in waiting.deleted()] == [young]
    (waiting.bin.path / young / "deleted.json").write_text("damaged")
    waiting.delete(last)
    assert [deleted.run_id for deleted in waiting.deleted()] == [last, young]
    assert waiting.bin.empty(older_than_days=0) == 2
    assert list(waiting.bin.path.iterdir()) == []


def test_reader_without_a_writer_sees_an_empty_home(private_home: Path) -> None:
    store = Store(private_home, write=False, demo=private_home / "none")
    assert store.runs() == [] and store.version() == 0
    with pytest.raises(RuntimeError, match="only reads"):
        store.sync()


def test_unknown_executor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "rocket")
    with pytest.raises(ValueError, match=r"ATTNLAB_EXECUTOR.*'process', 'thread' or 'ray'"):
        make_executor()


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.integers(0, 3), max_size=12),
    torn=st.integers(0, 60),
    garbage=st.binary(max_size=20),
)
def test_readers_and_writers_stand_any_torn_tail(lines: list[int], torn: int, garbage: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("torn") / "metrics.jsonl"
    rows = [step(number) for number, _ in enumerate(lines, 1)]
    with MetricsLog(path) as log:
        for row in rows:
            log.append(row)
    tail = (json.dumps(step(99)).encode()[:torn] + garbage).replace(b"\n", b"")
    with path.open("ab") as stream:
        stream.write(tail)
    assert read_rows(path) == rows
    with MetricsLog(path) as log:
        log.append(step(len(rows) + 1))
    assert [row["step"] for row in read_rows(path)] == list(range(1, len(rows) + 2))


def test_a_run_whose_worker_never_began_waits_again_where_workers_get_lost(private_home: Path) -> None:
    class Loses(AtOnce):
        """Its first two workers are lost before they begin."""

        retries = 2

        def start(self, job: Job) -> None:
            self.started.append(job)
            if len(self.started) > 2:
                finish(RunFolder(job.run_dir), job.attempt)

    manager = Manager(private_home, executor := Loses(slots=1))
    try:
        run_id = manager.submit(CONFIG)
        assert manager.wait(run_id, PATIENCE, RunState.FINISHED).attempt == 3
        assert [job.attempt for job in executor.started] == [1, 2, 3]
    finally:
        manager.shutdown()
