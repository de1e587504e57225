"""The rooms of a home: one JSON file each in ``rooms/``, read once and written as a whole at every change. No torch.

All threads of the server share one `Rooms`, and one lock. What each browser looks at is kept in memory only: two seconds after
a restart it is known again. Nothing here asks who may do what; `attnlab.desk.rooms` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attnlab.config import explain
from attnlab.rooms.room import (
    MOST_LINK,
    MOST_MEMBERS,
    MOST_QUESTIONS,
    MOST_RUNS,
    SEEDS_APART,
    Asked,
    Member,
    Room,
    RoomError,
    View,
    code_of,
    new_code,
)
from attnlab.runs.errors import FolderError
from attnlab.runs.files import read_json, write_json

MOST_ROOMS = 200
MOST_BYTES = 4 << 20
"""Of a file; the largest that the limits of a room allow has less."""
PRESENT_SECONDS = 75
"""Whoever was seen so recently is in the room; browsers wake a tab that nobody looks at once a minute."""

_lock = threading.Lock()
_known: dict[Path, Rooms] = {}


def rooms_of(home: Path) -> Rooms:
    """The rooms of a home, the same ones for the whole server."""
    with _lock:
        return _known.setdefault(home, Rooms(home))


@dataclass(frozen=True)
class Seen:
    """What a member looks at. ``page``: its title; ``at``: when, by `time.monotonic`."""

    page: str
    at: float

    @property
    def seconds(self) -> float:
        """How long ago that was."""
        return time.monotonic() - self.at

    @property
    def present(self) -> bool:
        return self.seconds < PRESENT_SECONDS


class Rooms:
    """See above. Any thread may use it.

    Args:
        home: as `attnlab.paths.home`.

    Attributes:
        damaged: file name -> a sentence on what is wrong with it, of the files that are left out.
    """

    def __init__(self, home: Path) -> None:
        self._folder = home / "rooms"
        self._lock = threading.RLock()
        self._seen: dict[tuple[str, str], Seen] = {}
        self._rooms, self.damaged = self._read()

    # Reading

    def every(self) -> list[Room]:
        """All rooms, the newest first."""
        with self._lock:
            return sorted(self._rooms.values(), key=lambda room: -room.made)

    def get(self, code: str) -> Room:
        """
        Raises:
            RoomError: when there is no such room.
        """
        with self._lock:
            room = self._rooms.get(code_of(code))
        if room is None:
            raise RoomError("There is no room with this code. Look at it once more, letter by letter.")
        return room

    def of(self, browser: str) -> Room | None:
        """The open room that a browser is in."""
        return next((room for room in self.every() if room.open and _is_in(room, browser)), None)

    def led_by(self, browser: str) -> Room | None:
        """The open room that a browser leads, the newest one."""
        return next((room for room in self.every() if room.open and room.teacher == browser), None)

    def seen(self, code: str) -> Mapping[str, Seen]:
        """Browser -> what it looks at, of those that were seen since the server started."""
        with self._lock:
            return {browser: seen for (room, browser), seen in self._seen.items() if room == code}

    # What members do

    def enter(self, code: str, browser: str) -> Room:
        """Makes a browser a member, and takes it out of any other room; one that comes back keeps its number.

        Raises:
            RoomError: when there is no such room, it has ended, or it is full.
            OSError: when it cannot be written.
        """
        with self._lock:
            room = self.get(code)
            if not room.open:
                raise RoomError("This room has ended.")
            if _is_in(room, browser):
                return room
            if browser not in room.members and len(room.members) >= MOST_MEMBERS:
                raise RoomError(f"This room is full: it has {MOST_MEMBERS} members.")
            self.leave(browser)
            number = len(room.members) + 1
            before = room.members.get(browser, Member(number=number, seed=room.first_seed + number))
            return self._write(room.with_member(browser, before.model_copy(update={"here": True, "follows": True})))

    def leave(self, browser: str) -> None:
        """Takes a browser out of its room."""
        self._change_member(browser, here=False)

    def look_around(self, browser: str, *, alone: bool) -> None:
        """Whether a member goes its own way, or where the teacher goes."""
        self._change_member(browser, follows=not alone)

    def look_at(self, browser: str, page: str) -> None:
        """Notes the page that a member sees."""
        with self._lock:
            if (room := self.of(browser)) is not None:
                self._seen[room.code, browser] = Seen(page[:60], time.monotonic())

    def predict(self, browser: str, value: str) -> None:
        """Keeps the first prediction of a member for the question on the screen.

        Raises:
            RoomError: when the browser is in no room, nothing is asked, or what comes out has been shown.
        """
        with self._lock:
            room = self.of(browser)
            if room is None:
                raise RoomError("This browser is in no room.")
            question = room.question
            if question is None or question.revealed:
                raise RoomError("It is too late for a prediction.")
            if browser not in question.said:
                self._write(room.with_question(said={**question.said, browser: value[:40]}))

    def started(self, browser: str, run_ids: Iterable[str]) -> None:
        """Notes the runs that a member, or the leader of a room, has started."""
        with self._lock:
            room = self.of(browser) or self.led_by(browser)
            if room is not None:
                kept = tuple(dict.fromkeys((*room.runs, *run_ids)))[:MOST_RUNS]
                if kept != room.runs:
                    self._write(room.model_copy(update={"runs": kept}))

    # What the teacher does

    def make(self, teacher: str) -> Room:
        """A new room, led by this browser.

        Raises:
            RoomError: when there are too many.
        """
        with self._lock:
            if len(self._rooms) >= MOST_ROOMS:
                raise RoomError(f"There are {MOST_ROOMS} rooms. Erase some that have ended.")
            first = max((room.first_seed for room in self._rooms.values()), default=0) + SEEDS_APART
            return self._write(Room(code=new_code(self._rooms), teacher=teacher, made=time.time(), first_seed=first))

    def change(self, code: str, **values: object) -> Room:
        """Changes what the class takes: ``lesson``, ``step``, ``variants``, ``epochs``, ``address``, ``follows``, ``teacher``.

        Raises:
            ValueError: when a value is not allowed.
        """
        return self._changed(code, lambda room: room.changed(**values))

    def show(self, code: str, page: str, link: str) -> Room:
        """Sends the members that follow to a page with this link."""

        def shown(room: Room) -> Room:
            if (room.view.page, room.view.link) == (page, link) and room.view.serial:
                return room
            view = View(page=page[:60], link=link if len(link) <= MOST_LINK else "", serial=room.view.serial + 1)
            return room.model_copy(update={"view": view})

        return self._changed(code, shown)

    def ask(self, code: str, item: str) -> Room:
        """Puts a prediction of the bank on the screen."""

        def asked(room: Room) -> Room:
            if len(room.asked) >= MOST_QUESTIONS:
                raise RoomError(f"This room has asked {MOST_QUESTIONS} questions, which is as many as it keeps.")
            return room.changed(asked=(*room.asked, Asked(item=item)), asking=True)

        return self._changed(code, asked)

    def reveal(self, code: str) -> Room:
        """Shows what comes out."""
        return self._changed(code, lambda room: room.with_question(revealed=True))

    def close_question(self, code: str) -> Room:
        """Takes the question off the screen; what was predicted is kept."""
        return self._changed(code, lambda room: room.changed(asking=False))

    def end(self, code: str) -> Room:
        """Ends the room: nobody is in it any more, and it can be downloaded and erased."""
        return self._changed(code, lambda room: room.changed(ended=room.ended or time.time(), follows=False, asking=False))

    def erase(self, code: str) -> None:
        """Removes the room and all that was said in it.

        Raises:
            OSError: when its file cannot be removed.
        """
        with self._lock:
            room = self.get(code)
            (self._folder / f"{room.code}.json").unlink(missing_ok=True)
            del self._rooms[room.code]
            for key in [key for key in self._seen if key[0] == room.code]:
                del self._seen[key]

    # Files

    def _changed(self, code: str, change: Callable[[Room], Room]) -> Room:
        with self._lock:
            room = self.get(code)
            if not room.open:
                raise RoomError("This room has ended.")
            new = change(room)
            return room if new == room else self._write(new)

    def _change_member(self, browser: str, **values: bool) -> None:
        with self._lock:
            if (room := self.of(browser)) is not None:
                self._write(room.with_member(browser, room.members[browser].model_copy(update=values)))

    def _write(self, room: Room) -> Room:
        """The file first: what cannot be written has not happened."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json(self._folder / f"{room.code}.json", room.model_dump(mode="json"))
        self._rooms[room.code] = room
        return room

    def _read(self) -> tuple[dict[str, Room], dict[str, str]]:
        rooms: dict[str, Room] = {}
        damaged: dict[str, str] = {}
        try:
            files = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        except OSError as error:
            return {}, {"rooms": f"rooms/ cannot be read: {error.strerror or error}"}
        for file in files:
            try:
                if file.is_file() and file.stat().st_size > MOST_BYTES:
                    raise FolderError(f"rooms/{file.name} is larger than a room can be")
                tree: dict[str, Any] = read_json(file) or {}
                room = Room.model_validate(tree)
                if file.stem != room.code:
                    raise FolderError(f"rooms/{file.name} holds the room {room.code}")
                rooms[room.code] = room
            except (FolderError, OSError) as error:
                damaged[file.name] = str(error)
            except ValidationError as error:
                damaged[file.name] = f"rooms/{file.name} is not the file of a room: {explain(error)}"
        return rooms, damaged


def _is_in(room: Room, browser: str) -> bool:
    member = room.members.get(browser)
    return member is not None and member.here
