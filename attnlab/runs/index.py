"""The index of runs in SQLite: what the pages read instead of parsing files. It can be made anew from the run folders.

One connection writes, in the one process that holds the lock of the home; pages read through connections of their own
(WAL: readers never wait). Every write is a short ``BEGIN IMMEDIATE`` transaction. A change of state is compare-and-set:
it names the attempt and the states it may come from, so that a late word of an earlier attempt changes nothing. Metrics
are taken in by byte offset, rows and offset in the same transaction: every line exactly once.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from attnlab.config import RunConfig
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import Observed, RunFolder
from attnlab.runs.metrics_log import read_rows
from attnlab.runs.records import RunRecord, RunState

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, grp TEXT NOT NULL, config TEXT NOT NULL, title TEXT NOT NULL, note TEXT NOT NULL,
    created REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, phase TEXT NOT NULL, attempt INTEGER NOT NULL,
    queued REAL, step INTEGER NOT NULL, total_steps INTEGER NOT NULL, epoch INTEGER NOT NULL, eta_seconds REAL,
    images_per_second REAL, device TEXT, parameters INTEGER, seconds REAL, validation_accuracy REAL, test_accuracy REAL,
    test_auc REAL, result TEXT NOT NULL,
    metrics_attempt INTEGER NOT NULL DEFAULT 0, metrics_offset INTEGER NOT NULL DEFAULT 0,
    metrics_rows INTEGER NOT NULL DEFAULT 0, version INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX runs_state ON runs (state);
CREATE TABLE metrics (
    run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE, number INTEGER NOT NULL, kind TEXT NOT NULL,
    step INTEGER NOT NULL, loss REAL, lr REAL, row TEXT NOT NULL, PRIMARY KEY (run_id, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (value INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (1);
"""
_SAME = (
    *("run_id", "reason", "phase", "note", "attempt", "created", "step", "total_steps", "epoch", "eta_seconds"),
    *("images_per_second", "device", "parameters", "seconds", "validation_accuracy", "test_accuracy", "test_auc"),
)
"""Columns that are fields of `RunRecord` under the same name."""


@dataclass(frozen=True)
class Curve:
    """The steps of a run, reduced to at most so many points, and all its epochs.

    Attributes:
        step: the last step of each point.
        loss, low, high: mean, least and largest loss of the point's steps.
        lr: mean learning rate.
        epochs: the epoch rows, whole.
        attempt: of the run; when it changes, points may have been taken back.
    """

    step: tuple[int, ...]
    loss: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    lr: tuple[float, ...]
    epochs: tuple[Mapping[str, Any], ...]
    attempt: int


