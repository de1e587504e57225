"""Reading a TOML file into a model, and saying in sentences what is wrong with it and in which line.

`tomllib` and pydantic do not keep the lines of what they read, so they are looked up: the n-th ``[[step]]`` of the text is the
n-th step. No torch.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from attnlab.files import open_file
from attnlab.readable import readable

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[str | int, ...]
"""Where something stands, as pydantic says it: ``("step", 2, "question", "right")``."""

MOST_BYTES = 1 << 20
_HEADER = re.compile(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?")
_KEY = re.compile(r"""\s*(["']?)([\w.-]+)\1\s*=""")
_QUOTES = re.compile(r'"""|' + "'''")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file.

    Attributes:
        line: from 1; 0 where it belongs to no line.
        part: the step or item it is in, as people call it; empty for the file as a whole.
        words: a whole sentence.
    """

    line: int
    part: str
    words: str

    def __str__(self) -> str:
        where = ", ".join(filter(None, (f"line {self.line}" if self.line else "", self.part)))
        return f"{where}: {self.words}" if where else self.words


class FileProblems(ValueError):
    """A file cannot be used; the message has one line for each problem.

    Attributes:
        problems: in the order of the file.
    """

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path, self.problems = path, tuple(sorted(problems, key=lambda problem: problem.line))
        super().__init__("\n".join(f"{path}: {problem}" for problem in self.problems))


@dataclass(frozen=True)
class Text:
    """The text of a file, in which places are looked up.

    Attributes:
        items: what the file is a list of: ``step``, ``question`` or ``prediction``.
    """

    lines: tuple[str, ...]
    items: str

    def line_of(self, place: Place) -> int:
        """The line of a place, from 1; of the item where the key is not found; 0 where that is not found either."""
        inside = len(place) > 1 and place[0] == self.items and isinstance(place[1], int)
        number = int(place[1]) if inside else -1
        keys = [str(part) for part in place[2 if inside else 0 :] if isinstance(part, str)]
        table, at, found, quoted = -1, 0, 0, False
        for line_number, line in enumerate(self.lines, 1):
            if not quoted and (header := _HEADER.fullmatch(line.split("#")[0].rstrip())):
                if line.lstrip().startswith("[[") and header[1] == self.items:
                    table += 1
                    at = line_number if table == number else at
                if table == number and header[1].split(".")[-1] in keys:
                    found = line_number
            elif not quoted and table == number and keys and (key := _KEY.match(line)) and key[2].split(".")[0] in keys:
                found = line_number
            if len(_QUOTES.findall(line)) % 2:
                quoted = not quoted
        return found or at


def read_toml(path: Path, model: type[Model], items: str) -> tuple[Model, Text]:
    """The file as a model, and its text.

    Args:
        items: name of the list in the model, whose entries are named in messages.

    Raises:
        FileProblems: when it cannot be read, is no TOML, or does not have the form of the model.
    """
    try:
        with open_file(path) as stream:
            raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise FileProblems(path, [Problem(0, "", "The file is larger than one megabyte, which no lesson needs.")])
        content = raw.decode("utf-8")
    except OSError as error:
        raise FileProblems(path, [Problem(0, "", f"The file cannot be read: {error.strerror or error}.")]) from None
    except UnicodeDecodeError:
        raise FileProblems(path, [Problem(0, "", "The file is not text in UTF-8.")]) from None
    try:
        tree = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        words, line = str(error), 0
        if place := re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", words):
            line = int(place[1]) if place[1] else len(content.splitlines())
            words = words[: place.start()]
        raise FileProblems(path, [Problem(line, "", f"This is not TOML: {readable(words)}.")]) from None
    except RecursionError:
        raise FileProblems(path, [Problem(0, "", "This is not TOML: it is nested too deeply.")]) from None
    text = Text(tuple(content.splitlines()), items)
    try:
        return model.model_validate(tree), text
    except ValidationError as error:
        found = [Problem(text.line_of(each["loc"]), part_of(tree, each["loc"], items), _words(each)) for each in error.errors()]
        raise FileProblems(path, found) from None


def part_of(tree: Any, place: Place, items: str) -> str:
    """What the item at a place is called: ``step 3 (gates)``; empty where the place is in none."""
    if len(place) < 2 or place[0] != items or not isinstance(place[1], int):
        return ""
    entries = tree.get(items) if isinstance(tree, dict) else None
    item = entries[place[1]] if isinstance(entries, list) and place[1] < len(entries) else None
    name = item.get("name") if isinstance(item, dict) else None
    return f"{items} {place[1] + 1}" + (f" ({readable(name)})" if isinstance(name, str) else "")


def _words(error: Any) -> str:
    """A problem that pydantic has found, in a sentence."""
    parts = [part for part in error["loc"] if isinstance(part, str)]
    key = readable(parts[-1]) if parts else "the file"
    within = f" of {readable(parts[-2])}" if len(parts) > 2 else ""
    context = error.get("ctx") or {}
    match error["type"]:
        case "missing":
            return f"{key}{within} is missing."
        case "extra_forbidden":
            return f"There is no setting {key}{within} here."
        case "string_too_short":
            return f"{key}{within} is empty."
        case "string_too_long":
            return f"{key}{within} is longer than {context.get('max_length')} characters."
        case "string_pattern_mismatch":
            return f"{key}{within} can hold small letters, digits and hyphens only, at most 60; it is {error['input']!r}."
        case "value_error":
            return f"{readable(str(context.get('error', error['msg'])))}."
        case _:
            return f"{key}{within} is wrong: {error['msg'][0].lower()}{readable(error['msg'][1:])}."
