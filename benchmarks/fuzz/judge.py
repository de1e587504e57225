"""Gives one input to the package and judges what comes of it. The one rule for every kind is in `judge`."""

from __future__ import annotations

import logging
import os
import random
import re
import resource
import shutil
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from attnlab.readable import readable

CANARY = Path("/tmp/attnlab-fuzz-canary")
"""Code in an input would make this file. Its name is always the same, so that an input can be tried again."""

LONGEST = 1500
"""Characters of a message: what is wrong and what would be right, not the whole file."""

_INTERNAL = re.compile(
    r"Traceback|NoneType|object at 0x|<class |\bErrno\b|Error\(|Exception\b|\w+Error:|pydantic|site-packages|not subscriptable"
    r"|unexpected keyword|has no attribute|invalid literal|index out of range|could not convert|unpack requires|codec can't"
    r"|not enough values|unhashable|recursion depth|Exceeds the limit|set_int_max_str_digits|must be str|(?<!\S)\(?b'|\bdtype\b"
)
"""What only a programmer would understand."""


Known = bytes | Callable[[], bytes]
"""An input, or what makes it where that takes time."""


class Refused(Exception):
    """A refusal that is no exception of the package, as the text that a command prints."""


@dataclass(frozen=True)
class Place:
    """A folder for one process: everything below ``home`` and ``work`` may be written, and nothing beside them.

    Attributes:
        home: ATTNLAB_HOME.
        work: the current folder.
    """

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def scratch(self) -> Path:
        return self.root / "tmp"

    def enter(self) -> None:
        """Makes this process use the place."""
        for folder in (self.home, self.work, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ |= {"ATTNLAB_HOME": str(self.home), "TMPDIR": str(self.scratch)}
        tempfile.tempdir = str(self.scratch)
        os.chdir(self.work)

    def leftovers(self) -> list[str]:
        """What lies where nothing may be written, and temporary files that stayed."""
        known = {self.home, self.work, self.scratch}
        beside = [str(path) for path in self.root.iterdir() if path not in known]
        beside += map(str, self.scratch.glob("attnlab*"))  # libraries keep files of their own there
        return [*beside, *([str(CANARY)] if CANARY.exists() else [])]

    def clear(self, *, home: bool) -> None:
        """Empties the place for the next input."""
        CANARY.unlink(missing_ok=True)
        for folder in (self.work, self.scratch, *([self.home] if home else [])):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(exist_ok=True)
        os.chdir(self.work)


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        known: inputs that were found to be dangerous, here or elsewhere, by name; they are tried first.
        make: another input, from a source of chance.
        give: hands an input to the package; raises one of ``refusals``, or `AssertionError` where a promise is broken.
        refusals: the exceptions whose text is shown to a person.
        share: of the inputs of a run, relative to the other kinds.
        seconds: of CPU, this process and its children together.
        megabytes: of memory, beyond what the process had before.
        own_home: each input meets an empty home.
    """

    name: str
    known: Callable[[], dict[str, Known]]
    make: Callable[[random.Random], bytes]
    give: Callable[[bytes, Place], None]
    refusals: tuple[type[Exception], ...]
    share: int
    seconds: float = 10.0
    megabytes: int = 500
    own_home: bool = True


@dataclass(frozen=True)
class Verdict:
    """What came of an input.

    Attributes:
        outcome: accepted, refused or broken.
        said: the message of a refusal, or what is broken.
        seconds: of CPU.
        megabytes: at the peak, beyond what the process had before.
    """

    outcome: str
    said: str
    seconds: float
    megabytes: float


def judge(kind: Kind, content: bytes, place: Place) -> Verdict:
    """An input is accepted, or refused with one message of plain words, within limits and without traces beside the home."""
    before = _reset_peak()
    began = _cpu()
    outcome, said = "accepted", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.give(content, place)
    except kind.refusals as error:
        outcome, said = "refused", readable(str(error))  # as pages and commands show it
        if trouble := unclear(said):
            outcome, said = "broken", f"{trouble} in the message: {said!r}"
        elif type(error).__module__ == "builtins" and type(error) is not ValueError:
            outcome, said = "broken", f"a {type(error).__name__} of Python's own: {said}"
    except Exception as error:
        outcome, said = "broken", f"{type(error).__name__}: {str(error)[:2000]}\n{''.join(traceback.format_exc()[-3000:])}"
    seconds, megabytes = _cpu() - began, _peak() - before
    if outcome != "broken":
        if left := place.leftovers():
            outcome, said = "broken", f"left behind: {', '.join(left)}"
        elif seconds > kind.seconds:
            outcome, said = "broken", f"took {seconds:.1f} s of CPU, more than {kind.seconds:.0f}; it said: {said}"
        elif megabytes > kind.megabytes:
            outcome, said = "broken", f"took {megabytes:.0f} MB, more than {kind.megabytes}; it said: {said}"
    place.clear(home=kind.own_home)
    return Verdict(outcome, said, seconds, megabytes)


def unclear(message: str) -> str:
    """What keeps a person from understanding a message; empty for a clear one."""
    if not message.strip():
        return "nothing"
    try:
        message.encode()
    except UnicodeEncodeError:
        return "half a character"
    if len(message) > LONGEST:
        return f"{len(message)} characters"
    if found := _INTERNAL.search(message):
        return f"an internal of the program, {found[0]!r},"
    if any(ord(letter) < 32 and letter not in "\n\t" for letter in message):
        return "a control character"
    return ""


def quiet() -> None:
    """Keeps libraries from printing about the inputs."""
    logging.disable(logging.CRITICAL)


def _cpu() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def _reset_peak() -> float:
    """Begins a new measurement of the peak, where the system can; returns the memory now, in MB."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(name: str) -> float:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return 0.0


def limit_memory(gigabytes: int) -> None:
    """A bomb ends in a `MemoryError` of this process instead of taking the machine's memory.

    Args:
        gigabytes: beyond what is mapped now.
    """
    most = (gigabytes << 30) + int(_status("VmSize")) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def changed(content: bytes, rng: random.Random, others: tuple[bytes, ...] = ()) -> bytes:
    """The content with a few changes of the kinds that damage and attacks make."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(data) + 1)
        size = rng.choice((1, 2, 4, 8, rng.randrange(1, 64)))
        match rng.randrange(9):
            case 0 if at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(data):
                data[at] = rng.choice((0, 1, 127, 128, 254, 255, rng.randrange(256)))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + size]
            case 4:
                data[at:at] = bytes(rng.randrange(256) for _ in range(size))
            case 5:
                data[at:at] = data[at : at + size * rng.choice((1, 50))]
            case 6:
                number = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**16 - 1, rng.randrange(2**32)))
                data[at : at + 4] = number.to_bytes(4, rng.choice(("little", "big")))
            case 7 if others:
                other = rng.choice(others)
                begin = rng.randrange(len(other) + 1)
                data[at : at + size] = other[begin : begin + size * rng.choice((1, 20))]
            case _:
                data[at : at + size] = bytes([rng.choice((0, 255, 32, 48))]) * size
    return bytes(data)


NASTY_TEXTS = (
    "",
    " ",
    "\0",
    "\n",
    "../../../etc/passwd",
    "/etc/passwd",
    "C:\\windows\\win.ini",
    "..",
    "a" * 5000,
    "9" * 5000,
    "-1",
    "1e400",
    "NaN",
    "Infinity",
    str(2**40),
    str(-(2**63) - 1),
    "[" * 3000,
    '{"a":' * 500,
    "💥" * 2000,
    "\u202egnp.exe",
    "\ud800",
    "<img src=x onerror=alert(1)>",
    "![a](http://evil.example/q.png)",
    "[a](javascript:alert(1))",
    "$x_{1}$ :red[x] **b** `c`",
    "=1+1",
    "'; DROP TABLE runs; --",
    "{0.__class__}",
    "%s%n",
    "\x1b[31m",
    "none+none",
    "eca+",
)
"""Texts that have broken programs."""


def nasty_text(rng: random.Random) -> str:
    """A text that has broken programs, two of them, or letters from anywhere in Unicode."""
    match rng.randrange(4):
        case 0:
            return rng.choice(NASTY_TEXTS) + rng.choice(NASTY_TEXTS)
        case 1:
            return "".join(
                chr(rng.choice((rng.randrange(128), rng.randrange(0x3000), rng.randrange(0xD800)))) for _ in range(9)
            )
        case _:
            return rng.choice(NASTY_TEXTS)


def nasty_value(rng: random.Random) -> object:
    """A value for JSON that is likely to be wrong; numbers that JSON cannot hold are left out."""
    return rng.choice(
        (
            None,
            True,
            0,
            -1,
            1.5,
            2**31,
            2**40,
            2**63,
            10**30,
            1e300,
            -1e300,
            5e-324,
            float("nan"),
            float("inf"),
            [],
            {},
            [[]],
            {"a": None},
            [1, "a", None],
            nasty_text(rng).encode("utf-8", "replace").decode(),
            "none",
            "small_cnn",
        )
    )


def change_tree(tree: object, rng: random.Random) -> object:
    """The JSON tree with one leaf or branch replaced, removed or added."""
    if isinstance(tree, dict) and tree and rng.random() < 0.9:
        key = rng.choice(list(tree))
        match rng.randrange(8):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                return tree | {nasty_text(rng).encode("utf-8", "replace").decode(): nasty_value(rng)}
            case 2:
                return tree | {key: nasty_value(rng)}
        return tree | {key: change_tree(tree[key], rng)}
    if isinstance(tree, list) and tree and rng.random() < 0.8:
        at = rng.randrange(len(tree))
        return [*tree[:at], change_tree(tree[at], rng), *tree[at + rng.randrange(2) :]]
    return nasty_value(rng)
