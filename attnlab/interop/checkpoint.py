"""Opens checkpoint files from unknown sources: safetensors directly, pickled files in a limited child process.

A pickle is a program. `torch.load(weights_only=True)` runs a small part of the language, but its checks have been broken
before (CVE-2025-32434, CVE-2026-24747), it refuses whole files for a number beside the weights, and even within its checks a
file of a few kilobytes can request gigabytes. So this process never unpickles: a child with limits on memory, CPU time and
file size reads the tensors, looks up none of the classes that the file names, and writes the tensors as safetensors.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load
from torch import Tensor

from attnlab.interop._sets import TOP, beside, label, plain_names, weight_sets

MAX_BYTES = 2**30
MAX_HEADER_BYTES = 2**20
MAX_TENSORS = 5_000
MAX_VERDICT_BYTES = 2**20
CHILD_SECONDS = 120.0
MOST_NAMED = 8
_PROGRAM = Path(__file__).with_name("_unpickle.py")
_ZIP = b"PK\x03\x04"
_PICKLES = (b"\x80", b"(", b"}", b"ccollections\n")  # protocols from 2 on; a dictionary in protocols 0 and 1
_OTHERS = {  # first bytes of other files: where they stand, and what is said
    b"\x89HDF": (0, "an HDF5 file, as Keras writes them; save the weights of a PyTorch model as safetensors"),
    b"\x1f\x8b": (0, "compressed with gzip; unpack it first"),
    b"BZh": (0, "compressed with bzip2; unpack it first"),
    b"7z\xbc\xaf": (0, "a 7z archive; unpack it first"),
    b"ustar": (257, "a tar archive; unpack it first"),
    b"\xfd7zXZ\0": (0, "compressed with xz; unpack it first"),
    b"\x28\xb5\x2f\xfd": (0, "compressed with zstd; unpack it first"),
    b"Rar!": (0, "a RAR archive; unpack it first"),
    b"GGUF": (0, "a GGUF file, whose weights are quantised; save the weights of the PyTorch model as safetensors"),
    b"\x08\x07\x12\x07pytorch": (0, "an ONNX file, a program; save the weights of the PyTorch model as safetensors"),
    b"version https://git-lfs": (0, "a Git LFS pointer, not the file itself; fetch it with git lfs pull"),
    b"<!DOCTYPE": (0, "a web page, not a checkpoint; download the file itself"),
    b"<!doctype": (0, "a web page, not a checkpoint; download the file itself"),
    b"<html": (0, "a web page, not a checkpoint; download the file itself"),
    b"{": (0, "a text in JSON, such as the list of the parts of a checkpoint; choose the file with the weights"),
    b"\x93NUMPY": (0, "a single NumPy array; save the weights as safetensors, under the names of the parameters"),
}


class CheckpointRefused(ValueError):
    """The file is not opened; the message says why in plain words."""


class Checkpoint(dict[str, Tensor]):
    """The weights in a checkpoint file, on the CPU, by name, and what else was in the file.

    Attributes:
        found: where in the file the weights lie, as in "state_dict.model"; "" when they are all there is.
        sets: every place with weights of a network, `found` among them: an average of the weights (EMA) lies beside them.
        left_out: the other entries of the file, as in "best_acc (NumPy number)".
    """

    def __init__(self, weights: Mapping[str, Tensor], found: str, sets: tuple[str, ...], left_out: tuple[str, ...]) -> None:
        super().__init__(weights)
        self.found, self.sets, self.left_out = found, sets, left_out

    def remarks(self) -> list[str]:
        """What a person should know about the reading of the file, in sentences."""
        sentences = []
        if len(self.sets) > 1:
            names = ", ".join(name or TOP for name in self.sets)
            sentences.append(f"The file holds {len(self.sets)} sets of weights: {names}. Read: {self.found or TOP}.")
        elif self.found:
            sentences.append(f"The weights were found under {self.found}.")
        if self.left_out:
            more = len(self.left_out) - MOST_NAMED
            named = ", ".join(self.left_out[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
            sentences.append(f"Left out: {named}.")
        return sentences


def open_checkpoint(source: str | os.PathLike[str] | bytes, *, take: str | None = None) -> Checkpoint:
    """The weights in a checkpoint file, on the CPU, by name.

    The weights of a known network are found under any key and behind any prefix of their names: dictionaries that training
    scripts save around them, ``module.`` of `torch.nn.DataParallel`, ``_orig_mod.`` of `torch.compile`, ``model.`` of
    Lightning and the like are removed. Whatever else is in the file is left out, and never executed.

    Args:
        source: a file, or its content: safetensors, or written by `torch.save` or `pickle.dump` (on Linux only).
        take: which of several sets of weights, as in `Checkpoint.sets`; `None` for the first that is not an average.

    Raises:
        CheckpointRefused: when the file is too large or damaged, holds no weights or such as are not finite plain numbers,
            needs more memory or time than its size explains, or has no set of weights called ``take``.
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
                raise CheckpointRefused(f"{name} is a folder, not a file" if path.is_dir() else f"there is no file {name}")
            _check_size(name, path.stat().st_size)
        with path.open("rb") as file:
            start = file.read(512)
        left_out: list[tuple[str, str]] = []
        if start.startswith((_ZIP, *_PICKLES)) and start[8:9] != b"{":
            path, left_out = _convert(path, folder, name)
        elif other := next((what for magic, (at, what) in _OTHERS.items() if start[at:].startswith(magic)), None):
            raise CheckpointRefused(f"{name} is {other}")
        tensors = plain_names(_read_safetensors(path, name))
    return _choose(tensors, left_out, name, take)


