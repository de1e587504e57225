"""What a room is: who is in it, what the teacher shows and asks, and what was answered and trained. No torch.

A person is the hash of a browser (`attnlab.desk.permissions.browser_of`) in the file of the room, and a number everywhere else.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from pydantic import Field, model_validator

from attnlab.config import Section
from attnlab.lessons.lesson import Name

LETTERS = "BCDFGHJKMNPRSTVWXZ"
"""Of a code: none that is taken for another one or a digit, and no vowels, so that no code is a word."""
CODE_LENGTH = 6
MOST_MEMBERS, MOST_QUESTIONS, MOST_RUNS = 100, 100, 2000
MOST_LINK = 4000
"""Characters of the link that a room follows."""
SEEDS_APART = MOST_MEMBERS
"""The seeds of two rooms never meet, so that no run of a class has been trained by the class before."""
EPOCHS = 4
"""Of the runs that a room offers; the same for all, since runs of unequal length cannot be compared."""


class RoomError(ValueError):
    """A room cannot do this; the message is a sentence for people."""


class Member(Section):
    """A browser in a room.

    Attributes:
        number: "Student 7". seed: with which it trains.
        here: whether it has not left. follows: whether it goes where the teacher goes.
    """

    number: int = Field(ge=1, le=MOST_MEMBERS)
    seed: int = Field(ge=0)
    here: bool = True
    follows: bool = True


class View(Section):
    """Where the teacher is.

    Attributes:
        page: its address below the app's own. link: the parameters, as they stand in the address bar.
        serial: counts the views of a room, so that each is gone to once.
    """

    page: str = Field(default="", max_length=60)
    link: str = Field(default="", max_length=MOST_LINK)
    serial: int = Field(default=0, ge=0)


class Asked(Section):
    """A prediction that was asked in the room.

    Attributes:
        item: of the bank. said: browser -> what was predicted, as `attnlab.lessons.answers.Answer.value`.
        revealed: whether what comes out is shown.
    """

    item: Name
    said: dict[str, str] = Field(default_factory=dict, max_length=MOST_MEMBERS)
    revealed: bool = False


class Room(Section):
    """One room, as its file holds it.

    Attributes:
        teacher: the browser that leads it.
        made, ended: seconds since 1970; ``ended`` is 0 while it is open.
        first_seed: of its members: number n has ``first_seed + n``.
        address: with which students reach the server; empty: the one that the teacher's browser uses.
        lesson, step: that the class takes, from 1; empty without one.
        variants, epochs: of the runs that are offered to students.
        follows: whether the room follows the teacher's view. view: the last one.
        asked: all predictions so far. asking: whether the last one is on the screen.
        members: by browser. runs: that were started in the room.
    """

    code: str = Field(pattern=f"^[{LETTERS}]{{{CODE_LENGTH}}}$")
    teacher: str = ""
    made: float
    ended: float = 0
    first_seed: int = Field(ge=0)
    address: str = Field(default="", max_length=200)
    lesson: str = Field(default="", max_length=60)
    step: int = Field(default=1, ge=1, le=20)
    variants: tuple[str, ...] = Field(default=("none", "eca"), max_length=6)
    epochs: int = Field(default=EPOCHS, ge=1, le=100)
    follows: bool = False
    view: View = View()
    asked: tuple[Asked, ...] = Field(default=(), max_length=MOST_QUESTIONS)
    asking: bool = False
    members: dict[str, Member] = Field(default_factory=dict, max_length=MOST_MEMBERS)
    runs: tuple[str, ...] = Field(default=(), max_length=MOST_RUNS)

    @model_validator(mode="after")
    def _asks_something(self) -> Room:
        if self.asking and not self.asked:
            raise ValueError("the room asks a question that it does not have")
        return self

    @property
    def open(self) -> bool:
        return not self.ended

    @property
    def question(self) -> Asked | None:
        """What is on the screen."""
        return self.asked[-1] if self.asking else None

    def changed(self, **values: object) -> Room:
        """A copy with other values, checked like a file.

        Raises:
            ValueError: when a value is not allowed.
        """
        return Room.model_validate(self.model_dump() | values)

    def with_question(self, **values: object) -> Room:
        """A copy in which the question on the screen has other values.

        Raises:
            RoomError: when there is none.
        """
        if self.question is None:
            raise RoomError("The room asks nothing at the moment.")
        last = Asked.model_validate(self.question.model_dump() | values)
        return self.model_copy(update={"asked": (*self.asked[:-1], last)})

    def with_member(self, browser: str, member: Member) -> Room:
        """A copy in which this browser is a member."""
        return self.model_copy(update={"members": {**self.members, browser: member}})


def new_code(taken: Mapping[str, Room]) -> str:
    """A code that no room has, drawn so that none follows from another."""
    while True:
        code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        if code not in taken:
            return code


def code_of(text: str) -> str:
    """A code as a person types it: small letters, spaces and hyphens do not matter."""
    return "".join(letter for letter in text[:100].upper() if letter.isalnum())
