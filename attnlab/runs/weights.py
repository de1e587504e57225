"""Files of weights that say themselves whether they are as they were written.

A file of safetensors holds a header, in JSON, and then the bytes of all tensors. `seal` adds a digest of both to the header;
`verify` computes it again. So a changed byte is found wherever the file is copied to. Files of earlier versions have no
digest and are taken as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from safetensors import SafetensorError

from attnlab.runs.errors import FolderError

Tensor = TypeVar("Tensor")
_DIGEST = "sha256"
_METADATA = "__metadata__"
_MOST_HEADER = 1 << 24


def seal(content: bytes) -> bytes:
    """The content of a safetensors file with the digest in its metadata."""
    size = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + size]), memoryview(content)[8 + size :]
    digest = _beginning(header)
    digest.update(data)
    header[_METADATA] = header.get(_METADATA, {}) | {_DIGEST: digest.hexdigest()}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight bytes
    return b"".join((len(text).to_bytes(8, "little"), text, data))


def verify(path: Path) -> None:
    """Compares a file of weights with the digest in it, if it has one.

    Raises:
        FolderError: when they differ, or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            header = _header(stream)
            expected = header.get(_METADATA, {}).get(_DIGEST)
            if expected is None:
                return
            digest = _beginning(header)
            while block := stream.read(1 << 20):
                digest.update(block)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise FolderError(f"{path.parent.name}/{path.name} cannot be read: {error}") from error
    if digest.hexdigest() != expected:
        raise FolderError(f"{path.parent.name}/{path.name} is damaged: its content has changed since it was written")


def load(path: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in a file of weights, after `verify`.

    Args:
        read: ``load_file`` of `safetensors.numpy` or of `safetensors.torch`.

    Raises:
        FolderError: when the file is damaged or cannot be read.
    """
    verify(path)
    try:
        return read(path)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise FolderError(f"{path.parent.name}/{path.name} cannot be read: {error}") from error


def _header(stream: IO[bytes]) -> dict[str, Any]:
    size = int.from_bytes(stream.read(8), "little")
    if size > _MOST_HEADER:
        raise ValueError("it does not begin like a file of weights")
    try:
        header: dict[str, Any] = json.loads(stream.read(size))
    except (ValueError, RecursionError) as error:
        raise ValueError("it does not begin like a file of weights") from error
    return header


def _beginning(header: dict[str, Any]) -> Any:
    """The digest of everything in the header but the digest itself."""
    metadata = {name: value for name, value in header.get(_METADATA, {}).items() if name != _DIGEST}
    return hashlib.sha256(json.dumps(header | {_METADATA: metadata}, sort_keys=True).encode())