def _choose(tensors: dict[str, Tensor], left_out: list[tuple[str, str]], name: str, take: str | None) -> Checkpoint:
    """The set of weights that is asked for, after a check of its numbers; the others and the rest are named."""
    sets = weight_sets(tensors)
    asked = {one.label: one for one in reversed(sets)} | {one.label or TOP: one for one in reversed(sets)}
    if take is not None and take not in asked:
        known = ", ".join(one.label or TOP for one in sets)
        raise CheckpointRefused(f"{name} holds no weights under {take}; it holds: {known}")
    taken = sets[0] if take is None else asked[take]
    for key, value in taken.weights.items():
        if value.is_complex():
            raise CheckpointRefused(f"{name} holds a tensor that is not plain numbers: {key[:80]!r}")
        if value.is_floating_point() and not torch.isfinite(value.float()).all():
            raise CheckpointRefused(f"{name} holds numbers that are not finite, in {key[:80]!r}")
    others = [one for one in sets if one is not taken]
    rest = [*beside(tensors, taken, others), *((label(path), label(what)) for path, what in left_out)]
    found = tuple(one.label for one in sets)
    return Checkpoint(taken.weights, taken.label, found, tuple(f"{path} ({what})" for path, what in rest))


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
        entries = json.loads(data[8 : 8 + header_bytes])
    except (ValueError, RecursionError) as error:
        raise damaged from error
    if len(entries) > MAX_TENSORS:
        raise CheckpointRefused(f"{name} holds more than {MAX_TENSORS} tensors")
    try:
        weights = load(data)
    except Exception as error:  # beside its own errors, those of torch for shapes that no tensor can have
        raise damaged from error
    if not weights:
        raise CheckpointRefused(f"{name} holds no tensors")
    return {key: weights[key] for key in entries if key in weights}  # in the order of the file, which loading does not keep


def _convert(path: Path, folder: Path, name: str) -> tuple[Path, list[tuple[str, str]]]:
    """Converts a pickled checkpoint to a safetensors file in ``folder``, in a child process; and what it left out."""
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
                env={**environment, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TMPDIR": str(folder)},
                timeout=CHILD_SECONDS,
                check=False,
            )
    except subprocess.TimeoutExpired as error:
        raise CheckpointRefused(f"{name} took too long to read") from error
    try:
        verdict = json.loads(verdict_file.read_bytes()[:MAX_VERDICT_BYTES])
    except ValueError as error:  # a limit ended the child before it could answer
        raise CheckpointRefused(f"{name} needs more memory or time than its size explains") from error
    if "refused" in verdict:
        raise CheckpointRefused(f"{name} {verdict['refused']}")
    return target, [(str(path), str(what)) for path, what in verdict["left_out"]]
