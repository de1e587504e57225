"""Bad input of every kind is accepted or refused with one plain message; the fuzzer's own judge notices everything else."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnlab.data import DataError
from benchmarks.fuzz.__main__ import content_of
from benchmarks.fuzz.judge import CANARY, Kind, Place, judge
from benchmarks.fuzz.kinds import NAMES, kind_of

INPUTS = {
    "image": 240,
    "archive": 60,
    "table": 60,
    "checkpoint": 50,
    "run folder": 60,
    "title": 40,
    "command": 30,
}
"""Of each kind, after the known ones and beside `QUICK` of these. Links to pages have a test of their own."""
SEED = 20_261_127


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path / "place")
    monkeypatch.chdir(tmp_path)
    with restored():
        made.enter()
        yield made


@contextmanager
def restored() -> Iterator[None]:
    """Undoes what `Place.enter` changes for the whole process."""
    variables, temporary = dict(os.environ), tempfile.tempdir
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        tempfile.tempdir = temporary


def broken(kind: Kind, place: Place, numbers: range) -> list[str]:
    """What is broken of these inputs. Bombs are left to the recorded runs: only there memory and time are limited."""
    found = []
    for number in numbers:
        name, content = content_of(kind, SEED, number)
        verdict = judge(kind, content, place)
        if verdict.outcome == "broken":
            found.append(f"{kind.name}, {name}: {verdict.said}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", list(INPUTS))
def test_bad_input_is_accepted_or_refused_in_plain_words(name: str, place: Place) -> None:
    kind = kind_of(name)
    first = len(kind.known())
    assert broken(kind, place, range(first, first + INPUTS[name])) == []


@pytest.mark.parametrize("name", ["table", "checkpoint", "run folder", "title", "command"])
def test_known_dangers_that_cost_no_time(name: str, place: Place) -> None:
    kind = kind_of(name)
    quick = [number for number, content in enumerate(kind.known().values()) if isinstance(content, bytes)][::3]
    assert [found for number in quick for found in broken(kind, place, range(number, number + 1))] == []


def of_kind(give: object, **limits: float) -> Kind:
    return Kind("test", dict, lambda rng: b"", give, (DataError,), share=1, **limits)  # type: ignore[arg-type]


def raises(error: Exception):
    def give(content: bytes, place: Place) -> None:
        raise error

    return give


def writes(path: str):
    return lambda content, place: (place.root / path).write_bytes(b"")


def makes_canary(content: bytes, place: Place) -> None:
    CANARY.write_bytes(b"")


def takes_memory(content: bytes, place: Place) -> None:
    bytearray(b"x") * (200 << 20)


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (raises(KeyError("a")), "KeyError"),
        (raises(DataError("")), "nothing"),
        (raises(DataError("'NoneType' has no len()")), "NoneType"),
        (raises(DataError("cut off (b'PNG')")), "an internal"),
        (raises(DataError("word " * 1000)), "characters"),
        (writes("beside"), "beside"),
        (writes("tmp/attnlab-open-x"), "attnlab-open-x"),
        (makes_canary, "canary"),
        (takes_memory, "MB"),
    ],
)
def test_the_judge_notices_what_must_not_happen(give: object, said: str, place: Place) -> None:
    verdict = judge(of_kind(give, megabytes=100), b"", place)
    assert verdict.outcome == "broken" and said in verdict.said


def does_nothing(content: bytes, place: Place) -> None:
    return None


@pytest.mark.parametrize(("give", "outcome"), [(does_nothing, "accepted"), (raises(DataError("Say what.")), "refused")])
def test_the_judge_accepts_what_may_happen(give: object, outcome: str, place: Place) -> None:
    assert judge(of_kind(give), b"", place).outcome == outcome


def test_an_input_follows_from_its_number() -> None:
    kind = kind_of("title")
    numbers = range(len(kind.known()) + 5)
    assert [content_of(kind, 3, number) for number in numbers] == [content_of(kind, 3, number) for number in numbers]
    assert set(INPUTS) | {"page"} == set(NAMES)
