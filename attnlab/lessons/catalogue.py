"""All lessons: those that come with attnlab, and those of others, one file each.

Lessons of others lie in ``lessons/`` of the home, or in ``lessons/`` of a plug-in folder (see `attnlab.plugins`). No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from attnlab import paths, plugins
from attnlab.lessons.checking import check_lesson
from attnlab.lessons.lesson import Lesson
from attnlab.lessons.toml import FileProblems

SHIPPED = Path(__file__).parent / "shipped"


def lesson_files() -> dict[str, Path]:
    """Name -> file, the shipped ones first, in the order of their file names; a name that occurs twice is the first one's.

    The name is that of the file, without a number in front, which only orders the files of a folder.
    """
    folders = (SHIPPED, paths.home() / "lessons", *(folder / "lessons" for folder in plugins.folders()))
    files: dict[str, Path] = {}
    for file in (file for folder in folders for file in sorted(folder.glob("*.toml"))):
        files.setdefault(lesson_name(file), file)
    return files


def lesson_name(file: Path) -> str:
    """What a lesson is called in links: ``2-what-and-where.toml`` -> ``what-and-where``."""
    number, _, rest = file.stem.partition("-")
    return rest if number.isdecimal() and rest else file.stem


def read_lesson(file: Path) -> Lesson:
    """A lesson that can be given.

    Raises:
        FileProblems: when something is wrong with it.
    """
    return _read(file, _stamp(file), paths.DEMO_RUNS, _stamp(paths.DEMO_RUNS))


def lessons() -> tuple[Mapping[str, Lesson], list[FileProblems]]:
    """Name -> lesson, and what is wrong with the files that are left out."""
    found: dict[str, Lesson] = {}
    left_out = []
    for name, file in lesson_files().items():
        try:
            found[name] = read_lesson(file)
        except FileProblems as problems:
            left_out.append(problems)
    return MappingProxyType(found), left_out


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=128)
def _read(file: Path, stamp: int, runs: Path, runs_stamp: int) -> Lesson:
    """The check names shipped runs, so it is repeated when one of them comes or goes."""
    return check_lesson(file)
