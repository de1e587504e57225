"""Opens a path as a source of images: a folder or an archive."""

from __future__ import annotations

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
        if path.is_dir():
            return FolderSource(path)
        if path.is_file():
            return open_archive(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    raise DataError(f"there is no file or folder {str(path)!r}")
