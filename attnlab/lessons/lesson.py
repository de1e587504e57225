"""A lesson, as its file describes it: steps with a text, the view they speak of, what to do there, and a question.

A lesson is one TOML file, see docs/lessons.md. The models here know the form alone; whether a page, control or run exists is
asked by `attnlab.lessons.checking`. No torch.
"""

from __future__ import annotations

from string import ascii_uppercase
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from attnlab.config import Section

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]
"""Of a file, a step or an item of a bank: stands in links, so small letters, digits and hyphens."""
Value = str | int | float | bool
"""Of a parameter in a link."""

CHANGED = "changed"
"""In ``until``: any value but the one with which the view was opened."""
LONGEST_MINUTES = 15


class ShippedRun(Section):
    """A run that comes with attnlab, by its settings, since its id changes with every one of them.

    Attributes:
        variant: as the run is configured; ``none`` where the network has its own attention or no attention.
        data: its data set.
        backbone: its network; may be left out where one run alone fits.
        gates: of the article's network, whether it has its gates; `None` for either.
    """

    variant: str
    data: str = "digits"
    backbone: str = ""
    seed: int = 0
    gates: bool | None = None


class View(Section):
    """A page and what its link says.

    Attributes:
        page: its address, as ``inspect``.
        run: what ``run`` of the link is to be. beside: the runs to compare it with.
        link: the other parameters.
    """

    page: str
    run: ShippedRun | None = None
    beside: tuple[ShippedRun, ...] = ()
    link: dict[str, Value] = Field(default_factory=dict)


class Question(Section):
    """A question with several answers, of which one is right.

    Attributes:
        right: its letter.
        why: shown after an answer, whichever it is.
    """

    ask: Text
    answers: tuple[Line, ...] = Field(min_length=2, max_length=6)
    right: str
    why: Text

    @model_validator(mode="after")
    def _right_is_an_answer(self) -> Question:
        letters = ascii_uppercase[: len(self.answers)]
        if len(self.right) != 1 or self.right not in letters:
            raise ValueError(f"right is {self.right!r}; with {len(self.answers)} answers it can be one of {', '.join(letters)}")
        if len(set(self.answers)) < len(self.answers):
            raise ValueError("two answers are the same")
        return self

    @property
    def place(self) -> int:
        """Of the right answer, from 0."""
        return ascii_uppercase.index(self.right)


class Step(Section):
    """One step of a lesson.

    Attributes:
        name: unique in the lesson.
        text: Markdown with formulas between dollars.
        open: the view that is opened when the step begins; without it the view stays as it is.
        point: the control it speaks of, by a name of `attnlab.lessons.views`.
        do: what must be done to go on, in words. until: when that is done: parameters of the link, with the values they must
            have, or `CHANGED`; all of them.
        predict: an item of the bank of predictions, which is asked before what comes next is shown.
        source: the page of docs/ in which a figure of the text was measured.
    """

    name: Name
    title: Line
    text: Text
    open: View | None = None
    point: str = ""
    do: Line | Literal[""] = ""
    until: dict[str, Value | tuple[Value, ...]] = Field(default_factory=dict)
    predict: str = ""
    question: Question | None = None
    source: str = ""

    @model_validator(mode="after")
    def _words_and_deeds(self) -> Step:
        if self.until and not self.do:
            raise ValueError("until says when something is done, but do does not say what")
        if self.do and not self.until:
            raise ValueError("do says what is to be done, but until does not say when it is")
        return self


class Lesson(Section):
    """A lesson.

    Attributes:
        title: as a question or a promise. about: what one can tell or do after it, one sentence each.
        minutes: for a student who has not seen it before.
    """

    title: Line
    minutes: int = Field(ge=1, le=LONGEST_MINUTES)
    about: tuple[Line, ...] = Field(min_length=1, max_length=4)
    step: tuple[Step, ...] = Field(min_length=1, max_length=20)

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.step

    def view_at(self, place: int) -> View | None:
        """The view that is open at a step: the last one that was opened up to there."""
        return next((step.open for step in reversed(self.steps[: place + 1]) if step.open), None)
