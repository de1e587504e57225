"""Foreign checkpoints: honest ones open, hostile ones are refused in words and do nothing."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from attnlab.interop.checkpoint import _PROGRAM, MAX_TENSORS, CheckpointRefused, open_checkpoint

WEIGHTS = {"conv.weight": torch.arange(6.0).view(2, 3), "bn.num_batches_tracked": torch.tensor(7)}
linux = pytest.mark.skipif(os.uname().sysname != "Linux", reason="pickled checkpoints are opened on Linux only")


def torch_file(content: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def deflated(data: bytes) -> bytes:
    """The same archive with compressed members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    return buffer.getvalue()


class RunsCommand:
    """Unpickling it runs a command that leaves a file behind."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.canary}",)


def assert_same(opened: dict[str, torch.Tensor]) -> None:
    assert opened.keys() == WEIGHTS.keys()
    for name, value in WEIGHTS.items():
        assert opened[name].dtype == value.dtype
        assert torch.equal(opened[name], value)


def test_safetensors_open_from_bytes_and_file(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(save(WEIGHTS))
    assert_same(open_checkpoint(file))
    assert_same(open_checkpoint(str(file)))
    assert_same(open_checkpoint(save({f"module.{name}": value for name, value in WEIGHTS.items()})))


@pytest.mark.slow
@linux
@pytest.mark.parametrize(
    "data",
    [
        torch_file({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}}),
        torch_file({"model": WEIGHTS, "optimizer": {"lr": 0.1}}, _use_new_zipfile_serialization=False),
    ],
    ids=["zip, wrapped, data parallel", "old format, wrapped"],
)
def test_files_of_torch_open(data: bytes) -> None:
    assert_same(open_checkpoint(data))


def hostile(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> file and what the refusal must say."""
    good = torch_file(WEIGHTS)
    plain = save(WEIGHTS)
    return {
        "command": (torch_file({"weight": RunsCommand(canary)}), "would run its own code"),
        "command in a bare pickle": (pickle.dumps(RunsCommand(canary)), "more than plain tensors"),
        "whole module": (torch_file(torch.nn.Linear(2, 2)), "more than plain tensors"),
        "truncated": (good[: len(good) // 2], "damaged"),
        "compressed": (deflated(torch_file({"w": torch.zeros(500_000)})), "compressed members"),
        "expanded": (torch_file({"w": torch.zeros(1).expand(200_000, 200_000)}), "claims more numbers than it holds"),
        "shared many times": (
            torch_file(dict.fromkeys(map(str, range(100)), torch.zeros(100_000))),
            "claims more numbers than it holds",
        ),
        "not finite": (torch_file({"w": torch.tensor([1.0, float("nan")])}), "not finite, in 'w'"),
        "numbers, no tensors": (torch_file({"state_dict": {"lr": 0.1}}), "something other than tensors"),
        "list": (torch_file([torch.zeros(2)]), "no dictionary of weights"),
        "empty": (b"", "is empty"),
        "text": (b"hello, this is not a checkpoint", "neither a safetensors file"),
        "safetensors cut short": (plain[:-4], "damaged"),
        "safetensors with a huge header": ((2**40).to_bytes(8, "little") + b"{}", "header claims"),
        "safetensors with deep nesting": ((200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 199_995, "damaged"),
        "safetensors with infinity": (save({"w": torch.tensor([float("inf")])}), "not finite"),
        "safetensors with too many": (save({str(i): torch.zeros(1) for i in range(MAX_TENSORS + 1)}), "more than 5000"),
        "safetensors without tensors": ((2).to_bytes(8, "little") + b"{}", "holds no tensors"),
        "safetensors that claims too much": (
            (lambda head: len(head).to_bytes(8, "little") + head)(
                json.dumps({"w": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}).encode()
            ),
            "damaged",
        ),
    }


@pytest.mark.slow
@linux
@pytest.mark.parametrize("name", list(hostile(Path("unused"))))
def test_hostile_files_are_refused_in_words(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    data, words = hostile(canary)[name]
    with pytest.raises(CheckpointRefused, match=words):
        open_checkpoint(data)
    assert not canary.exists()


@linux
def test_the_childs_limits_hold_hard_and_soft_alike() -> None:
    """Run in a process of its own, as the child's program is: beyond the memory allowed there is none."""
    program = f"""
import resource, runpy
limit = runpy.run_path({str(_PROGRAM)!r}, run_name="program")["limit"]
limit(64 * 2**20, 0, final=True)
try:
    bytearray(2**30)
    print("got memory")
except MemoryError:
    print("no memory")
for what in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE):
    soft, hard = resource.getrlimit(what)
    print(soft == hard != resource.RLIM_INFINITY)
"""
    ran = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.split("\n")[:-1] == ["no memory", "True", "True", "True"]


def test_a_missing_or_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(CheckpointRefused, match=r"no file lost\.pt"):
        open_checkpoint(tmp_path / "lost.pt")
    huge = tmp_path / "huge.pt"
    with huge.open("wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(CheckpointRefused, match="larger than 1024 MiB"):
        open_checkpoint(huge)
