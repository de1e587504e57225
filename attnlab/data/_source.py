"""A folder or an archive as a flat listing of names to read from; a name is never joined to a path without a check.

Nothing is unpacked to disk, so no name in an archive can lead outside. Sizes are counted while reading; headers are not
trusted. Names that are not UTF-8 are made readable here, at the door, so that everything behind it can show, store and
compare them as text.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from unicodedata import normalize

from attnlab.data._dataset import DataError
from attnlab.data.decode import MAX_BYTES, SUFFIXES, ImageRefused
from attnlab.data.reading import Choice


@dataclass(frozen=True)
class Limits:
    """The limits beyond which a source is refused.

    Attributes:
        entries: files and folders.
        total_bytes: of an archive, unpacked.
        file_bytes: of one file; larger files are skipped.
        ratio: unpacked bytes per packed byte, beyond the first ``free_bytes``; images hardly compress further.
    """

    entries: int = 200_000
    total_bytes: int = 4 << 30
    file_bytes: int = MAX_BYTES
    ratio: int = 100
    free_bytes: int = 100 << 20


LIMITS = Limits()
FOLDER_ENTRIES = 2_000_000
LOOKED_AT, LEAST_PICTURES = 20_000, 0.02
"""A folder is not walked further when of its first so many files fewer than this share have the name of a picture or table."""
_USEFUL = (*SUFFIXES, ".csv", ".tsv")
HEAD_BYTES = 32
"""As many first bytes of a file tell its format."""


class Skip(NamedTuple):
    """A file that is left out, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class Index:
    """The content of a source.

    Attributes:
        files: POSIX paths relative to the top, in the order in which they are read fastest.
        folders: likewise, including empty ones.
        skipped: entries that cannot be listed.
        warnings: what a person should know, as sentences.
        choices: other ways to read the names.
    """

    files: tuple[str, ...]
    folders: frozenset[str]
    skipped: tuple[Skip, ...] = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()


class Source(ABC):
    """A folder or an archive.

    Attributes:
        path: as requested.
        key: identifies the content, so that images decoded from it are found again.
    """

    path: Path
    key: str

    @abstractmethod
    def index(self) -> Index:
        """Lists everything.

        Raises:
            DataError: when it cannot be listed, or exceeds the limits.
        """

    @abstractmethod
    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        """The content of the named files, in any order, or why it cannot be read.

        Raises:
            DataError: when the content exceeds the limits.
        """

    @abstractmethod
    def heads(self, names: Collection[str]) -> dict[str, bytes]:
        """The first `HEAD_BYTES` of the named files; fast enough to look at every picture before a training."""


class Names:
    """Readable names for those of a file system or archive, no two the same.

    Bytes that are not UTF-8, which Python keeps as lone surrogates, become the replacement character. Accented letters are
    written as one character each (Unicode NFC): a Mac writes them as two, and a class must not be another one for that.
    When two names become the same by either, the later ones get a number.
    """

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def __call__(self, name: str) -> str:
        """The readable name of a relative POSIX path, the same each time."""
        if name.isascii():
            return name
        readable = ""
        for part in name.split("/"):
            readable = self._part(readable, part)
        return readable

    def _part(self, folder: str, part: str) -> str:
        """The readable path of an entry in a folder whose readable path is given."""
        if (folder, part) not in self._given:
            plain = normalize("NFC", part.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
            stem, dot, suffix = plain.rpartition(".") if "." in plain[1:] else (plain, "", "")
            path = prefix = f"{folder}/" if folder else ""
            path += plain
            number = 2
            while path in self._taken:
                path = f"{prefix}{stem} ({number}){dot}{suffix}"
                number += 1
            self._taken.add(path)
            self._given[folder, part] = path
        return self._given[folder, part]


class FolderSource(Source):
    """A folder on disk. Links and hidden files are left out, so nothing outside is read.

    Its key is made of names, sizes and modification times, since hashing a large folder would take as long as decoding it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, str] = {}  # readable name -> name on disk
        self._index, self.key = self._walk()

    def _walk(self) -> tuple[Index, str]:
        files = self._files
        folders: set[str] = set()
        skipped: list[Skip] = []
        digest = hashlib.sha256()
        readable = Names()
        todo = [(self.path, "")]
        useful = 0
        while todo:
            folder, prefix = todo.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda e: e.name)
            except OSError as error:
                if not prefix:
                    raise
                skipped.append(Skip(readable(prefix.rstrip("/")) or ".", f"the folder cannot be read ({error.strerror})"))
                continue
            for entry in entries:
                name = prefix + entry.name
                if is_clutter(name):
                    continue
                if entry.is_symlink():
                    skipped.append(Skip(readable(name), "a link"))
                elif entry.is_dir():
                    folders.add(readable(name))
                    todo.append((Path(entry.path), name + "/"))
                elif entry.is_file():
                    files[readable(name)] = name
                    useful += name.lower().endswith(_USEFUL)
                    status = entry.stat()
                    digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
                count = len(files) + len(folders)
                if count == LOOKED_AT and useful < LEAST_PICTURES * LOOKED_AT:
                    raise DataError(
                        f"{self.path} is not a folder of images: of the first {LOOKED_AT:,} files and folders inside it, "
                        f"{useful:,} are pictures or tables. Choose a folder inside it"
                    )
                if count > FOLDER_ENTRIES:
                    raise DataError(f"{self.path} contains more than {FOLDER_ENTRIES:,} files; choose a folder inside it")
        return Index(tuple(files), frozenset(folders), tuple(skipped)), digest.hexdigest()

    def index(self) -> Index:
        return self._index

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        for name in names:
            file = self.path / self._files[name]
            try:
                size = file.stat().st_size
                if size > LIMITS.file_bytes:
                    yield name, ImageRefused(f"the file has {size / 1e6:.0f} MB")
                    continue
                yield name, file.read_bytes()
            except OSError as error:
                yield name, ImageRefused(f"cannot be read ({error.strerror})")

    def heads(self, names: Collection[str]) -> dict[str, bytes]:
        heads = {}
        for name in names:
            try:
                with (self.path / self._files[name]).open("rb", buffering=0) as file:
                    heads[name] = file.read(HEAD_BYTES)
            except OSError:
                continue  # `read` says why
        return heads


def is_clutter(name: str) -> bool:
    """Whether a name is hidden or one of the files that operating systems add to folders and archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in PurePosixPath(name).parts)
