"""Opens a path as a source of images: a folder or an archive."""

from __future__ import annotations

import stat
from pathlib import Path

from attnlab.data._dataset import DataError
from attnlab.data._source import FolderSource, Source
from attnlab.data.archive import open_archive


def open_source(path: Path) -> Source:
    """The source at a path; its content decides what it is, not its name.

    Raises:
        DataError: when there is nothing, it may not be read, or it is neither a folder nor a zip or tar archive.
    """
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return FolderSource(path)
        if stat.S_ISREG(kind):
            return open_archive(path)
    except FileNotFoundError:
        raise DataError(f"there is no file or folder {str(path)!r}") from None
    except PermissionError:
        raise DataError(f"{str(path)!r} may not be read by the user that runs attnlab") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    raise DataError(f"{str(path)!r} is neither a folder nor a file")


def readable_file(path: Path) -> Path:
    """The path itself, when a file is there that may be read.

    Raises:
        DataError: when it is anything else; the message says what.
    """
    try:
        kind = path.stat().st_mode
        if stat.S_ISREG(kind):
            path.open("rb").close()
            return path
    except FileNotFoundError:
        raise DataError(f"there is no file {path.name}") from None
    except PermissionError:
        raise DataError(f"{path.name} may not be read by the user that runs attnlab") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    raise DataError(f"{path.name} is {'a folder' if stat.S_ISDIR(kind) else 'a device or a pipe'}, not a file")
