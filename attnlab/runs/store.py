"""All runs of a home, for pages and the command line: those that were made here, and the shipped ones.

Run folders are the truth, the index follows them. The process that holds the home's lock looks over the folders
(`Store.sync`): one whose entries changed since the last look is read again, so runs that another process made, renamed
or deleted appear without a message from it. Others only read.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from attnlab import paths
from attnlab.runs.errors import FolderError, UnknownRun
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.index import Curve, Index, to_record
from attnlab.runs.ownership import folder_lock
from attnlab.runs.records import RunRecord, RunState

_log = logging.getLogger(__name__)


class Store:
    """Reads for any thread; `sync` and `change` for the thread that keeps the queue.

    Args:
        home: as `attnlab.paths.home`.
        write: whether this process holds the home's lock (`home_lock`), and so keeps the index.
        demo: folder of the shipped runs.
    """

    def __init__(self, home: Path, *, write: bool, demo: Path | None = None) -> None:
        self.home = home
        self.runs_path = home / "runs"
        self.writes = False
        self._demo_path = paths.DEMO_RUNS if demo is None else demo
        self._demo = Index(None, write=True)
        self._demo_seen: tuple[tuple[str, int], ...] | None = None
        self._seen: dict[str, int] = {}
        self._again: set[str] = set()
        self._broken: dict[str, str] = {}
        self._index: Index | None = None
        self._lock = threading.RLock()
        self._cached: tuple[tuple[int, int], list[RunRecord]] | None = None
        if write:
            self.keep_index()

    def keep_index(self) -> None:
        """From now on this process holds the home's lock, and writes the index. Who reads meanwhile is not disturbed."""
        with self._lock:
            self._index = Index(self.home / "attnlab.db", write=True)
            self.writes = True
            self._cached = None

    def close(self) -> None:
        if self._index is not None:
            self._index.close()
        self._demo.close()

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, newest first, the shipped ones last. The list is the caller's own."""
        with self._lock:
            self._look_at_demo()
            index = self._reading()
            now = (index.version() if index else 0, self._demo.version())
            if self._cached is None or self._cached[0] != now:
                self._cached = (now, self._records(index))
            return list(self._cached[1])

    def get(self, run_id: str) -> RunRecord:
        """One run, also one that was made this moment and is not in the index yet.

        Raises:
            UnknownRun: when there is none of this name.
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
            UnknownRun: when there is none of this name.
        """
        if run_id and not run_id.startswith(".") and Path(run_id).name == run_id:
            for parent in (self.runs_path, self._demo_path):
                if (parent / run_id / "config.json").is_file():
                    return RunFolder(parent / run_id)
        raise UnknownRun(run_id)

    def metrics(self, run_id: str, since: int = 0) -> list[dict[str, Any]]:
        """Steps and epochs as they were written, each with its number as ``row``, from number ``since`` on.

        After a resume the numbers may step back: rows behind the checkpoint are gone. `RunRecord.attempt` tells.
        """
        index = self._holding(run_id)
        return index.metrics(run_id, since) if index else []

    def curve(self, run_id: str, points: int = 500) -> Curve:
        """The loss of a run in at most so many points, and its epochs."""
        index = self._holding(run_id)
        return index.curve(run_id, points) if index else Curve((), (), (), (), (), (), 0)

    def version(self, run_id: str | None = None) -> int:
        """A number that grows with every change, of a run or of any; cheap enough to ask every second."""
        index = self._reading() if run_id is None else self._holding(run_id)
        return index.version(run_id) if index else 0

    def broken(self) -> dict[str, str]:
        """Folders that hold no readable run: name -> reason."""
        return dict(self._broken)

    # Following the folders

    def sync(self, only: Collection[str] | None = None) -> None:
        """Takes over what changed in the folders: in those named, or wherever it did."""
        folders = run_folders(self.runs_path) if only is None else [RunFolder(self.runs_path / name) for name in only]
        indexed = set() if self._seen or only is not None else {row["run_id"] for row in self.index.rows()}
        for folder in folders:
            try:
                changed = folder.path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            # The time of change is coarse, so a folder that changed is looked at once more the next time.
            if only is not None or self._seen.get(folder.run_id) != changed or folder.run_id in self._again:
                self._again.discard(folder.run_id)
                if self._seen.get(folder.run_id) != changed:
                    self._again.add(folder.run_id)
                self._seen[folder.run_id] = changed
                self.refresh(folder)
        if only is None:
            for gone in (indexed | set(self._seen)) - {folder.run_id for folder in folders}:
                self.forget(gone)

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
        """Takes a run out of the index; its folder is gone."""
        self._seen.pop(run_id, None)
        self._broken.pop(run_id, None)
        self.index.forget(run_id)

    def reindex(self) -> int:
        """Makes the index anew from the folders. Returns the number of runs in it."""
        self._seen.clear()
        self._broken.clear()
        self.index.clear()
        self.sync()
        return len(self.index.rows())

    def in_states(self, *states: RunState) -> list[RunRecord]:
        """Runs of this home in these states; those in the queue in its order."""
        index = self._reading()
        return [] if index is None else [self._record(row) for row in index.in_states(states)]

    def last_place(self) -> float:
        """The place of the last run in the queue; 0 when it is empty."""
        index = self._reading()
        places = [] if index is None else [row["queued"] for row in index.in_states((RunState.QUEUED,))]
        return max((place for place in places if place is not None), default=0.0)

    @property
    def index(self) -> Index:
        """The index, for who keeps it.

        Raises:
            RuntimeError: in a process that only reads.
        """
        if self._index is None or not self.writes:
            raise RuntimeError(f"another process keeps the runs in {self.home}; this one only reads them")
        return self._index

    def _reading(self) -> Index | None:
        if self._index is None:
            try:
                self._index = Index(self.home / "attnlab.db", write=False)
            except FileNotFoundError:
                return None
        return self._index

    def _holding(self, run_id: str) -> Index | None:
        """The index with this run in it. A run made here hides a shipped one of the same name, as in `folder`."""
        index = self._reading()
        if index is not None and index.version(run_id):
            return index
        self._look_at_demo()
        return self._demo

    def _records(self, index: Index | None) -> list[RunRecord]:
        own = [] if index is None else index.rows()
        waiting = sorted((row for row in own if row["queued"] is not None), key=lambda row: (row["queued"], row["created"]))
        places = {row["run_id"]: place for place, row in enumerate(waiting, 1)}
        records = [self._record(row, places.get(row["run_id"])) for row in own]
        taken = {record.run_id for record in records}
        demo = [to_record(row, self._demo_path / row["run_id"], demo=True) for row in self._demo.rows()]
        return records + [record for record in demo if record.run_id not in taken]

    def _record(self, row: Any, queue_position: int | None = None) -> RunRecord:
        return to_record(row, self.runs_path / row["run_id"], demo=False, queue_position=queue_position)

    def _look_at_demo(self) -> None:
        with self._lock:
            folders = run_folders(self._demo_path)
            seen = tuple((folder.run_id, folder.path.stat().st_mtime_ns) for folder in folders)
            if seen == self._demo_seen:
                return
            self._demo_seen = seen
            self._demo.clear()
            for folder in folders:
                try:
                    self._demo.refresh(folder)
                except FolderError as error:
                    _log.warning("the shipped run %s is left out: %s", folder.run_id, error)


def home_lock(home: Path) -> Any:
    """The lock on a home, not yet taken: its holder keeps the queue and the index."""
    home.mkdir(parents=True, exist_ok=True)
    return folder_lock(home / "lock")
