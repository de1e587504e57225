"""All runs of a home, for pages and the command line: those that were made here, and the shipped ones."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from attnlab import paths
from attnlab.runs.errors import FolderError, UnknownRun
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.index import Index, to_record
from attnlab.runs.ownership import folder_lock
from attnlab.runs.records import RunRecord, RunState
from attnlab.runs.watch import FolderWatch

_log = logging.getLogger(__name__)
_BATCH = 200
"""Folders that are read in one transaction of the index."""


class Store:
    """The runs of a home.

    * Truth: the run folders. The index in ``attnlab.db`` only follows them and can be rebuilt at any time (`reindex`).
      Where the file cannot be written, on a full or read-only disk, the index is kept in memory.
    * Who writes: the one process that holds the home's lock (`home_lock`) maintains the index. All others only read it;
      what they change, they change in the folders.
    * Threads: any thread may read. The methods that follow the folders (`sync`, `refresh`, `forget`, `reindex`) are for
      one thread at a time.
    * Consistency: a reader sees each run as it was at one look at its folder. `sync` reads the folders that have changed
      (`attnlab.runs.watch`), so runs that another process made, renamed or deleted appear by themselves, as late as the next
      `sync`. `version` rises with every change that a reader can see. `get` also finds a run that is not in the index yet.
    * Durability: nothing here needs to last. A damaged index is rebuilt, and a row of it that makes no sense is read again
      from its folder.

    Args:
        home: as `attnlab.paths.home`.
        write: whether this process holds the home's lock and maintains the index.
        demo: folder of the shipped runs.
    """

    def __init__(self, home: Path, *, write: bool, demo: Path | None = None) -> None:
        self.home = home
        self.runs_path = home / "runs"
        self.writes = False
        self._demo_path = paths.DEMO_RUNS if demo is None else demo
        self._demo = Index(None, write=True)
        self._demo_times: tuple[tuple[str, int], ...] | None = None
        self._shipped: list[RunRecord] = []
        self._watch: FolderWatch | None = None
        self._to_read: dict[str, None] = {}
        """Folders that the last look found changed and that have not been read yet."""
        self.just_read: tuple[str, ...] = ()
        """The runs whose folders the last step of `follow` has read."""
        self._broken: dict[str, str] = {}
        self._index: Index | None = None
        self._lock = threading.RLock()
        self._known = _Known(self.runs_path)
        self._listed: tuple[tuple[int, int], list[RunRecord]] = ((-1, -1), [])
        if write:
            self.take_over_index()

    def take_over_index(self) -> None:
        """From now on this process holds the home's lock and maintains the index. Other threads may go on reading."""
        try:
            index = Index(self.home / "attnlab.db", write=True)
        except (OSError, sqlite3.Error) as error:
            _log.warning("the index is kept in memory: %s", error)
            index = Index(None, write=True)
        self._maintain(index)

    def keep_index_in_memory(self) -> None:
        """From now on this process follows the folders for itself, beside another one that may maintain the index.

        What is known only to the index, such as a run that is being started, is taken from the file, if there is one.
        """
        index = Index(None, write=True)
        with suppress(sqlite3.Error, OSError):
            index.fill_from(self.home / "attnlab.db")
        self._maintain(index)

    def read_folders(self) -> None:
        """Reads all folders once, beside another process that maintains the index: what it will see at its next `sync`."""
        self.keep_index_in_memory()
        try:
            self.sync()
        finally:
            self.writes = False

    def return_to_file(self) -> None:
        """Moves the index that this process maintains from memory to the file again, if that can be written now."""
        with suppress(OSError, sqlite3.Error):
            index = Index(self.home / "attnlab.db", write=True)
            index.fill(self.index.rows())
            self._maintain(index)

    @property
    def in_file(self) -> bool:
        """Whether the index that this process maintains is the file, and the file is still there."""
        return self._index is not None and self._index.path is not None and self._index.path.exists()

    def _maintain(self, index: Index) -> None:
        with self._lock:
            before, self._index, self.writes = self._index, index, True
            self._watch = FolderWatch(self.runs_path, index.stamps())
            self._to_read.clear()
            self._known = _Known(self.runs_path)
            self._listed = ((-1, -1), [])
            if before is not None:
                before.close()

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
        self._demo.close()

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, newest first, the shipped ones last. The list is the caller's own."""
        with self._lock:
            self._look_at_demo()
            try:
                index = self._readable_index()
                versions = (index.version() if index else 0, self._demo.version())
                if self._listed[0] != versions:
                    self._listed = (versions, self._records(index))
            except sqlite3.Error as error:  # the process that maintains the index makes a new one
                _log.warning("the index cannot be read: %s", error)
            return list(self._listed[1])

    def get(self, run_id: str) -> RunRecord:
        """One run, also one that was made a moment ago and is not in the index yet.

        Raises:
            UnknownRun: when there is no run of this name.
            FolderError: when its files cannot be read.
        """
        for record in self.runs():
            if record.run_id == run_id:
                return record
        folder = self.folder(run_id)
        index = Index(None, write=True)
        try:
            index.refresh(folder)
            return to_record(index.rows()[0], folder.path, demo=False)
        finally:
            index.close()

    def folder(self, run_id: str) -> RunFolder:
        """The files of a run.

        Raises:
            UnknownRun: when there is no run of this name.
        """
        if is_file_name(run_id):
            for parent in (self.runs_path, self._demo_path):
                if (parent / run_id / "config.json").is_file():
                    return RunFolder(parent / run_id)
        raise UnknownRun(run_id)

    def version(self, run_id: str | None = None) -> int:
        """A number that rises with every change of a run, new metrics included, or of any run.

        Cheap enough to be asked for every second.
        """
        try:
            index = self._readable_index() if run_id is None else self._index_with(run_id)
            return index.version(run_id) if index else 0
        except sqlite3.Error:
            return 0

    def broken(self) -> dict[str, str]:
        """Folders that cannot be read as runs: name -> reason."""
        return dict(self._broken)

    # Following the folders

    def sync(self, only: Collection[str] | None = None) -> None:
        """Brings the index up to date with the folders: with those named, or with all that have changed."""
        if only is None:
            self._look(thorough=True)
            self._read(len(self._to_read))
        else:
            for name in only:
                if (self.runs_path / name).is_dir():
                    self.refresh(RunFolder(self.runs_path / name))

    def follow(self, most: int) -> bool:
        """One step towards `sync` that takes no longer with more runs. Returns whether all known changes have been read.

        Args:
            most: how many folders to read.
        """
        if not self._to_read:
            self._look(thorough=False)
        self._read(most)
        return not self._to_read

    def _look(self, *, thorough: bool) -> None:
        changes = self._watched.look(thorough=thorough)
        for name in changes.gone:
            self.forget(name)
        self._to_read |= dict.fromkeys([*changes.to_read, *self._broken])

    def _read(self, most: int) -> None:
        names = list(self._to_read)[:most]
        self.just_read = tuple(names)
        for begin in range(0, len(names), _BATCH):
            with self.index.batch():
                for name in names[begin : begin + _BATCH]:
                    self._refresh(RunFolder(self.runs_path / name), self._watched.stamp(name))
            for name in names[begin : begin + _BATCH]:
                self._to_read.pop(name, None)

    def refresh(self, folder: RunFolder) -> None:
        """Reads one run's files again."""
        self._surely(lambda: self._refresh(folder, None))

    def _refresh(self, folder: RunFolder, stamp: int | None) -> None:
        run_id = folder.run_id
        try:
            self.index.refresh(folder, stamp)
            self._broken.pop(run_id, None)
        except FolderError as error:
            if self._broken.get(run_id) != str(error):
                _log.warning("%s is left out: %s", run_id, error)
                self._broken[run_id] = str(error)
                self.index.forget(run_id)

    def forget(self, run_id: str) -> None:
        """Removes a run from the index after its folder has been deleted."""
        self._to_read.pop(run_id, None)
        self._broken.pop(run_id, None)
        self._surely(lambda: self.index.forget(run_id))

    def _surely(self, change: Callable[[], None]) -> None:
        """Changes the index, in memory if the disk of its file is full: what a person asks for does not fail by that."""
        try:
            change()
        except sqlite3.Error as error:
            if self.index.path is None:
                raise
            _log.warning("the index is kept in memory: %s", error)
            self.keep_index_in_memory()
            change()

    def reindex(self) -> int:
        """Rebuilds the index from the folders. Returns the number of runs in it."""
        self._broken.clear()
        self._to_read.clear()
        self.index.clear()
        self._watch = FolderWatch(self.runs_path, {})
        self.sync()
        return len(self.index.stamps())

    def in_states(self, *states: RunState, most: int = -1) -> list[RunRecord]:
        """Runs of this home in these states; queued ones in the order of the queue.

        Args:
            most: how many of them; negative: all.
        """
        index = self._readable_index()
        records = [] if index is None else [self._known.record(row) for row in index.in_states(states, most)]
        return [record for record in records if record is not None]

    def known(self, run_id: str) -> RunRecord | None:
        """One run as the index has it, without its place in the queue; `None` when it has none that makes sense."""
        index = self._readable_index()
        row = None if index is None else index.row(run_id)
        return None if row is None else self._known.record(row)

    def newest(self) -> float:
        """When the newest run of this home was made, in seconds since 1970; 0 when there is none."""
        index = self._readable_index()
        return 0.0 if index is None else index.newest()

    def last_place(self) -> float:
        """The place of the last run in the queue; 0 when the queue is empty."""
        index = self._readable_index()
        return 0.0 if index is None else index.last_place()

    @property
    def index(self) -> Index:
        """The index, to be written.

        Raises:
            RuntimeError: in a process that only reads.
        """
        if self._index is None or not self.writes:
            raise RuntimeError(f"another process maintains the index of {self.home}; this one only reads it")
        return self._index

    @property
    def _watched(self) -> FolderWatch:
        if self._watch is None or not self.writes:
            raise RuntimeError(f"another process maintains the index of {self.home}; this one only reads it")
        return self._watch

    def _readable_index(self) -> Index | None:
        if self._index is None:
            try:
                self._index = Index(self.home / "attnlab.db", write=False)
            except FileNotFoundError:
                return None
        return self._index

    def _index_with(self, run_id: str) -> Index:
        """The index that this run is in. A run made here hides a shipped one of the same name, as in `folder`."""
        index = self._readable_index()
        if index is not None and index.version(run_id):
            return index
        self._look_at_demo()
        return self._demo

    def _records(self, index: Index | None) -> list[RunRecord]:
        own, damaged = ([], set()) if index is None else self._known.all(index)
        if self._watch is not None:
            for run_id in damaged:
                self._watch.read_again(run_id)
        own_ids = {record.run_id for record in own}
        return own + [record for record in self._shipped if record.run_id not in own_ids]

    def _look_at_demo(self) -> None:
        with self._lock, suppress(FileNotFoundError):
            folders = run_folders(self._demo_path)
            times = tuple((folder.run_id, folder.path.stat().st_mtime_ns) for folder in folders)
            if times == self._demo_times:
                return
            self._demo_times = times
            self._demo.clear()
            for folder in folders:
                try:
                    self._demo.refresh(folder)
                except FolderError as error:
                    _log.warning("the shipped run %s is left out: %s", folder.run_id, error)
            records = (to_record(row, self._demo_path / row["run_id"], demo=True) for row in self._demo.rows())
            self._shipped = sorted(records, key=_newest_first)


