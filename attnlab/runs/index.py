"""The index of runs in SQLite: one row per run, so that pages need not read every folder. It can be rebuilt from them.

One connection writes, in the one process that holds the lock of the home; pages read through connections of their own
(WAL: readers never wait). Every write is a short ``BEGIN IMMEDIATE`` transaction. A change of state is compare-and-set:
it names the attempt and the states it may come from, so a late message from an earlier attempt changes nothing.

Metrics are not in the index (`attnlab.runs.history` reads them), only the size of their file: when it grows, the version
of the run rises, by which a page notices that there is something new.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from attnlab.config import RunConfig
from attnlab.runs import faults
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import Observed, RunFolder
from attnlab.runs.records import RunRecord, RunState

SCHEMA_VERSION = 4
"""An index of another version is rebuilt."""

_SCHEMA = """
CREATE TABLE runs (
    run_id TEXT PRIMARY KEY, grp TEXT NOT NULL, config TEXT NOT NULL, title TEXT NOT NULL, note TEXT NOT NULL,
    owner TEXT NOT NULL, created REAL NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, phase TEXT NOT NULL,
    attempt INTEGER NOT NULL, queued REAL, step INTEGER NOT NULL, total_steps INTEGER NOT NULL, epoch INTEGER NOT NULL,
    eta_seconds REAL,
    images_per_second REAL, device TEXT, parameters INTEGER, seconds REAL, validation_accuracy REAL, test_accuracy REAL,
    test_auc REAL, result TEXT NOT NULL, metrics_bytes INTEGER NOT NULL, version INTEGER NOT NULL DEFAULT 0,
    stamp INTEGER
) STRICT;
CREATE INDEX runs_state ON runs (state);
CREATE INDEX runs_version ON runs (version);
CREATE TABLE counter (value INTEGER NOT NULL) STRICT;
INSERT INTO counter VALUES (1);
"""
_SAME = (
    *("run_id", "reason", "phase", "note", "owner", "attempt", "created", "step", "total_steps", "epoch", "eta_seconds"),
    *("images_per_second", "device", "parameters", "seconds", "validation_accuracy", "test_accuracy", "test_auc"),
)
"""Columns that are fields of `RunRecord` under the same name."""


class Index:
    """The table of runs, and every statement on it. May be used from any thread.

    Args:
        path: the file; `None` keeps it in memory.
        write: whether this process writes the index. A missing, damaged or older file is then replaced by an empty one.

    Raises:
        FileNotFoundError: when there is no file and this process may not write one.
        sqlite3.Error: when it cannot be opened.
    """

    def __init__(self, path: Path | None, *, write: bool) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._readers: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._writer: sqlite3.Connection | None = None
        if path is not None and not write and not path.exists():
            raise FileNotFoundError(path)
        if write or path is None:
            self._writer = self._open_writer()

    def fill_from(self, path: Path) -> None:
        """Takes over the runs of an index that another process writes; for one in memory.

        Raises:
            sqlite3.Error: when the file is damaged or older.
        """
        with closing(_connect(f"{path.as_uri()}?mode=ro")) as other:
            self.fill(other.execute("SELECT * FROM runs").fetchall())

    def fill(self, rows: Sequence[sqlite3.Row]) -> None:
        """Takes over the runs of another index instead of its own.

        Raises:
            sqlite3.Error: when they do not fit or cannot be written.
        """
        with self._write() as db:
            db.execute("DELETE FROM runs")
            newest = max((row["version"] for row in rows), default=0)
            db.execute("UPDATE counter SET value = max(value, ?) + 1", (newest,))
            for row in map(dict, rows):
                marks = ", ".join(f":{name}" for name in row)
                db.execute(f"INSERT INTO runs ({', '.join(row)}) VALUES ({marks})", row)

    def close(self) -> None:
        with self._lock:
            with suppress(Empty):
                while True:
                    self._readers.get_nowait().close()
            if self._writer is not None:
                self._writer.close()

    # Reading

    def version(self, run_id: str | None = None) -> int:
        """A number that rises with every change of a run (0 when there is none), or of any run."""
        with self._reader() as db:
            if run_id is None:
                return int(db.execute("SELECT value FROM counter").fetchone()[0])
            row = db.execute("SELECT version FROM runs WHERE run_id = ?", (run_id,)).fetchone()
            return row[0] if row else 0

    def rows(self, since: int = -1) -> list[sqlite3.Row]:
        """The runs that have changed since the index had this version; all of them by default."""
        with self._reader() as db:
            return db.execute("SELECT * FROM runs WHERE version > ?", (since,)).fetchall()

    def stamps(self) -> dict[str, int | None]:
        """Run id -> the stamp given to `refresh`, for every run."""
        with self._reader() as db:
            return {row["run_id"]: row["stamp"] for row in db.execute("SELECT run_id, stamp FROM runs")}

    def newest(self) -> float:
        """The latest `created` of all runs; 0 when there is none."""
        with self._reader() as db:
            return float(db.execute("SELECT coalesce(max(created), 0) FROM runs").fetchone()[0])

    def row(self, run_id: str) -> sqlite3.Row | None:
        with self._reader() as db:
            return db.execute("SELECT * FROM runs WHERE run_id = ?", (run_id,)).fetchone()

    def last_place(self) -> float:
        """The last place in the queue; 0 when it is empty."""
        with self._reader() as db:
            query = "SELECT coalesce(max(queued), 0) FROM runs WHERE state = ?"
            return float(db.execute(query, (str(RunState.QUEUED),)).fetchone()[0])

    def in_states(self, states: Collection[RunState], most: int = -1) -> list[sqlite3.Row]:
        """Runs in these states, at most so many unless that is negative; queued ones in the order of the queue."""
        with self._reader() as db:
            marks = ",".join("?" * len(states))
            query = f"SELECT * FROM runs WHERE state IN ({marks}) ORDER BY queued, created, run_id LIMIT ?"
            return db.execute(query, [*map(str, states), most]).fetchall()

    # Writing

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Makes the writes of a block one transaction, which costs as much as one of them."""
        with self._write():
            yield

    def refresh(self, folder: RunFolder, stamp: int | None = None) -> bool:
        """Updates a run from its files. Returns whether anything was new.

        The state stays as it is while an attempt is being started that has left no trace in the folder yet; and that of
        a run in training stays until its end has been written.

        Args:
            stamp: kept with the run, see `stamps`.

        Raises:
            FolderError: when the folder does not hold a readable run.
        """
        try:
            observed = folder.observe()
            columns = _columns(folder, observed)
        except OSError as error:
            raise FolderError(f"{folder.run_id} cannot be read: {error.strerror or error}") from error
        try:
            return self._refresh(folder, observed, columns, stamp)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError, OverflowError) as error:
            raise FolderError(f"a file of {folder.run_id} holds a value of the wrong kind: {error}") from error

    def _refresh(self, folder: RunFolder, observed: Observed, columns: dict[str, Any], stamp: int | None) -> bool:
        with self._write() as db:
            before = db.execute("SELECT * FROM runs WHERE run_id = ?", (folder.run_id,)).fetchone()
            if before is not None and (
                (before["state"] == RunState.STARTING and before["attempt"] > observed.attempt)
                or (before["state"] in (RunState.STARTING, RunState.RUNNING) and observed.guessed)
            ):
                columns |= {name: before[name] for name in ("state", "attempt", "reason", "queued")}
            if before is not None and all(before[name] == value for name, value in columns.items()):
                if before["stamp"] != stamp:
                    db.execute("UPDATE runs SET stamp = ? WHERE run_id = ?", (stamp, folder.run_id))
                return False
            columns["stamp"] = stamp
            names = ", ".join(columns)
            marks = ", ".join(f":{name}" for name in columns)
            updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
            db.execute(f"INSERT INTO runs ({names}) VALUES ({marks}) ON CONFLICT DO UPDATE SET {updates}", columns)
            _raise_version(db, folder.run_id)
            return True

    def change(self, run_id: str, to: RunState, *, attempt: int, expected: Collection[RunState], new_attempt: int) -> bool:
        """Compare-and-set: changes the state if the run is in one of the ``expected`` states and at this attempt.

        Returns whether it did.
        """
        with self._write() as db:
            marks = ",".join("?" * len(expected))
            count = db.execute(
                f"UPDATE runs SET state = ?, attempt = ?, reason = '', queued = NULL"
                f" WHERE run_id = ? AND attempt = ? AND state IN ({marks})",
                (str(to), new_attempt, run_id, attempt, *map(str, expected)),
            ).rowcount
            if count:
                _raise_version(db, run_id)
            return bool(count)

    def forget_active(self) -> None:
        """After another process has owned the index: what it knew of starting and running runs no longer counts.

        The next `refresh` takes their states from their files.
        """
        active = (RunState.STARTING, RunState.RUNNING)
        with self._write() as db:
            db.execute(
                "UPDATE runs SET state = ?, attempt = 0, stamp = NULL WHERE state IN (?, ?)", (RunState.INTERRUPTED, *active)
            )

    def forget(self, run_id: str) -> None:
        """Removes a run."""
        with self._write() as db:
            db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,))
            db.execute("UPDATE counter SET value = value + 1")

    def clear(self) -> None:
        """Removes all runs. Versions go on rising."""
        with self._write() as db:
            db.execute("DELETE FROM runs")
            db.execute("UPDATE counter SET value = value + 1")

    # Connections

    def _open_writer(self) -> sqlite3.Connection:
        if self.path is None:
            db = _connect("file::memory:")
            db.executescript(_SCHEMA)
            return db
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(sqlite3.DatabaseError):
            db = _connect(self.path.as_uri())
            if db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION and _sound(db):
                return db
            db.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        db = _connect(self.path.as_uri())
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        return db

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise RuntimeError("another process writes this index")
        with self._lock:
            if self._writer.in_transaction:  # of a `batch` around this one
                yield self._writer
                return
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                if self.path is not None:
                    faults.point("index.commit")
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        if self.path is None:
            assert self._writer is not None
            with self._lock:
                yield self._writer
            return
        try:
            db = self._readers.get_nowait()
        except Empty:
            db = _connect(f"{self.path.as_uri()}?mode=ro")
        try:
            yield db
        finally:
            self._readers.put(db)


def to_record(row: sqlite3.Row, folder: Path, *, demo: bool, queue_position: int | None = None) -> RunRecord:
    """The record of a row of the index."""
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
        "owner": str(meta["owner"]),
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
        "metrics_bytes": folder.metrics_path.stat().st_size if folder.metrics_path.exists() else 0,
    }


def _raise_version(db: sqlite3.Connection, run_id: str) -> None:
    db.execute("UPDATE counter SET value = value + 1")
    db.execute("UPDATE runs SET version = (SELECT value FROM counter) WHERE run_id = ?", (run_id,))


def _connect(uri: str) -> sqlite3.Connection:
    db = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=30)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA synchronous = NORMAL")
    return db


def _sound(db: sqlite3.Connection) -> bool:
    return db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
