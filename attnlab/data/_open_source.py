"""Opens a path as a source of images: a folder or an archive."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attnlab.data._dataset import DataError
from attnlab.data._source import FolderSource, Source
from attnlab.data.archive import open_archive


def open_source(path: Path, name_encoding: str = "auto") -> Source:
    """The source at a path; its content decides what it is, not its name.

    Args:
        name_encoding: how the names in an archive are written for which it does not say it.

    Raises:
        DataError: when there is nothing, it may not be read, or it is neither a folder nor a zip or tar archive.
    """
    with _told_of(repr(str(path)), f"there is no file or folder {str(path)!r}"):
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return FolderSource(path)
        if stat.S_ISREG(kind):
            return open_archive(path, name_encoding=name_encoding)
    raise DataError(f"{str(path)!r} is neither a folder nor a file")


def is_there(path: Path) -> bool:
    """Whether something is at a path.

    Raises:
        DataError: when that may not be known.
    """
    with _told_of(repr(str(path)), ""):
        return path.exists()


def readable_file(path: Path) -> Path:
    """The path itself, when a file is there that may be read.

    Raises:
        DataError: when it is anything else; the message says what.
    """
    with _told_of(path.name, f"there is no file {path.name}"):
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
            return path
    raise DataError(f"{path.name} is {'a folder' if stat.S_ISDIR(kind) else 'a device or a pipe'}, not a file")


@contextmanager
def _told_of(name: str, missing: str) -> Iterator[None]:
    """Raises what the system says of a path as `DataError`: ``missing`` where there is nothing, else a sentence on ``name``."""
    try:
        yield
    except FileNotFoundError:
        raise DataError(missing) from None
    except PermissionError:
        raise DataError(f"{name} may not be read by the user that runs attnlab") from None
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise DataError(f"{name} cannot be read ({getattr(error, 'strerror', None) or error})") from error
