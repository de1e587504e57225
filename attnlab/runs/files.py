"""JSON files of a home."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attnlab.files import open_file, write_file
from attnlab.readable import json_kind, why_not_json
from attnlab.runs.errors import FolderError

MOST_BYTES = 1 << 26
"""The largest JSON file that is read."""


def write_json(path: Path, tree: Mapping[str, Any], *, sync: bool = True) -> None:
    """Writes strict JSON (no NaN); atomic, see `attnlab.files`. Half of a character, which `read_json` refuses, becomes a ?."""
    text = json.dumps(tree, indent=1, allow_nan=False).encode()
    if b"\\ud" in text:
        text = json.dumps(tree, indent=1, allow_nan=False, ensure_ascii=False).encode("utf-8", "replace")
    write_file(path, lambda stream: stream.write(text), sync=sync)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; `None` when there is no such file.

    Raises:
        FolderError: when the file cannot be read, or does not hold a JSON object.
    """
    content = read_small(path)
    if content is None:
        return None
    try:
        tree = json.loads(content)
        if b"\\u" in content:  # half of a surrogate pair is valid JSON, but no text that could be stored or shown
            json.dumps(tree, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise FolderError(f"{short(path)} is not valid JSON: {why_not_json(error)}") from error
    if not isinstance(tree, dict):
        raise FolderError(f"{short(path)} holds {json_kind(tree)} where a JSON object is expected")
    return tree


def read_small(path: Path) -> bytes | None:
    """The content of a file of settings or figures; `None` when there is no such file.

    Raises:
        FolderError: when it is not a file, may not be read, or is larger than `MOST_BYTES`.
    """
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MOST_BYTES:
                raise FolderError(f"{short(path)} has {size:,} bytes; at most {MOST_BYTES:,} are expected")
            return stream.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise FolderError(f"{short(path)} cannot be read: {error.strerror or error}") from error


def short(path: Path) -> str:
    """What a file is called in messages: its folder and its name. Where the home lies is nobody else's business."""
    return f"{path.parent.name}/{path.name}"
