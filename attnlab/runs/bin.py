"""The bin of a home: deleted runs, kept for some days in ``<home>/bin`` and restored from there.

A run is moved as a whole, so it costs no time and no space beyond what it had; `deleted.json` inside it says when that was
and what it was called. What is older than `KEPT_DAYS` is deleted for good when another run is deleted, or at a start.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from attnlab.runs.errors import FolderError, RequestRefused
from attnlab.runs.files import read_json, write_json
from attnlab.runs.folder import RunFolder, move_to_free_name, run_folders

KEPT_DAYS = 7
_NOTE = "deleted.json"
_DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Deleted:
    """A run in the bin.

    Attributes:
        run_id: what it was called.
        folder: its files now.
        when: seconds since 1970.
    """

    run_id: str
    folder: RunFolder
    when: float

    @property
    def days_left(self) -> int:
        """For how many days it is kept from now on, at least."""
        return max(0, int(KEPT_DAYS - (time.time() - self.when) / _DAY))


class Bin:
    """The deleted runs of a home. Any process may use it at any time.

    Args:
        home: as `attnlab.paths.home`.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / "bin"
        self._runs_path = home / "runs"

    def put(self, folder: RunFolder) -> None:
        """Moves a run here. It disappears from the runs at once.

        Raises:
            OSError: when it cannot be moved; it then stays a run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            write_json(folder.path / _NOTE, {"run_id": folder.run_id, "deleted": time.time()}, sync=False)
        except OSError:  # a full disk: the folder's own name and time have to do, so that space can still be made
            os.utime(folder.path)
        move_to_free_name(folder.path, self.path, folder.run_id)

    def deleted(self) -> list[Deleted]:
        """What is here, the last deleted first."""
        return sorted(map(_deleted, run_folders(self.path)), key=lambda deleted: deleted.when, reverse=True)

    def find(self, run_id: str) -> Deleted:
        """The run of this name that was deleted last.

        Raises:
            RequestRefused: when there is none.
        """
        for deleted in self.deleted():
            if deleted.run_id == run_id:
                return deleted
        raise RequestRefused(f"the bin has no run {run_id!r}; `attnlab restore` lists those it has")

    def restore(self, run_id: str, avoid: Collection[str] = ()) -> RunFolder:
        """Makes the run of this name that was deleted last a run again; with another name where its own is taken.

        Args:
            avoid: names that it may not get.

        Raises:
            RequestRefused: when there is none.
        """
        deleted = self.find(run_id)
        self._runs_path.mkdir(parents=True, exist_ok=True)
        (deleted.folder.path / _NOTE).unlink(missing_ok=True)
        return RunFolder(move_to_free_name(deleted.folder.path, self._runs_path, run_id, avoid))

    def empty(self, older_than_days: float = KEPT_DAYS) -> int:
        """Deletes for good what was deleted longer ago. Returns the number of runs."""
        if not self.path.is_dir():
            return 0
        old = [deleted for deleted in self.deleted() if time.time() - deleted.when >= older_than_days * _DAY]
        for deleted in old:
            shutil.rmtree(deleted.folder.path, ignore_errors=True)
        return len(old)


def _deleted(folder: RunFolder) -> Deleted:
    try:
        note = read_json(folder.path / _NOTE) or {}
        return Deleted(str(note["run_id"]), folder, float(note["deleted"]))
    except (FolderError, KeyError, TypeError, ValueError):
        return Deleted(folder.run_id, folder, folder.path.stat().st_mtime)
