"""Archives that people upload: kept under their content's hash, so that the same archive is the same data set.

What an upload is gets told by its content, through the same reader as every archive, before it is kept under a name.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import uuid
from pathlib import Path, PurePosixPath
from typing import IO

from attnlab.data._dataset import DataError
from attnlab.data.archive import open_archive
from attnlab.paths import uploads_dir

SUFFIXES = ("zip", "tar", "tgz", "gz", "xz", "bz2")
LEAST_FREE_BYTES = 1 << 30
"""An upload is refused where it would leave less than this on the disk: runs need it for their checkpoints."""


def keep_upload(name: str, file: IO[bytes]) -> Path:
    """Where the archive lies from now on.

    Args:
        name: as the browser gave it; only its letters and its suffix go into the name of the file.
        file: at its start; copied piece by piece.

    Raises:
        DataError: when it is no archive that can be read, or the disk is too full for it.
    """
    uploads_dir().mkdir(parents=True, exist_ok=True)
    draft = uploads_dir() / f".new-{uuid.uuid4().hex}"
    try:
        with draft.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        if shutil.disk_usage(draft).free < LEAST_FREE_BYTES:
            raise DataError(f"there is no room for {name}: less than {LEAST_FREE_BYTES >> 30} GiB would be left on the disk")
        with draft.open("rb") as copy:
            digest = hashlib.file_digest(copy, "sha256").hexdigest()
        try:
            open_archive(draft).index()
        except DataError as error:
            raise DataError(str(error).replace(str(draft), name)) from error
        kept = uploads_dir() / f"{_stem(name)}-{digest[:10]}{_suffix(name)}"
        draft.replace(kept)
    except OSError as error:
        raise DataError(f"{name} cannot be kept: {error.strerror or error}") from error
    finally:
        draft.unlink(missing_ok=True)
    return kept


def _stem(name: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", PurePosixPath(name).name.split(".")[0])[:40] or "upload"


def _suffix(name: str) -> str:
    endings = re.findall(rf"\.(?:{'|'.join(SUFFIXES)})(?=\.|$)", name.lower())
    return "".join(endings[-2:])
