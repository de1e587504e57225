"""Who may do what. This file alone decides; `attnlab.desk.desk` asks it before it does anything.

A server is in one of two modes, named by ``ATTNLAB_MODE`` or by ``attnlab app --classroom``. *Personal*: it answers its own
machine only, and whoever sits there may do everything. *Classroom*: other machines may connect. A browser owns what it makes:
it is known by a long random number in a cookie, of which only a hash is stored. What touches others needs the teacher's token.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from enum import Enum, StrEnum

MODE = "ATTNLAB_MODE"
"""Environment variable: personal or classroom."""


class Mode(StrEnum):
    """Of a server, see above."""

    PERSONAL = "personal"
    CLASSROOM = "classroom"


class Needed(Enum):
    """What an action needs in a classroom."""

    NOTHING = "any browser may"
    OWN = "the browser that owns the thing, or the teacher"
    TEACHER = "the teacher"


class Action(Enum):
    """Everything a page can do beyond showing what everybody may see. The value: what it needs in a classroom, and in words."""

    START = (Needed.NOTHING, "start a run")
    UPLOAD = (Needed.NOTHING, "upload a file")
    OPEN_CHECKPOINT = (Needed.NOTHING, "open a checkpoint")
    MEASURE = (Needed.NOTHING, "measure a map")
    START_GRID = (Needed.NOTHING, "start a table")
    ANSWER = (Needed.NOTHING, "answer a question")
    ENTER_ROOM = (Needed.NOTHING, "enter a room")
    SEE_OWN_PICTURES = (Needed.OWN, "see a run on pictures that somebody uploaded")
    STOP = (Needed.OWN, "stop a run")
    PAUSE = (Needed.OWN, "pause a run")
    RESUME = (Needed.OWN, "resume a run")
    RENAME = (Needed.OWN, "rename a run")
    DELETE = (Needed.OWN, "delete a run")
    RESTORE = (Needed.OWN, "restore a run")
    STOP_MEASURING = (Needed.OWN, "stop a measurement")
    CHANGE_GRID = (Needed.OWN, "pause, stop or resume a table")
    CHANGE_SEARCH = (Needed.TEACHER, "pause a search")
    MOVE = (Needed.TEACHER, "change the order of the queue")
    START_SEARCH = (Needed.TEACHER, "start a search")
    READ_PATH = (Needed.TEACHER, "read a path on the server")
    OPEN_NETWORK = (Needed.TEACHER, "open a network by its name")
    SEE_RESULTS = (Needed.TEACHER, "see what the class has answered")
    ERASE_ANSWERS = (Needed.TEACHER, "erase what the class has answered")
    HAND_OUT = (Needed.TEACHER, "make a hand-out, which has the answers")
    MAKE_ROOM = (Needed.TEACHER, "make a room")
    SEE_MEMBERS = (Needed.TEACHER, "see who is in a room")
    LEAD_ROOM = (Needed.TEACHER, "lead a room")
    END_ROOM = (Needed.TEACHER, "end a room")
    DOWNLOAD_ROOM = (Needed.TEACHER, "download a room")
    ERASE_ROOM = (Needed.TEACHER, "erase a room")
    MEASURE_COSTS = (Needed.TEACHER, "measure what networks cost")
    SETTINGS = (Needed.TEACHER, "change where runs are trained")
    NO_LIMITS = (Needed.TEACHER, "go beyond the limits of the classroom")

    def __init__(self, needed: Needed, words: str) -> None:
        self.needed, self.words = needed, words


class NotAllowed(ValueError):
    """The person may not do this; the message says who may."""


@dataclass(frozen=True)
class Person:
    """Whoever is at a browser.

    Attributes:
        mode: of the server.
        browser: hash of the browser's number, see `browser_of`; empty in personal mode, or when it keeps no cookies.
        teacher: whether the teacher's token was entered in it.
    """

    mode: Mode
    browser: str = ""
    teacher: bool = False

    @property
    def free(self) -> bool:
        """Whether everything is allowed: at the own machine, and to the teacher."""
        return self.mode is Mode.PERSONAL or self.teacher

    def owns(self, owner: str) -> bool:
        """Whether a thing with this owner is this browser's. What has no owner belongs to the owner of the machine."""
        return bool(self.browser) and self.browser == owner

    def may(self, action: Action, owner: str = "") -> bool:
        """Whether the person may do this.

        Args:
            owner: of the thing it is done to; empty when it belongs to the owner of the machine.
        """
        if self.free:
            return True
        if action.needed is Needed.NOTHING:
            return bool(self.browser)
        return action.needed is Needed.OWN and self.owns(owner)

    def ask(self, action: Action, owner: str = "") -> None:
        """
        Raises:
            NotAllowed: unless `may`.
        """
        if self.may(action, owner):
            return
        if not self.browser:
            raise NotAllowed(
                "This browser keeps no cookies, so the classroom cannot tell what is yours. Allow cookies, and reload."
            )
        who = "the browser that made it, or the teacher" if action.needed is Needed.OWN else "the teacher"
        raise NotAllowed(f"Only {who} can {action.words}.")


def server_mode() -> Mode:
    """The mode of this server.

    Raises:
        ValueError: when the environment names one that does not exist.
    """
    text = os.environ.get(MODE, "").strip().lower()
    try:
        return Mode(text or Mode.PERSONAL)
    except ValueError:
        raise ValueError(f"{MODE} is {text!r}; it can be {' or '.join(Mode)}") from None


def browser_of(number: str) -> str:
    """The owner that stands for a browser's number. The number itself is never stored, so no file or page can give it away."""
    return hashlib.sha256(b"attnlab browser " + number.encode()).hexdigest()[:32] if number else ""
