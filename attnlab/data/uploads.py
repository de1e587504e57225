"""Uploaded archives, stored under the hash of their content, so that the same archive is the same data set.

An upload is opened by the same reader as every archive before it is stored.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import uuid
from pathlib import Path, PurePosixPath
from typing import IO

from attnlab.data._dataset import DataError
from attnlab.data.archive import open_archive
from attnlab.files import why_not_written, write_file
from attnlab.paths import uploads_dir

SUFFIXES = ("zip", "tar", "tgz", "gz", "xz", "bz2")
_OWNERS = ".owners.json"
_owners_lock = threading.Lock()
LEAST_FREE_BYTES = 1 << 30
"""An upload is refused when it would leave less free space: runs need it for their checkpoints."""


def keep_upload(name: str, file: IO[bytes], browser: str = "") -> Path:
    """Stores an uploaded archive and returns its path.

    Args:
        name: from the browser; only its letters and its suffix become part of the file name.
        file: at its start; copied in pieces.
        browser: that it belongs to; empty when it belongs to the machine's owner.

    Raises:
        DataError: when it is not a readable archive, or the disk is too full.
    """
    uploads_dir().mkdir(parents=True, exist_ok=True)
    draft = uploads_dir() / f".new-{uuid.uuid4().hex}"
    try:
        with draft.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        if shutil.disk_usage(draft).free < LEAST_FREE_BYTES:
            raise DataError(f"there is not enough disk space for {name}: less than {LEAST_FREE_BYTES >> 30} GiB would be left")
        with draft.open("rb") as copy:
            digest = hashlib.file_digest(copy, "sha256").hexdigest()
        try:
            open_archive(draft).index()
        except DataError as error:
            raise DataError(str(error).replace(str(draft), name)) from error
        path = uploads_dir() / f"{_stem(name)}-{digest[:10]}{_suffix(name)}"
        if browser:  # first, since a file that belongs to nobody would never be deleted
            own_upload(path, browser)
        draft.replace(path)
    except OSError as error:
        raise DataError(f"{name} cannot be stored: {why_not_written(error, uploads_dir())}") from error
    finally:
        draft.unlink(missing_ok=True)
    return path


def own_upload(path: Path, browser: str) -> None:
    """Notes that a browser has uploaded a stored archive; several may have uploaded the same."""
    with _owners_lock:
        owners = _owners()
        owners[path.name] = sorted({*owners.get(path.name, ()), browser})
        write_file(uploads_dir() / _OWNERS, lambda stream: stream.write(json.dumps(owners, indent=1).encode()))


def kept_uploads(browser: str) -> list[Path]:
    """The stored archives that a browser has uploaded."""
    with _owners_lock:
        owners = _owners()
    paths = [uploads_dir() / name for name, browsers in owners.items() if browser in browsers]
    return [path for path in paths if path.is_file()]


def _owners() -> dict[str, list[str]]:
    """File name -> browsers. A damaged list counts as empty: then the archives belong to the machine's owner."""
    try:
        tree = json.loads((uploads_dir() / _OWNERS).read_bytes())
        return {str(name): [str(browser) for browser in browsers] for name, browsers in tree.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _stem(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", PurePosixPath(name).name.split(".")[0])[:40] or "upload"


def _suffix(name: str) -> str:
    endings = re.findall(rf"\.(?:{'|'.join(SUFFIXES)})(?=\.|$)", name.lower())
    return "".join(endings[-2:])