class _Known:
    """The records of an index. Only rows that have changed since the last time are turned into records again."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._index: Index | None = None
        self._version = -1
        self._records: dict[str, RunRecord] = {}
        self._places: dict[str, float] = {}

    def all(self, index: Index) -> tuple[list[RunRecord], set[str]]:
        """(every record, newest first; names of rows that make no sense)."""
        if index is not self._index:
            self._index, self._version = index, -1
        version = index.version()
        for row in index.rows(since=self._version):
            self._forget(row["run_id"])
            record = self.record(row)
            if record is not None:
                self._records[record.run_id] = record
                if row["queued"] is not None:
                    self._places[record.run_id] = row["queued"]
        self._version = version
        names = index.stamps().keys()
        for run_id in [*self._records.keys() - names]:
            self._forget(run_id)
        waiting = sorted(self._places, key=lambda run_id: (self._places[run_id], self._records[run_id].created))
        queued = {run_id: replace(self._records[run_id], queue_position=place) for place, run_id in enumerate(waiting, 1)}
        return sorted((self._records | queued).values(), key=_newest_first), {*names} - self._records.keys()

    def record(self, row: sqlite3.Row) -> RunRecord | None:
        """The record of a row; `None` where it makes no sense."""
        try:
            return to_record(row, self._parent / row["run_id"], demo=False)
        except ValueError:
            return None

    def _forget(self, run_id: str) -> None:
        self._records.pop(run_id, None)
        self._places.pop(run_id, None)


def is_file_name(name: str) -> bool:
    """Whether a name from outside can be that of a file or folder here, and of nothing else."""
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:
        return False
    return 0 < length < 256 and not name.startswith(".") and not {"/", "\\", "\0"} & set(name)


def _newest_first(record: RunRecord) -> tuple[float, str]:
    return -record.created, record.run_id


def home_lock(home: Path) -> Any:
    """The lock of a home, not yet acquired. Its holder runs the queue and maintains the index."""
    home.mkdir(parents=True, exist_ok=True)
    return folder_lock(home / "lock")
