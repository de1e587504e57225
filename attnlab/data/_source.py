"""A folder or an archive as a flat listing of names to read from; a name is never joined to a path without a check.

Nothing is unpacked to disk, so no name in an archive can lead outside. Sizes are counted while reading; headers are not
trusted.
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


@dataclass(frozen=True)
class Index:
    """The content of a source.

    Attributes:
        files: POSIX paths relative to the top, in the order in which they are read fastest.
        folders: likewise, including empty ones.
        skipped: "name: reason" of entries that cannot be listed.
    """

    files: tuple[str, ...]
    folders: frozenset[str]
    skipped: tuple[str, ...] = ()


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


class FolderSource(Source):
    """A folder on disk. Links and hidden files are left out, so nothing outside is read.

    Its key is made of names, sizes and modification times, since hashing a large folder would take as long as decoding it.
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
                    raise DataError(f"{self.path} contains more than {FOLDER_ENTRIES:,} files; choose a folder inside it")
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
    """Whether a name is hidden or one of the files that operating systems add to folders and archives."""
    return any(part.startswith(".") or part in ("__MACOSX", "Thumbs.db", "desktop.ini") for part in PurePosixPath(name).parts)
