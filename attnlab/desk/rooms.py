"""The rooms of a home as one person may see and change them; `attnlab.desk.permissions` decides, as for everything else."""

from __future__ import annotations

import threading
from pathlib import Path

from attnlab.desk.desk import Desk
from attnlab.desk.guesses import Guesses
from attnlab.desk.permissions import Action
from attnlab.rooms.board import Board, board
from attnlab.rooms.files import room_zip
from attnlab.rooms.room import Member, Room, RoomError
from attnlab.rooms.rooms import Seen, rooms_of
from attnlab.runs.records import RunRecord, RunState

TRIES, ALL_TRIES = 6, 300
"""Wrong codes that one browser, and a whole class, may enter within a minute. At this speed there is a year of guessing in
the codes of a hundred rooms."""
LEADING = frozenset({"lesson", "step", "variants", "epochs", "address", "follows"})

_guesses: dict[Path, Guesses] = {}
_lock = threading.Lock()


class RoomsDesk:
    """The rooms, for one person.

    Args:
        desk: of this person.
    """

    def __init__(self, desk: Desk) -> None:
        self.__desk = desk
        self.__rooms = rooms_of(desk.home)
        self.person = desk.person

    # Reading

    @property
    def leads(self) -> bool:
        """Whether the person may lead rooms."""
        return self.person.may(Action.LEAD_ROOM)

    def mine(self) -> Room | None:
        """The open room that this browser is in or, of who leads rooms, the newest one that it leads."""
        if self.leads:
            return self.__rooms.led_by(self.person.browser)
        return self.__rooms.of(self.person.browser) if self.person.browser else None

    def me(self) -> Member | None:
        """The browser as a member of its room; `None` of who leads it."""
        room = None if self.leads else self.mine()
        return None if room is None else room.members[self.person.browser]

    def my_prediction(self) -> str | None:
        """What this browser has predicted for the question on the screen."""
        room = self.mine()
        return None if room is None or room.question is None else room.question.said.get(self.person.browser)

    def predicted(self, room: Room) -> list[str]:
        """What the room has predicted for the question on the screen, without who said what; nothing before it is revealed."""
        question = room.question
        return [] if question is None or not question.revealed else list(question.said.values())

    def runs(self, room: Room) -> list[RunRecord]:
        """The runs of the room that the person may see, newest first."""
        noted = set(room.runs)
        return [record for record in self.__desk.runs() if record.run_id in noted and not record.demo]

    def board(self, room: Room) -> Board:
        """As `attnlab.rooms.board.board`."""
        return board(self.runs(room))

    # What members do

    def enter(self, code: str) -> Room:
        """Enters a room.

        Raises:
            NotAllowed: to browsers that keep no cookies, and after too many wrong codes.
            RoomError: when there is no such room, it has ended, or it is full.
            OSError: when it cannot be written.
        """
        self.person.ask(Action.ENTER_ROOM)
        if self.leads:
            raise RoomError("This browser leads rooms. Enter one as a student in another browser, or in a private window.")
        guesses = self._guesses()
        guesses.ask(self.person.browser)
        try:
            self.__rooms.get(code)
        except RoomError:
            guesses.wrong(self.person.browser)
            raise
        return self.__rooms.enter(code, self.person.browser)

    def leave(self) -> None:
        """Leaves the room that this browser is in."""
        self.person.ask(Action.ENTER_ROOM)
        self.__rooms.leave(self.person.browser)

    def look_around(self, *, alone: bool) -> None:
        """As `Rooms.look_around`, of this browser."""
        self.person.ask(Action.ENTER_ROOM)
        self.__rooms.look_around(self.person.browser, alone=alone)

    def look_at(self, page: str) -> None:
        """As `Rooms.look_at`, of this browser."""
        self.person.ask(Action.ENTER_ROOM)
        self.__rooms.look_at(self.person.browser, page)

    def predict(self, value: str) -> None:
        """As `Rooms.predict`, of this browser."""
        self.person.ask(Action.ANSWER)
        self.__rooms.predict(self.person.browser, value)

    # What the teacher does; each raises NotAllowed to students

    def every(self) -> list[Room]:
        """All rooms, the newest first."""
        self.person.ask(Action.SEE_MEMBERS)
        return self.__rooms.every()

    def damaged(self) -> dict[str, str]:
        """As `Rooms.damaged`."""
        self.person.ask(Action.SEE_MEMBERS)
        return self.__rooms.damaged

    def get(self, code: str) -> Room:
        """As `Rooms.get`."""
        self.person.ask(Action.SEE_MEMBERS)
        return self.__rooms.get(code)

    def members(self, code: str) -> list[tuple[Member, Seen | None, int]]:
        """Each member by its number, what it looks at, and how many runs of it count."""
        self.person.ask(Action.SEE_MEMBERS)
        room, seen = self.__rooms.get(code), self.__rooms.seen(code)
        runs = [record.owner for record in self.runs(room)]
        return [(member, seen.get(browser), runs.count(browser)) for browser, member in room.members.items()]

    def number_of(self, room: Room, owner: str) -> int | None:
        """The number of a run's owner in the room; `None` for the teacher."""
        self.person.ask(Action.SEE_MEMBERS)
        member = room.members.get(owner)
        return None if member is None else member.number

    def present(self, code: str) -> int:
        """How many are in the room now."""
        self.person.ask(Action.SEE_MEMBERS)
        room, seen = self.__rooms.get(code), self.__rooms.seen(code)
        return sum(member.here and browser in seen and seen[browser].present for browser, member in room.members.items())

    def make(self) -> Room:
        """A new room."""
        self.person.ask(Action.MAKE_ROOM)
        return self.__rooms.make(self.person.browser)

    def change(self, code: str, **values: object) -> Room:
        """As `Rooms.change`, of `LEADING`. The room is led by this browser from then on."""
        self.person.ask(Action.LEAD_ROOM)
        if unknown := sorted(set(values) - LEADING):
            raise RoomError(f"A room cannot change its {unknown[0]}.")
        return self.__rooms.change(code, **values, teacher=self.person.browser)

    def show(self, code: str, page: str, link: str) -> Room:
        """As `Rooms.show`."""
        self.person.ask(Action.LEAD_ROOM)
        return self.__rooms.show(code, page, link)

    def ask(self, code: str, item: str) -> Room:
        """As `Rooms.ask`."""
        self.person.ask(Action.LEAD_ROOM)
        return self.__rooms.ask(code, item)

    def reveal(self, code: str) -> Room:
        """As `Rooms.reveal`."""
        self.person.ask(Action.LEAD_ROOM)
        return self.__rooms.reveal(code)

    def close_question(self, code: str) -> Room:
        """As `Rooms.close_question`."""
        self.person.ask(Action.LEAD_ROOM)
        return self.__rooms.close_question(code)

    def end(self, code: str) -> Room:
        """As `Rooms.end`. What trains goes on."""
        self.person.ask(Action.END_ROOM)
        return self.__rooms.end(code)

    def download(self, code: str) -> bytes:
        """As `attnlab.rooms.files.room_zip`."""
        self.person.ask(Action.DOWNLOAD_ROOM)
        room = self.__rooms.get(code)
        return room_zip(room, self.runs(room))

    def erase(self, code: str) -> None:
        """Removes the room, what was said in it, and its runs, which then lie in the bin.

        Raises:
            RoomError: when it has not ended, or while runs of it train; they are asked to stop.
        """
        self.person.ask(Action.ERASE_ROOM)
        room = self.__rooms.get(code)
        if room.open:
            raise RoomError("End the room before you erase it.")
        runs = self.runs(room)
        training = [record for record in runs if record.state in (RunState.STARTING, RunState.RUNNING)]
        for record in training:
            self.__desk.stop(record.run_id)
        if training:
            raise RoomError(
                f"{len(training)} {'run of this room is' if len(training) == 1 else 'runs of this room are'} still training. "
                "They have been asked to stop; erase the room in a moment."
            )
        for record in runs:
            self.__desk.delete(record.run_id)
        self.__rooms.erase(code)

    def _guesses(self) -> Guesses:
        with _lock:
            return _guesses.setdefault(self.__desk.home, Guesses("codes", TRIES, ALL_TRIES))
