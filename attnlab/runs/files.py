"""Writing files so that a reader, or a process after a crash, finds the old content or the new, never half of it.

A file is written under a temporary name in its own folder, synced, and renamed (POSIX ``rename`` is atomic within a
file system); then the folder is synced, so that the name itself survives a loss of power. Temporary names begin with a
dot, end in ``.tmp``, and are the writing thread's own.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from attnlab.runs.errors import FolderError

RESERVE_BYTES = 1 << 20
"""Free space that must remain after a file is written."""


def write_file(path: Path, fill: Callable[[IO[bytes]], object], *, sync: bool = True) -> None:
    """Lets ``fill`` write into a file that appears under ``path`` when it is complete; on an error nothing is left.

    Args:
        sync: ``False`` for what may be lost with the power, but not with the process.

    Raises:
        OSError: when it cannot be written, also when the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as stream:
            fill(stream)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync:
        sync_folder(path.parent)


def write_json(path: Path, tree: Mapping[str, Any], *, sync: bool = True) -> None:
    """Writes strict JSON (no NaN) as `write_file` does."""
    text = json.dumps(tree, indent=1, allow_nan=False).encode()
    write_file(path, lambda stream: stream.write(text), sync=sync)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; `None` when there is no such file.

    Raises:
        FolderError: when it is no JSON object.
    """
    try:
        tree = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FolderError(f"{path} is no JSON: {error}") from error
    if not isinstance(tree, dict):
        raise FolderError(f"{path} holds {type(tree).__name__} where a JSON object is expected")
    return tree


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder last through a loss of power, where the system can."""
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
    """Judged by the free space: libraries report a full disk by various errors of their own."""
    return shutil.disk_usage(folder).free < size + RESERVE_BYTES
