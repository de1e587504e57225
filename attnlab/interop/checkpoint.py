"""Opens checkpoint files from unknown sources: safetensors directly, pickled files in a limited child process.

A pickle is a program. `torch.load(weights_only=True)` runs a small part of the language, but its checks have been broken
before (CVE-2025-32434, CVE-2026-24747), and even within them a file of a few kilobytes can request gigabytes. So this
process never unpickles: a child with limits on memory, CPU time and file size does, and writes the tensors as safetensors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

MAX_BYTES = 2**30
MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 5_000
CHILD_SECONDS = 120.0
_PROGRAM = Path(__file__).with_name("_unpickle.py")
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"


class CheckpointRefused(ValueError):
    """The file is not opened; the message says why in plain words."""


def open_checkpoint(source: str | os.PathLike[str] | bytes) -> dict[str, Tensor]:
    """The weights in a checkpoint file, on the CPU, by name.

    Dictionaries that training scripts save around the weights are removed (``{"state_dict": ...}``, ``{"model": ...}`` and
    the like), as is the prefix ``module.`` of `torch.nn.DataParallel`.

    Args:
        source: a file, or its content: safetensors, or written by `torch.save` (on Linux only).

    Raises:
        CheckpointRefused: when the file is too large or damaged, holds anything but finite plain tensors, or needs more
            memory or time than its size explains.
    """
    with tempfile.TemporaryDirectory(prefix="attnlab-open-") as scratch:
        folder = Path(scratch)
        if isinstance(source, bytes):
            name, path = "the file", folder / "checkpoint"
            _check_size(name, len(source))
            path.write_bytes(source)
        else:
            path = Path(source).resolve()
            name = path.name
            if not path.is_file():
                raise CheckpointRefused(f"there is no file {name}")
            _check_size(name, path.stat().st_size)
        with path.open("rb") as file:
            start = file.read(9)
        if start.startswith((_ZIP, _PICKLE)) and start[8:] != b"{":
            path = _convert(path, folder, name)
        weights = _read_safetensors(path, name)
    return _without_prefix(weights)


def _check_size(name: str, size: int) -> None:
    if not 0 < size <= MAX_BYTES:
        raise CheckpointRefused(f"{name} is empty" if size == 0 else f"{name} is larger than {MAX_BYTES // 2**20} MiB")


def _read_safetensors(path: Path, name: str) -> dict[str, Tensor]:
    """Reads a safetensors file after checking its header."""
    data = path.read_bytes()
    header_bytes = int.from_bytes(data[:8], "little")
    if len(data) < 9 or data[8:9] != b"{":
        raise CheckpointRefused(f"{name} is neither a safetensors file nor a PyTorch checkpoint")
    if header_bytes > min(MAX_HEADER_BYTES, len(data) - 8):
        raise CheckpointRefused(f"{name} is damaged: its header claims {header_bytes} bytes")
    damaged = CheckpointRefused(f"{name} is damaged: it is not a complete safetensors file")
    try:
        entries = len(json.loads(data[8 : 8 + header_bytes]))
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if entries > MAX_TENSORS:
        raise CheckpointRefused(f"{name} holds more than {MAX_TENSORS} tensors")
    try:
        weights = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise damaged from error
    if not weights:
        raise CheckpointRefused(f"{name} holds no tensors")
    for key, value in weights.items():
        if value.is_complex():
            raise CheckpointRefused(f"{name} holds a tensor that is not plain numbers: {key[:80]!r}")
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise CheckpointRefused(f"{name} holds numbers that are not finite, in {key[:80]!r}")
    return weights


def _convert(path: Path, folder: Path, name: str) -> Path:
    """Converts a pickled checkpoint to a safetensors file in ``folder``, in a child process."""
    if sys.platform != "linux":
        raise CheckpointRefused(f"{name} is pickled; such files are opened on Linux only, so convert it to safetensors")
    target, verdict_file = folder / "weights.safetensors", folder / "verdict.json"
    environment = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "LANG") if key in os.environ}
    try:
        with verdict_file.open("wb") as verdict_out:
            subprocess.run(
                [sys.executable, "-I", str(_PROGRAM), str(path), str(target)],
                stdin=subprocess.DEVNULL,
                stdout=verdict_out,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env={**environment, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TMPDIR": str(folder)},
                timeout=CHILD_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise CheckpointRefused(f"{name} took too long to read") from error
    try:
        verdict = json.loads(verdict_file.read_bytes()[:4096])
    except ValueError as error:  # a limit ended the child before it could answer
        raise CheckpointRefused(f"{name} needs more memory or time than its size explains") from error
    if "refused" in verdict:
        raise CheckpointRefused(f"{name} {verdict['refused']}")
    return target


def _without_prefix(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    prefix = "module."
    while all(name.startswith(prefix) for name in weights):
        weights = {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights
