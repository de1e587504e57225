"""The bank of questions: for each topic two that ask the same in another way, one before the lessons and one after.

Half of a class gets form A before and form B after, the other half the other way round. So a topic is asked twice, no question
is seen twice, and a question that is harder than its counterpart is so on both sides. No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field

from attnlab.config import Section
from attnlab.lessons.answers import Answer
from attnlab.lessons.lesson import Line, Name, Question
from attnlab.lessons.toml import FileProblems, Problem, read_toml
from attnlab.stats.gain import normalised_gain
from attnlab.stats.intervals import Interval

BANK = Path(__file__).parent / "banks" / "questions.toml"


class Time(StrEnum):
    """When a form is answered."""

    BEFORE = "before"
    AFTER = "after"


class BankQuestion(Question):
    """A question of the bank. ``topic`` is shared by its twin, which has the other form."""

    name: Name
    topic: Line
    form: Literal["A", "B"]


class QuestionBank(Section):
    """The file."""

    question: tuple[BankQuestion, ...] = Field(min_length=2)


@dataclass(frozen=True)
class Result:
    """How often a question, or all of them, were answered rightly.

    Attributes:
        before, after: answers. right_before, right_after: shares of right ones in [0, 1]; `None` without answers.
        gain: see `attnlab.stats.gain.normalised_gain`.
    """

    name: str
    topic: str
    before: int
    right_before: float | None
    after: int
    right_after: float | None
    gain: Interval | None


def questions() -> Mapping[str, BankQuestion]:
    """The bank, by name, in its order.

    Raises:
        FileProblems: when something is wrong with the file.
    """
    return _bank(BANK, BANK.stat().st_mtime_ns)


def form_for(person: str, time: Time) -> list[BankQuestion]:
    """The questions that a person gets, see above.

    Args:
        person: as `attnlab.lessons.answers.anonymous` calls them.
    """
    first = "A" if int(person[:8] or "0", 16) % 2 == 0 else "B"
    second = "B" if first == "A" else "A"
    wanted = first if time is Time.BEFORE else second
    return [question for question in questions().values() if question.form == wanted]


def results(answers: Sequence[Answer]) -> list[Result]:
    """One result for each question, and a last one, ``all``, over the students who answered both forms whole."""
    bank = questions()
    by_question: dict[str, dict[Time, list[bool]]] = {name: {time: [] for time in Time} for name in bank}
    by_person: dict[str, dict[Time, list[bool]]] = {}
    for answer in answers:
        if answer.kind != "question" or answer.item not in bank:
            continue
        right, time = answer.value == bank[answer.item].right, Time(answer.time)
        by_question[answer.item][time].append(right)
        by_person.setdefault(answer.person, {each: [] for each in Time})[time].append(right)
    rows = [
        _result(name, bank[name].topic, times[Time.BEFORE], times[Time.AFTER], paired=False)
        for name, times in by_question.items()
    ]
    whole = len(bank) // 2
    both = [times for times in by_person.values() if all(len(right) == whole for right in times.values())]
    before, after = ([sum(times[time]) / whole for times in both] for time in Time)
    return [*rows, _result("all", "students who answered both forms", before, after, paired=True)]


def _result(name: str, topic: str, before: Sequence[float], after: Sequence[float], *, paired: bool) -> Result:
    shares = [sum(side) / len(side) if side else None for side in (before, after)]
    gain = normalised_gain(before, after, paired=paired)
    return Result(name, topic, len(before), shares[0], len(after), shares[1], gain)


@lru_cache(maxsize=4)
def _bank(path: Path, stamp: int) -> Mapping[str, BankQuestion]:
    bank, text = read_toml(path, QuestionBank, "question")
    names = Counter(each.name for each in bank.question)
    forms = Counter((each.topic, each.form) for each in bank.question)
    found = []
    for number, each in enumerate(bank.question):
        twins = sum(other.topic == each.topic and other.form != each.form for other in bank.question)
        words = ""
        if names[each.name] > 1:
            words = "Another question has the same name."
        elif forms[each.topic, each.form] > 1 or twins != 1:
            words = f"The topic {each.topic!r} needs one question of form A and one of form B."
        if words:
            found.append(Problem(text.line_of(("question", number)), f"question {number + 1} ({each.name})", words))
    if found:
        raise FileProblems(path, found)
    return MappingProxyType({each.name: each for each in bank.question})
