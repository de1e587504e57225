"""All runs of a home, for pages and the command line: those that were made here, and the shipped ones."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from attnlab import paths
from attnlab.runs.errors import FolderError, UnknownRun
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.index import Index, to_record
from attnlab.runs.ownership import folder_lock
from attnlab.runs.records import RunRecord, RunState

_log = logging.getLogger(__name__)


class Store:
    """The runs of a home.

    * Truth: the run folders. The index in ``attnlab.db`` only follows them and can be rebuilt at any time (`reindex`).
    * Who writes: the one process that holds the home's lock (`home_lock`) maintains the index. All others only read it;
      what they change, they change in the folders.
    * Threads: any thread may read. The methods that follow the folders (`sync`, `refresh`, `forget`, `reindex`) are for
      one thread at a time.
    * Consistency: a reader sees each run as it was at one look at its folder. `sync` reads every folder again whose
      entries changed since the last look, so runs that another process made, renamed or deleted appear by themselves,
      as late as the next `sync`. `version` rises with every change that a reader can see. `get` also finds a run that
      is not in the index yet.
    * Durability: nothing here needs to last. After every start the first `sync` reads all folders again, and a damaged
      index is rebuilt.

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
        self._times: dict[str, int] = {}
        """Run id -> when the entries of its folder had last changed at the last look."""
        self._recent: set[str] = set()
        """Runs to look at again although that time is the same."""
        self._broken: dict[str, str] = {}
        self._index: Index | None = None
        self._lock = threading.RLock()
        self._cached: tuple[tuple[int, int], list[RunRecord]] | None = None
        if write:
            self.take_over_index()

    def take_over_index(self) -> None:
        """From now on this process holds the home's lock and maintains the index. Other threads may go on reading."""
        with self._lock:
            self._index = Index(self.home / "attnlab.db", write=True)
            self.writes = True
            self._cached = None

    def read_folders(self) -> None:
        """Reads all folders now, beside another process that maintains the index: what it will see at its next `sync`.

        The places in the queue, which no folder holds, are those of the index.
        """
        with self._lock:
            own = Index(None, write=True)
            with suppress(sqlite3.Error, FileNotFoundError):
                own.fill_from(self.home / "attnlab.db")
            self._index, self._cached = own, None
            self.writes = True
            try:
                self.sync()
            finally:
                self.writes = False

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
        self._demo.close()

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, newest first, the shipped ones last. The list is the caller's own."""
        with self._lock:
            self._look_at_demo()
            index = self._readable_index()
            versions = (index.version() if index else 0, self._demo.version())
            if self._cached is None or self._cached[0] != versions:
                self._cached = (versions, self._records(index))
            return list(self._cached[1])

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
            return self._record(index.rows()[0])
        finally:
            index.close()

    def folder(self, run_id: str) -> RunFolder:
        """The files of a run.

        Raises:
            UnknownRun: when there is no run of this name.
        """
        if run_id and not run_id.startswith(".") and Path(run_id).name == run_id:
            for parent in (self.runs_path, self._demo_path):
                if (parent / run_id / "config.json").is_file():
                    return RunFolder(parent / run_id)
        raise UnknownRun(run_id)

    def version(self, run_id: str | None = None) -> int:
        """A number that rises with every change of a run, new metrics included, or of any run.

        Cheap enough to be asked for every second.
        """
        index = self._readable_index() if run_id is None else self._index_with(run_id)
        return index.version(run_id) if index else 0

    def broken(self) -> dict[str, str]:
        """Folders that cannot be read as runs: name -> reason."""
        return dict(self._broken)

    # Following the folders

    def sync(self, only: Collection[str] | None = None) -> None:
        """Brings the index up to date with the folders: with those named, or with all that have changed."""
        folders = run_folders(self.runs_path) if only is None else [RunFolder(self.runs_path / name) for name in only]
        indexed = set() if self._times or only is not None else {row["run_id"] for row in self.index.rows()}
        for folder in folders:
            try:
                changed = folder.path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            # Time stamps are coarse, so a folder that has changed is read once more at the next look.
            if only is not None or self._times.get(folder.run_id) != changed or folder.run_id in self._recent:
                self._recent.discard(folder.run_id)
                if self._times.get(folder.run_id) != changed:
                    self._recent.add(folder.run_id)
                self._times[folder.run_id] = changed
                self.refresh(folder)
        if only is None:
            for run_id in (indexed | set(self._times)) - {folder.run_id for folder in folders}:
                self.forget(run_id)

    def refresh(self, folder: RunFolder) -> None:
        """Reads one run's files again."""
        try:
            self.index.refresh(folder)
            self._broken.pop(folder.run_id, None)
        except FolderError as error:
            if self._broken.get(folder.run_id) != str(error):
                _log.warning("%s is left out: %s", folder.run_id, error)
            self._broken[folder.run_id] = str(error)
            self.index.forget(folder.run_id)

    def forget(self, run_id: str) -> None:
        """Removes a run from the index after its folder has been deleted."""
        self._times.pop(run_id, None)
        self._broken.pop(run_id, None)
        self.index.forget(run_id)

    def reindex(self) -> int:
        """Rebuilds the index from the folders. Returns the number of runs in it."""
        self._times.clear()
        self._broken.clear()
        self.index.clear()
        self.sync()
        return len(self.index.rows())

    def in_states(self, *states: RunState) -> list[RunRecord]:
        """Runs of this home in these states; queued ones in the order of the queue."""
        index = self._readable_index()
        return [] if index is None else [self._record(row) for row in index.in_states(states)]

    def last_place(self) -> float:
        """The place of the last run in the queue; 0 when the queue is empty."""
        index = self._readable_index()
        places = [] if index is None else [row["queued"] for row in index.in_states((RunState.QUEUED,))]
        return max((place for place in places if place is not None), default=0.0)

    @property
    def index(self) -> Index:
        """The index, to be written.

        Raises:
            RuntimeError: in a process that only reads.
        """
        if self._index is None or not self.writes:
            raise RuntimeError(f"another process maintains the index of {self.home}; this one only reads it")
        return self._index

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
        own = [] if index is None else index.rows()
        waiting = sorted((row for row in own if row["queued"] is not None), key=lambda row: (row["queued"], row["created"]))
        places = {row["run_id"]: place for place, row in enumerate(waiting, 1)}
        records = [self._record(row, places.get(row["run_id"])) for row in own]
        own_ids = {record.run_id for record in records}
        shipped = [to_record(row, self._demo_path / row["run_id"], demo=True) for row in self._demo.rows()]
        return records + [record for record in shipped if record.run_id not in own_ids]

    def _record(self, row: Any, queue_position: int | None = None) -> RunRecord:
        return to_record(row, self.runs_path / row["run_id"], demo=False, queue_position=queue_position)

    def _look_at_demo(self) -> None:
        with self._lock:
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


def home_lock(home: Path) -> Any:
    """The lock of a home, not yet acquired. Its holder runs the queue and maintains the index."""
    home.mkdir(parents=True, exist_ok=True)
    return folder_lock(home / "lock")
