"""The metrics file of a run: one JSON object per line, appended by one process, each line by one ``write``.

A process that is killed can leave half a line behind; whoever opens the file next to append removes it. A run that
resumes first drops what was written after its checkpoint, so its file holds every step once.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab.files import open_file, write_file

_COUNT, _NUMBER = (int,), (int, float)
_NEEDED: dict[str, dict[str, tuple[type, ...]]] = {
    "step": {"step": _COUNT, "epoch": _COUNT, "loss": _NUMBER},
    "epoch": {"step": _COUNT, "epoch": _COUNT},
}
"""What the rows of each kind must hold."""
_MOST = 1e30


class MetricsLog:
    """The metrics file, opened to append. A context manager."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.ftruncate(self._descriptor, _whole_lines(path))

    def append(self, row: Mapping[str, Any]) -> None:
        """Adds a line.

        Raises:
            OSError: when the whole line could not be written; the file then ends with the previous line.
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


def truncate(path: Path, step: int, epoch: int) -> None:
    """Keeps the rows of the first ``step`` steps and ``epoch`` epochs, and drops the rest and damaged lines."""
    if not path.exists():
        return
    content = path.read_bytes()
    keep = b"".join(line for line in content.splitlines(keepends=True) if _is_before(line, step, epoch))
    if content.startswith(keep):
        os.truncate(path, len(keep))
    else:
        write_file(path, lambda stream: stream.write(keep))


def _is_before(line: bytes, step: int, epoch: int) -> bool:
    row = parse(line) if line.endswith(b"\n") else None
    return row is not None and (row["epoch"] <= epoch if row["kind"] == "epoch" else row["step"] <= step)


class MetricsReader:
    """Reads a metrics file that another process appends to; each call reads only what is new.

    Args:
        path: the file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._last_line = b""

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """(rows, whether they are the first ones) of the complete lines that were not read before.

        Where the file no longer continues what was read, because a resumed run has truncated it, it is read again from
        the start. Lines that are not rows are left out.
        """
        try:
            with open_file(self._path) as stream:
                stream.seek(self._offset - len(self._last_line))
                text = stream.read()
                if not text.startswith(self._last_line):
                    self._offset, self._last_line = 0, b""
                    stream.seek(0)
                    text = stream.read()
        except OSError:  # there is none yet, or something else is in its place
            self._offset, self._last_line = 0, b""
            return [], True
        first = self._offset == 0
        lines = text[len(self._last_line) : text.rfind(b"\n") + 1].splitlines(keepends=True)
        if lines:
            self._offset += sum(map(len, lines))
            self._last_line = lines[-1]
        rows = (parse(line) for line in lines)
        return [row for row in rows if row is not None], first


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of all complete lines; none when there is no such file."""
    return MetricsReader(path).read()[0]


def parse(line: bytes) -> dict[str, Any] | None:
    """The row in a line; `None` when it is not one, because it was damaged."""
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not all(_is_figure(value) for name, value in row.items() if name != "kind"):
        return None
    needed = _NEEDED.get(str(row.get("kind")))
    if needed is None or any(type(row.get(name)) not in kinds for name, kinds in needed.items()):
        return None
    return row


def _is_figure(value: object) -> bool:
    """Whether a chart can show it: a finite number that is not absurd, yes or no, or nothing."""
    return value is None or (isinstance(value, int | float) and abs(value) < _MOST)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _whole_lines(path: Path) -> int:
    """The number of bytes up to the last line break."""
    return path.read_bytes().rfind(b"\n") + 1
