"""What can be wrong with the files of a run: each file with contents of every wrong kind, and with changed bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

JSON_FILES = ("config.json", "meta.json", "state.json", "end.json", "owner.json", "queued.json", "dataset.json")
WRONG_CONTENTS = {
    "nothing": b"",
    "half of it": b'{"state": "fini',
    "no object": b"[1, 2]",
    "null": b"null",
    "empty object": b"{}",
    "other kinds": (
        b'{"state": "exploded", "attempt": "one", "order": [], "title": {}, "created": "today", "class_names": 7, "shape": "x",'
        b' "result": [], "reason": null, "process": 5, "step": -1, "dataset": 3}'
    ),
    "not finite": b'{"attempt": 1e999, "created": NaN, "order": Infinity, "step": 1e999, "seed": 1e999, "shape": [NaN, 1, 1]}',
    "absurd numbers": b'{"attempt": %d, "created": 1e300, "order": 1, "step": %d, "shape": [3, 99999999, 1]}'
    % (10**30, 10**30),
    "half a character": b'{"title": "\\ud800", "note": "\\ud800", "reason": "\\ud800", "phase": "\\ud800"}',
    "very deep": b"[" * 200_000,
    "thousands of digits": b'{"attempt": ' + b"9" * 5000 + b"}",
    "no text": b"\xff\xfe\x00",
}


def write(content: bytes) -> Callable[[Path], None]:
    """Puts this content in the place of a file."""
    return lambda path: _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def flip_byte(path: Path) -> None:
    """Changes one bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """Keeps the first third."""
    os.truncate(path, path.stat().st_size // 3)


def empty(path: Path) -> None:
    os.truncate(path, 0)


def delete(path: Path) -> None:
    path.unlink()


def make_folder(path: Path) -> None:
    """Puts a folder in the place of a file."""
    path.unlink(missing_ok=True)
    path.mkdir()


def make_pipe(path: Path) -> None:
    """Puts a pipe in the place of a file, which never answers."""
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    """Puts a link to itself in the place of a file."""
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)


NOT_A_FILE = (make_folder, make_pipe, make_loop)
CHANGED_BYTES = (flip_byte, cut, empty)


def copy_run(run: Path, home: Path, name: str) -> Path:
    """A copy of a run under another name in a home."""
    return Path(shutil.copytree(run, home / "runs" / name))
