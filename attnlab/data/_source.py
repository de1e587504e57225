"""A folder or an archive as a flat listing of names that can be read, never as paths that are opened by name.

Nothing is ever unpacked to disk, so no name in an archive can reach outside. What is read is counted while it is read,
not believed from headers.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from attnlab.data._dataset import DataError
from attnlab.data.decode import MAX_BYTES, ImageRefused


@dataclass(frozen=True)
class Limits:
    """How much is read from a source before it is refused.

    Attributes:
        entries: files and folders.
        total_bytes: of an archive, unpacked.
        file_bytes: of one file; a larger one is skipped.
        ratio: unpacked bytes for one packed byte, once more than ``free_bytes`` are unpacked; pictures hardly shrink.
    """

    entries: int = 200_000
    total_bytes: int = 4 << 30
    file_bytes: int = MAX_BYTES
    ratio: int = 100
    free_bytes: int = 100 << 20


LIMITS = Limits()
FOLDER_ENTRIES = 2_000_000


@dataclass(frozen=True)
class Index:
    """What is in a source.

    Attributes:
        files: POSIX paths relative to the top, in the order they are read fastest.
        folders: likewise, also those that hold no file.
        skipped: "name: reason" of what is not listed and should have been.
    """

    files: tuple[str, ...]
    folders: frozenset[str]
    skipped: tuple[str, ...] = ()


class Source(ABC):
    """A folder or an archive.

    Attributes:
        path: as a person gave it.
        key: names this very content, so that what was decoded from it is found again.
    """

    path: Path
    key: str

    @abstractmethod
    def index(self) -> Index:
        """Lists everything.

        Raises:
            DataError: when it cannot be listed, or holds more than the limits allow.
        """

    @abstractmethod
    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        """The content of the files named, in any order, or why it cannot be had.

        Raises:
            DataError: when more comes out than the limits allow.
        """


class FolderSource(Source):
    """A folder on disk. Links and hidden files are left out, so nothing outside is read.

    Its key is made of names, sizes and times of change, since reading a large folder to name it would take as long as
    decoding it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._index, self.key = self._walk()

    def _walk(self) -> tuple[Index, str]:
        files: list[str] = []
        folders: set[str] = set()
        skipped: list[str] = []
        digest = hashlib.sha256()
        todo = [(self.path, "")]
        while todo:
            folder, prefix = todo.pop()
            try:
                entries = sorted(os.scandir(folder), key=lambda e: e.name)
            except OSError as error:
                skipped.append(f"{prefix or folder}: cannot be read ({error.strerror})")
                continue
            for entry in entries:
                name = prefix + entry.name
                if is_clutter(name):
                    continue
                if entry.is_symlink():
                    skipped.append(f"{name}: a link")
                elif entry.is_dir():
                    folders.add(name)
                    todo.append((Path(entry.path), name + "/"))
                elif entry.is_file():
                    files.append(name)
                    status = entry.stat()
                    digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))
                if len(files) + len(folders) > FOLDER_ENTRIES:
                    raise DataError(f"{self.path} holds more than {FOLDER_ENTRIES:,} files; choose a folder below it")
        return Index(tuple(files), frozenset(folders), tuple(skipped)), digest.hexdigest()

    def index(self) -> Index:
        return self._index

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        listed = set(self._index.files)
        for name in names:
            if name not in listed:
                raise KeyError(name)
            file = self.path / name
            try:
                size = file.stat().st_size
                if size > LIMITS.file_bytes:
                    yield name, ImageRefused(f"the file has {size / 1e6:.0f} MB")
                    continue
                yield name, file.read_bytes()
            except OSError as error:
                yield name, ImageRefused(f"cannot be read ({error.strerror})")


def is_clutter(name: str) -> bool:
    """Hidden files and what operating systems leave behind in folders and archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in PurePosixPath(name).parts)