class Index:
    """The tables and every statement on them.

    Args:
        path: the file; `None` keeps it in memory.
        write: whether this process is the one that writes it; it is made, or made anew, when it is not of this version.

    Raises:
        sqlite3.Error: when it cannot be opened; `FileNotFoundError` when it is only to be read and not there.
    """

    def __init__(self, path: Path | None, *, write: bool) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._writer: sqlite3.Connection | None = None
        if path is not None and not write and not path.exists():
            raise FileNotFoundError(path)
        if write or path is None:
            self._writer = self._open_writer()

    def close(self) -> None:
        with self._lock:
            with suppress(Empty):
                while True:
                    self._readers.get_nowait().close()
            if self._writer is not None:
                self._writer.close()

    # Reading

    def version(self, run_id: str | None = None) -> int:
        """A number that grows with every change: of a run (0 when there is none), or of any."""
        with self._reader() as db:
            if run_id is None:
                return int(db.execute("SELECT value FROM counter").fetchone()[0])
            found = db.execute("SELECT version FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return found[0] if found else 0

    def rows(self) -> list[sqlite3.Row]:
        """All runs, newest first."""
        with self._reader() as db:
            return db.execute("SELECT * FROM runs ORDER BY created DESC, run_id").fetchall()

    def row(self, run_id: str) -> sqlite3.Row | None:
        with self._reader() as db:
            return db.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()

    def in_states(self, states: Collection[RunState]) -> list[sqlite3.Row]:
        """Runs in these states; those in the queue in its order."""
        with self._reader() as db:
            marks = ",".join("?" * len(states))
            query = f"SELECT * FROM runs WHERE state IN ({marks}) ORDER BY queued, created, run_id"
            return db.execute(query, [str(state) for state in states]).fetchall()

    def metrics(self, run_id: str, since: int = 0) -> list[dict[str, Any]]:
        """Steps and epochs from row ``since`` on; each carries its number as ``row``."""
        with self._reader() as db:
            query = "SELECT number, row FROM metrics WHERE run_id = ? AND number >= ? ORDER BY number"
            return [{"row": number, **json.loads(text)} for number, text in db.execute(query, (run_id, since))]

    def curve(self, run_id: str, points: int) -> Curve:
        with self._reader() as db:
            count = db.execute("SELECT count(*) FROM metrics WHERE run_id = ? AND kind = 'step'", (run_id,)).fetchone()[0]
            size = max(1, -(-count // points))
            reduced = db.execute(
                "SELECT max(step), avg(loss), min(loss), max(loss), avg(lr) FROM (SELECT step, loss, lr,"
                " (row_number() OVER (ORDER BY number) - 1) / ? AS point FROM metrics WHERE run_id = ? AND kind = 'step')"
                " GROUP BY point ORDER BY point",
                (size, run_id),
            ).fetchall()
            epochs = db.execute("SELECT row FROM metrics WHERE run_id = ? AND kind = 'epoch' ORDER BY number", (run_id,))
            attempt = db.execute("SELECT metrics_attempt FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            columns = [tuple(column) for column in zip(*reduced, strict=True)] or [()] * 5
            step, loss, low, high, lr = columns
            return Curve(step, loss, low, high, lr, tuple(json.loads(text) for (text,) in epochs), attempt[0] if attempt else 0)

    # Writing

    def refresh(self, folder: RunFolder) -> bool:
        """Takes over what a run's files say, metrics included. Returns whether anything was new.

        While the run is being started as an attempt that has left no trace yet, its state stays as it is; and that of a
        run at work stays until somebody says how it ended.

        Raises:
            FolderError: when the folder holds no run that can be read.
        """
        try:
            return self._refresh(folder, folder.observe())
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, TypeError) as error:
            raise FolderError(f"{folder.run_id} holds a value of the wrong kind: {error}") from error

    def _refresh(self, folder: RunFolder, observed: Observed) -> bool:
        columns = _columns(folder, observed)
        with self._write() as db:
            before = db.execute("SELECT * FROM runs WHERE run_id = ?", (folder.run_id,)).fetchone()
            if before is not None and (
                (before["state"] == RunState.STARTING and before["attempt"] > observed.attempt)
                or (before["state"] in (RunState.STARTING, RunState.RUNNING) and observed.guessed)
            ):
                columns |= {name: before[name] for name in ("state", "attempt", "reason", "queued")}
            changed = before is None or any(before[name] != value for name, value in columns.items())
            if changed:
                names = ", ".join(columns)
                marks = ", ".join(f":{name}" for name in columns)
                updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
                db.execute(f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT DO UPDATE SET {updates}", columns)
            if self._ingest(db, folder) or changed:
                _touch(db, folder.run_id)
                return True
        return False

    def change(self, run_id: str, to: RunState, *, attempt: int, expected: Collection[RunState], new_attempt: int) -> bool:
        """Compare-and-set: changes the state if the run is in one of the ``expected`` ones, and of that attempt."""
        with self._write() as db:
            marks = ",".join("?" * len(expected))
            done = db.execute(
                f"UPDATE runs SET state = ?, attempt = ?, reason = '', queued = NULL"
                f" WHERE run_id = ? AND attempt = ? AND state IN ({marks})",
                (str(to), new_attempt, run_id, attempt, *map(str, expected)),
            ).rowcount
            if done:
                _touch(db, run_id)
            return bool(done)

    def forget_work(self) -> None:
        """After the process that kept the index is gone, runs that were at work are what their files say."""
        at_work = (RunState.STARTING, RunState.RUNNING)
        with self._write() as db:
            db.execute("UPDATE runs SET state = ?, attempt = 0 WHERE state IN (?, ?)", (RunState.INTERRUPTED, *at_work))

    def forget(self, run_id: str) -> None:
        """Removes a run and its metrics."""
        with self._write() as db:
            db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
            db.execute("UPDATE counter SET value = value + 1")

    def clear(self) -> None:
        """Removes everything but the counter."""
        with self._write() as db:
            db.execute("DELETE FROM runs")
            db.execute("UPDATE counter SET value = value + 1")

    def _ingest(self, db: sqlite3.Connection, folder: RunFolder) -> bool:
        known = db.execute(
            "SELECT metrics_attempt, metrics_offset, metrics_rows FROM runs WHERE run_id = ?", (folder.run_id,)
        ).fetchone()
        attempt, offset, count = known
        owner = folder.owner()
        now = owner["attempt"] if owner else 0
        size = folder.metrics_path.stat().st_size if folder.metrics_path.exists() else 0
        anew = now != attempt or size < offset
        if not anew and size == offset:
            return False
        if anew:
            offset = count = 0
        rows, end = read_rows(folder.metrics_path, offset)
        if (folder.owner() or {"attempt": 0})["attempt"] != now:
            return False  # a new attempt cut the file meanwhile; the next look reads it from the start
        if anew:
            db.execute("DELETE FROM metrics WHERE run_id = ?", (folder.run_id,))
        db.executemany(
            "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (folder.run_id, count + i, row["kind"], row["step"], row.get("loss"), row.get("lr"), json.dumps(row))
                for i, row in enumerate(rows)
            ],
        )
        db.execute(
            "UPDATE runs SET metrics_attempt = ?, metrics_offset = ?, metrics_rows = ? WHERE run_id = ?",
            (now, end, count + len(rows), folder.run_id),
        )
        return bool(rows) or anew

    # Connections

    def _open_writer(self) -> sqlite3.Connection:
        if self._path is None:
            db = _connect("file::memory:")
            db.executescript(_SCHEMA)
            return db
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(sqlite3.DatabaseError):
            db = _connect(self._path.as_uri())
            if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION and _sound(db):
                return db
            db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        db = _connect(self._path.as_uri())
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        return db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise RuntimeError("another process writes this index")
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self._path is None:
            assert self._writer is not None
            with self._lock:
                yield self._writer
            return
        try:
            db = self._readers.get_nowait()
        except Empty:
            db = _connect(f"{self._path.as_uri()}?mode=ro")
        try:
            yield db
        finally:
            self._readers.put(db)


def to_record(row: sqlite3.Row, folder: Path, *, demo: bool, queue_position: int | None = None) -> RunRecord:
    """The record of a row of the table of runs."""
    return RunRecord(
        group=row["grp"],
        title=row["title"] or row["run_id"],
        config=_config(row["config"]),
        state=RunState(row["state"]),
        folder=folder,
        demo=demo,
        result=json.loads(row["result"]),
        queue_position=queue_position,
        **{name: row[name] for name in _SAME},
    )


@lru_cache(maxsize=4096)
def _config(text: str) -> RunConfig:
    return RunConfig.from_json(text)


def _columns(folder: RunFolder, observed: Observed) -> dict[str, Any]:
    meta, config, progress, result = folder.meta(), folder.config, observed.progress, observed.result
    live = observed.state in (RunState.STARTING, RunState.RUNNING)
    return {
        "run_id": folder.run_id,
        "grp": config.group,
        "config": config.to_json(),
        "title": str(meta["title"]),
        "note": str(meta["note"]),
        "created": float(meta["created"]),
        "state": str(observed.state),
        "reason": observed.reason,
        "phase": progress.get("phase", "") if live else "",
        "attempt": observed.attempt,
        "queued": observed.queued,
        "step": progress.get("step", 0),
        "total_steps": progress.get("total_steps", 0),
        "epoch": progress.get("epoch", 0),
        "eta_seconds": progress.get("eta_seconds") if live else None,
        "images_per_second": result.get("images_per_second", progress.get("images_per_second")),
        "device": progress.get("device"),
        "parameters": progress.get("parameters"),
        "seconds": result.get("seconds", progress.get("seconds")),
        "validation_accuracy": result.get("validation_accuracy", progress.get("validation_accuracy")),
        "test_accuracy": result.get("test_accuracy"),
        "test_auc": result.get("test_auc"),
        "result": json.dumps(dict(result), sort_keys=True),
    }


def _touch(db: sqlite3.Connection, run_id: str) -> None:
    db.execute("UPDATE counter SET value = value + 1")
    db.execute("UPDATE runs SET version = (SELECT value FROM counter) WHERE run_id = ?", (run_id,))


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _sound(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
