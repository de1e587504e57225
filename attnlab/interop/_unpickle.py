"""Reads one pickled checkpoint within limits and writes its tensors as safetensors. A separate program, never imported.

    python -I _unpickle.py CHECKPOINT OUTPUT

Only `attnlab.interop.checkpoint` starts it. It prints one line of JSON: ``{"ok": true}`` or ``{"refused": "why"}``. Memory,
CPU time and file size are limited before the first byte of the checkpoint is read. The limits are set again once torch is
loaded, so that the memory of torch itself does not count.
"""

from __future__ import annotations

import json
import resource
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
CPU_SECONDS = 30
SPARE_BYTES = 512 * 2**20
TOO_LARGE = "needs more memory than its size explains"


class Refused(Exception):
    """Why the file is not read, as a clause that follows its name."""


def limit(spare: int, file_bytes: int, *, final: bool) -> None:
    """Limits memory to the current use plus ``spare``, and CPU time to the current use plus `CPU_SECONDS`.

    Args:
        final: the limits can never be raised again.
    """
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    for what, value in (
        (resource.RLIMIT_AS, mapped + spare),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 2 * file_bytes + 2**20),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value if final else resource.getrlimit(what)[1]))


def check_archive(path: Path) -> None:
    """Checks that a zip stores its members uncompressed, as torch does; one that unpacks to more than its size is an attack."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise Refused("has compressed members, which torch never writes")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise Refused("unpacks to more than its own size")


def unwrap(content: Any) -> Mapping[str, Any]:
    """The state dict inside the dictionaries that training scripts save around it."""
    for _ in range(3):
        inner = [key for key in WRAPPERS if isinstance(content, Mapping) and isinstance(content.get(key), Mapping)]
        if not inner:
            break
        content = content[inner[0]]
    if not isinstance(content, Mapping) or not content:
        raise Refused("holds no dictionary of weights")
    return content


def plain_tensors(content: Mapping[str, Any], file_bytes: int) -> dict[str, Any]:
    """The tensors of a state dict, each copied to its own memory.

    Sizes are checked before anything is copied: a tensor expanded from a single number takes no memory until then.
    """
    import torch

    total = 0
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise Refused(f"holds something other than tensors: {str(name)[:80]!r} is a {type(value).__name__}")
        if value.layout is not torch.strided or value.is_quantized or value.is_complex() or value.device.type != "cpu":
            raise Refused(f"holds a tensor that is not plain numbers: {name[:80]!r}")
        needed = value.numel() * value.element_size()
        if value.untyped_storage().nbytes() < needed:
            raise Refused(f"claims more numbers than it holds: {name[:80]!r}")
        total += needed
    if total > 2 * file_bytes:
        raise Refused("claims more numbers than it holds")
    return {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in content.items()}


def convert(source: Path, target: Path) -> None:
    file_bytes = source.stat().st_size
    limit(SPARE_BYTES, file_bytes, final=False)
    if zipfile.is_zipfile(source):
        check_archive(source)
    for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
        resource.setrlimit(what, (resource.getrlimit(what)[1],) * 2)
    import torch
    from safetensors.torch import save_file

    limit(4 * file_bytes + SPARE_BYTES, file_bytes, final=True)
    content = torch.load(source, map_location="cpu", weights_only=True)
    save_file(plain_tensors(unwrap(content), file_bytes), target)


def main() -> None:
    verdict: dict[str, Any]
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
        verdict = {"ok": True}
    except Refused as reason:
        verdict = {"refused": str(reason)}
    except MemoryError:
        verdict = {"refused": TOO_LARGE}
    except Exception as error:  # torch and zipfile raise a dozen types of error on damaged files
        if "allocate memory" in str(error):
            verdict = {"refused": TOO_LARGE}
        elif "GLOBAL" in str(error):  # the pickle names a class or function to call
            verdict = {"refused": "holds more than plain tensors: opening it would run its own code"}
        else:
            verdict = {"refused": "is damaged, or holds more than plain tensors"}
    print(json.dumps(verdict))


if __name__ == "__main__":
    main()
