"""Which run folders have changed since they were last read, without a look at every folder every time.

A folder's time changes with every file that is made, replaced or removed in it. Asking ten thousand folders for it takes a
tenth of a second, so that is done only when the time of the folder they lie in has changed: it does when a run is made,
renamed or deleted, and whoever changes an existing run from another process touches it (`RunFolder`). Everything else is
found in turns, a few folders at each look: those whose time has changed, and very few that are read although it has not,
since an editor may write into a file without changing the time of its folder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TURN = 200
"""Folders that are asked for their time at a look."""
_READ_ANYWAY = 2
"""Folders that are read at a look although their time is the same."""
_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Changes:
    """What a look has found: names of folders to read, and of those that are gone."""

    to_read: list[str]
    gone: list[str]


class FolderWatch:
    """Watches the folders in ``parent``; for one thread at a time.

    Args:
        stamps: name -> what `stamp` returned when the folder was last read, in this process or an earlier one.
    """

    def __init__(self, parent: Path, stamps: Mapping[str, int | None]) -> None:
        self._parent = parent
        self._stamps = dict(stamps)
        self._unsettled: dict[str, int] = {}
        self._times: dict[str, int] = {}
        self._parent_time: int | None = None
        self._sweep_again = True
        self._names: list[str] = []
        self._turn, self._reading_turn = _Turn(), _Turn()

    def look(self, *, thorough: bool = False) -> Changes:
        """Looks once. Each folder that is to be read goes to `stamp` when it is.

        Args:
            thorough: looks at all folders.
        """
        parent_time = _time(self._parent)
        if thorough or self._sweep_again or parent_time != self._parent_time:
            self._sweep_again = parent_time != self._parent_time  # times are coarse; a change right now may look the same
            self._parent_time = parent_time
            return self._sweep()
        asked, anyway = self._turn.next(self._names, _TURN), self._reading_turn.next(self._names, _READ_ANYWAY)
        seen = {*asked, *anyway, *self._unsettled}
        gone = []
        for name in seen:
            changed = _time(self._parent / name)
            if changed is None:
                gone.append(name)
            else:
                self._times[name] = changed
        self._forget(gone)
        return Changes([name for name in seen.difference(gone) if name in anyway or self._is_new(name)], gone)

    def stamp(self, name: str) -> int | None:
        """Called when a folder is about to be read: the time by which a later process knows that it need not read it again.

        `None` while the folder may still change without its time changing. It will then be read once more.
        """
        changed = self._times.get(name)
        if changed is None:
            return None
        settled = self._unsettled.pop(name, None) == changed or time.time_ns() - changed > _SETTLED_NS
        if not settled:
            self._unsettled[name] = changed
        self._stamps[name] = changed if settled else None
        return self._stamps[name]

    def read_again(self, name: str) -> None:
        """Has this folder read at the next look."""
        self._stamps.pop(name, None)
        self._unsettled[name] = -1

    def _sweep(self) -> Changes:
        found = {}
        try:
            with os.scandir(self._parent) as entries:
                for entry in entries:
                    if not entry.name.startswith(".") and entry.is_dir():
                        found[entry.name] = entry.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):
            pass
        gone = [name for name in self._stamps.keys() | self._times.keys() if name not in found]
        self._forget(gone)
        self._times, self._names = found, sorted(found)
        return Changes([name for name in self._names if self._is_new(name)], gone)

    def _is_new(self, name: str) -> bool:
        return name in self._unsettled or self._stamps.get(name) != self._times[name]

    def _forget(self, names: list[str]) -> None:
        for name in names:
            for known in (self._stamps, self._times, self._unsettled):
                known.pop(name, None)
        if names:
            self._names = [name for name in self._names if name not in set(names)]


class _Turn:
    """Goes through a list that may change, some names at a time, and begins again at its end."""

    def __init__(self) -> None:
        self._place = 0

    def next(self, names: Sequence[str], count: int) -> Sequence[str]:
        begin = self._place if self._place < len(names) else 0
        self._place = begin + count
        return names[begin : begin + count]


def _time(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
