"""Writing a file so that a reader, or a process after a crash, finds the old content or the new, never half of it.

The content goes into a temporary file in the same folder, which is synced and then renamed (POSIX ``rename`` is atomic
within a file system); then the folder is synced, so that the new name survives a power failure too. The names of
temporary files begin with a dot and end in ``.tmp``.

And what a full disk or a read-only one is called.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

RESERVE_BYTES = 1 << 20
"""Free space that must remain after a file is written."""


@contextmanager
def replacing(path: Path, *, sync: bool = True, locked: bool = False) -> Iterator[Path]:
    """Yields a temporary path; the file that is written there becomes ``path`` at the end of the block.

    On an exception ``path`` stays as it was and the temporary file is removed.

    Args:
        sync: ``False`` for what may be lost in a power failure, but not when the process dies.
        locked: the caller holds a lock, so nobody else writes this file. The temporary name is then always the same, and
            a large file that a killed process left half-written is overwritten instead of staying for ever.

    Raises:
        OSError: when the file cannot be written, for example because the disk is full, or because a device or a pipe has its
            name: a rename would put a file in its place, for the whole machine.
    """
    writer = "" if locked else f"{os.getpid()}-{threading.get_ident()}."
    temporary = path.with_name(f".{path.name}.{writer}tmp")
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "this is a device or a pipe, not a file that can be replaced", str(path))
    try:
        yield temporary
        if sync:
            sync_file(temporary)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # the folder may be missing, or a file
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            error.filename = str(path)  # the name that a person knows
        raise
    if sync:
        sync_folder(path.parent)


def write_file(path: Path, fill: Callable[[IO[bytes]], object], *, sync: bool = True) -> None:
    """Lets ``fill`` write the content into a stream; otherwise like `replacing`."""
    with replacing(path, sync=sync) as temporary, temporary.open("wb") as stream:
        fill(stream)


def open_file(path: Path) -> IO[bytes]:
    """Opens a file to read it, if it is one: opening a pipe would wait for somebody who writes into it.

    Raises:
        OSError: when it is something else, or cannot be opened.
    """
    stream = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return stream


def sync_file(path: Path) -> None:
    """Makes the content of a file survive a power failure."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power failure, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def require_space(folder: Path, size: int) -> None:
    """Refuses to begin what would fill the disk.

    Raises:
        OSError: with ``ENOSPC``, when fewer than ``size`` + `RESERVE_BYTES` bytes are free.
    """
    if disk_full(folder, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def disk_full(folder: Path, size: int = 0) -> bool:
    """Whether ``size`` more bytes would leave less than `RESERVE_BYTES` free."""
    return shutil.disk_usage(folder).free < size + RESERVE_BYTES


def why_not_written(error: OSError, folder: Path) -> str:
    """Why something in ``folder`` could not be written, in words: a full disk and a read-only one by name."""
    if is_full(error, folder):
        return "the disk is full; free some space"
    if error.errno == errno.EROFS:
        return "the disk is read-only here; runs can be looked at, but nothing can be changed"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"this program may not write to {folder}"
    return error.strerror or str(error)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an error comes from a full disk. Libraries report that by errors of their own, so the disk is looked at too."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return False
    with suppress(OSError):  # the folder itself may be gone
        return disk_full(folder)
    return False
