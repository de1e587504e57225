"""The metrics file of a run: one JSON object a line, appended by one process, each line by one ``write``.

A process that is killed can leave half a line behind; whoever opens the file to append cuts it off. A run that resumes
cuts back to where its checkpoint was taken, so the file of a resumed run holds every step once.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class MetricsLog:
    """The metrics file, opened to append. A context manager."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._descriptor, _whole_lines(path))

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a line.

        Raises:
            OSError: when it could not be written whole; the file then ends with the line before.
        """
        line = json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        size = os.fstat(self._descriptor).st_size
        try:
            written = os.write(self._descriptor, line)
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def cut_back(path: Path, step: int, epoch: int) -> None:
    """Keeps what had happened after ``step`` steps and ``epoch`` whole epochs, and drops the rest."""
    if not path.exists():
        return
    keep = 0
    for line in path.read_bytes()[: _whole_lines(path)].splitlines(keepends=True):
        row = parse(line)
        if row is None or (row["epoch"] > epoch if row["kind"] == "epoch" else row["step"] > step):
            break
        keep += len(line)
    os.truncate(path, keep)


def read_rows(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """(rows, offset to go on from) of the whole lines behind a byte offset; a line that is no JSON is left out."""
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            text = stream.read()
    except FileNotFoundError:
        return [], 0
    end = text.rfind(b"\n") + 1
    rows = (parse(line) for line in text[:end].splitlines())
    return [row for row in rows if row is not None], offset + end


def parse(line: bytes) -> dict[str, Any] | None:
    """The row in a line; `None` when there is none."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and {"kind", "step", "epoch"} <= row.keys() else None


def _whole_lines(path: Path) -> int:
    """Bytes up to the last line break."""
    return path.read_bytes().rfind(b"\n") + 1
