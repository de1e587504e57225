"""How a folder or archive was read, as one description for people: on the command line, in the app and in JSON.

It is made from the listing and the labels of the three parts, before any pixel is decoded; after a training it also holds
the pictures that turned out not to be decodable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

TITLES = {"train": "Training", "validation": "Validation", "test": "Test"}
SHOWN_NAMES = 3


@dataclass(frozen=True)
class Choice:
    """Another way to read a source.

    Attributes:
        label: what it would mean, as a sentence without a full stop.
        options: the options that ask for it.
    """

    label: str
    options: dict[str, Any]


@dataclass(frozen=True)
class PartReading:
    """One part of a data set.

    Attributes:
        part: train, validation or test.
        origin: where it comes from: a folder, a column of a table, or a draw.
        counts: pictures of each class, in label order.
    """

    part: str
    origin: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class LeftOut:
    """Files that are not used.

    Attributes:
        reason: why, the same for all of them.
        count: how many.
        names: up to three of them.
    """

    reason: str
    count: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {self.count - len(self.names):,} more" if self.count > len(self.names) else ""
        return f"{counted(self.count, 'file')}: {self.reason} ({', '.join(self.names)}{more})"


@dataclass(frozen=True)
class Reading:
    """How a folder or archive was read.

    Attributes:
        sentence: in plain words.
        layout: the value of the option ``layout`` that means the same.
        class_names: in label order.
        parts: for training, validation and testing, in this order.
        masks: pictures that have a mask of their object.
        left_out: what is not used, by reason.
        warnings: what a person should know before a training, as sentences.
        choices: other ways to read the same source.
    """

    sentence: str
    layout: str
    class_names: tuple[str, ...]
    parts: tuple[PartReading, ...]
    masks: int = 0
    left_out: tuple[LeftOut, ...] = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()

    def tree(self) -> dict[str, Any]:
        """As JSON holds it."""
        tree = asdict(self)
        for part in tree["parts"]:
            part["counts"] = dict(zip(self.class_names, part["counts"], strict=True))
        return tree

    def rows(self) -> list[tuple[str, ...]]:
        """The table: one row per class with its pictures in each part, then the sum."""
        counts = [(name, *(part.counts[label] for part in self.parts)) for label, name in enumerate(self.class_names)]
        counts.append(("all classes", *(sum(part.counts) for part in self.parts)))
        return [(str(name), *(f"{count:,}" for count in rest)) for name, *rest in counts]

    def origins(self) -> list[str]:
        """Where each part comes from, one line per part."""
        return [f"{TITLES[part.part]}: {part.origin}" for part in self.parts]

    @property
    def header(self) -> tuple[str, ...]:
        """The header of `rows`."""
        return ("class", *(TITLES[part.part].lower() for part in self.parts))

    @property
    def left_out_count(self) -> int:
        return sum(entry.count for entry in self.left_out)


def group(skipped: Sequence[tuple[str, str]]) -> tuple[LeftOut, ...]:
    """Files that are left out, given as (name, reason), by reason, the most frequent first."""
    names: dict[str, list[str]] = {}
    for name, reason in skipped:
        names.setdefault(reason, []).append(name)
    groups = [LeftOut(reason, len(own), tuple(sorted(own)[:SHOWN_NAMES])) for reason, own in names.items()]
    return tuple(sorted(groups, key=lambda entry: (-entry.count, entry.reason)))


def enumerated(names: Sequence[str], most: int = 6) -> str:
    """Names as a person lists them: ``a, b and c``, or the first ones ``and 4 more``."""
    shown = list(names[:most]) + ([f"{len(names) - most:,} more"] if len(names) > most else [])
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]])) if shown else "none"


def counted(number: int, what: str) -> str:
    """``1 file``, ``1,200 files``."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"
