"""Plug-ins: attention variants, networks and data sets that live outside this package.

A plug-in is a Python module whose import registers something. It is found in one of two places:

* an installed package with an entry point in the group ``attnlab.attention``, ``attnlab.models`` or ``attnlab.data``;
  the entry point names a module, or an object in one;
* a folder named by ``ATTNLAB_PLUGINS`` (several are separated as in ``PATH``): every ``*.py`` in it is imported, except
  names that begin with an underscore, which the others can import (``from ._shared import ...``).

Each process imports them once, when a registry is first read. A plug-in that fails is left out and described by a
`Failure`; everything else works. Imports nothing of ours and no torch.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from traceback import walk_tb
from types import ModuleType

GROUPS = ("attnlab.attention", "attnlab.models", "attnlab.data")
VARIABLE = "ATTNLAB_PLUGINS"


@dataclass(frozen=True)
class Failure:
    """Why a plug-in could not be loaded. As text it is one sentence.

    Attributes:
        plugin: the file, or the entry point with its package.
        file: the file of the plug-in in which it failed; empty when none was reached.
        line: in that file; 0 when unknown.
        reason: type and message of the error.
    """

    plugin: str
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        parts = [] if self.file == self.plugin else [self.file]
        where = f" ({', '.join([*parts, f'line {self.line}'])})" if self.line else ""
        return f"the plug-in {self.plugin} could not be loaded: {self.reason}{where}"


_lock = threading.RLock()  # a plug-in may read a registry while it is imported
_failures: dict[str, list[Failure]] = {}
_packages: set[str] = set()
"""The packages that the code of plug-ins is in."""


def load_plugins(group: str) -> list[Failure]:
    """Imports the plug-ins of a group and those in folders, the first time. Returns those that could not be loaded.

    Args:
        group: one of `GROUPS`.
    """
    with _lock:
        for source, plugins in ((VARIABLE, _in_folders), (group, _installed)):
            if source not in _failures:
                _failures[source] = []
                for name, package, load in plugins(source):
                    _packages.add(package)
                    if failure := _failure(name, package, load):
                        _failures[source].append(failure)
        return [*_failures[VARIABLE], *_failures[group]]


def failures() -> list[Failure]:
    """The plug-ins that could not be loaded, of those that were looked for so far."""
    with _lock:
        return [failure for of_source in _failures.values() for failure in of_source]


def folders() -> list[Path]:
    """The plug-in folders as absolute paths, in the order of ``ATTNLAB_PLUGINS``."""
    parts = os.environ.get(VARIABLE, "").split(os.pathsep)
    return list(dict.fromkeys(Path(part).expanduser().resolve() for part in parts if part))


Plugin = tuple[str, str, Callable[[], object]]
"""What a plug-in is called in messages, the package its code is in, and what loads it."""


def _installed(group: str) -> Iterator[Plugin]:
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        yield _described(entry), entry.module.split(".")[0], entry.load


def _described(entry: EntryPoint) -> str:
    owner = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    return f"{entry.name} = {entry.value}{owner}"


def _in_folders(variable: str) -> Iterator[Plugin]:
    for folder in folders():
        if not folder.is_dir():
            yield str(folder), "", _refuse_folder
            continue
        package = _as_package(folder)
        for file in sorted(folder.glob("*.py")):
            if not file.name.startswith("_"):
                yield str(file), package, partial(import_module, f"{package}.{file.stem}")


def _refuse_folder() -> None:
    raise NotADirectoryError(f"{VARIABLE} names it, but there is no such folder")


def _as_package(folder: Path) -> str:
    """Makes the folder a package of its own, so that its files can share code and cannot hide other modules."""
    name = f"_attnlab_plugins_{hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]}"
    package = ModuleType(name, f"Plug-ins in {folder}")
    package.__path__ = [str(folder)]
    sys.modules[name] = package
    return name


def _failure(plugin: str, package: str, load: Callable[[], object]) -> Failure | None:
    """Loads a plug-in; what went wrong, if anything did."""
    try:
        load()
    except (Exception, SystemExit) as error:
        file, line = _place(error, package)
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return Failure(plugin, file, line, " ".join(f"{type(error).__name__}: {message}".split()))
    return None


def with_place(error: BaseException) -> str:
    """An error in words, with the file and line of the plug-in in which it was raised, if it was raised in one."""
    text = str(error) if isinstance(error, ValueError) else " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")
    for package in _packages:
        file, line = _place(error, package)
        if file:
            return f"{text} ({file}, line {line})"
    return text


def _place(error: BaseException, package: str) -> tuple[str, int]:
    """File and line of an error: where the source cannot be read, else the innermost line in the plug-in's own package."""
    if isinstance(error, SyntaxError) and error.filename:
        return error.filename, error.lineno or 0
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in walk_tb(error.__traceback__)
        if frame.f_globals.get("__name__", "").split(".")[0] == package
    ]
    return frames[-1] if frames else ("", 0)
