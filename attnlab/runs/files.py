"""JSON files of a home, and the space that must be left on its disk."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab.files import write_file
from attnlab.runs.errors import FolderError

RESERVE_BYTES = 1 << 20
"""Free space that must remain after a file is written."""


def write_json(path: Path, tree: Mapping[str, Any], *, sync: bool = True) -> None:
    """Writes strict JSON (no NaN); atomic, see `attnlab.files`."""
    text = json.dumps(tree, indent=1, allow_nan=False).encode()
    write_file(path, lambda stream: stream.write(text), sync=sync)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; `None` when there is no such file.

    Raises:
        FolderError: when the file does not hold a JSON object.
    """
    try:
        tree = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise FolderError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(tree, dict):
        raise FolderError(f"{path} holds {type(tree).__name__} where a JSON object is expected")
    return tree


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
