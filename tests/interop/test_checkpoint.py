"""Foreign checkpoints: weights open however they were saved, hostile files ones are refused in words and do nothing."""

import argparse
import collections
import datetime
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from attnlab.interop.checkpoint import _PROGRAM, MAX_TENSORS, CheckpointRefused, open_checkpoint
from attnlab.interop.references import recognise
from tests.interop.reference import random_state_dict

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


class Config:
    """A class of a user's own beside the weights."""

    def __init__(self) -> None:
        self.rate = 0.1


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


CBAM = random_state_dict("cbam/64")
NETWORK = {
    name: torch.full((2,) * (4 if "conv_block" in name else 2), 0.5)
    for name in ("conv_block1.op.0.weight", "conv_block6.op.0.weight", "dense.weight", "classify.weight", "attn3.op.weight")
}


def prefixed(prefix: str, weights: dict[str, torch.Tensor] = NETWORK) -> dict[str, torch.Tensor]:
    return {prefix + name: value for name, value in weights.items()}


def optimizer() -> dict[str, object]:
    weight = torch.nn.Parameter(torch.ones(3))
    weight.grad = torch.ones(3)
    adam = torch.optim.Adam([weight])
    adam.step()
    return adam.state_dict()


def on_cuda(content: object) -> bytes:
    """As if saved from a GPU, where no GPU need be."""
    return torch_file(content, _use_new_zipfile_serialization=False).replace(
        b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    )


def saved() -> dict[str, tuple[bytes, str]]:
    """Ways to save the weights -> file and where they lie in it."""
    beside = {
        "best_acc": np.float64(0.9),
        "history": np.zeros(3),
        "args": argparse.Namespace(lr=0.1, out=Path("/x")),
        "path": Path("/x"),
        "date": datetime.datetime(2024, 1, 1),
        "counts": collections.defaultdict(list, a=[1]),
        "config": Config(),
        "optimizer": optimizer(),
        "random": torch.get_rng_state(),
        "loss": torch.tensor(float("inf")),
    }
    inner = {name.replace("conv_block1.", "conv_block1._orig_mod."): value for name, value in NETWORK.items()}
    lightning = {"state_dict": prefixed("model.") | {"criterion.weight": torch.ones(3)}, "optimizer_states": [optimizer()]}
    old = {"_use_new_zipfile_serialization": False}
    return {
        "state dict": (torch_file(collections.OrderedDict(NETWORK)), ""),
        "old format": (torch_file(NETWORK, **old), ""),
        "old format, beside others": (torch_file({"state_dict": NETWORK, **beside}, **old), "state_dict"),
        "saved on a GPU": (on_cuda(NETWORK), ""),
        "compiled": (torch_file(prefixed("_orig_mod.")), ""),
        "parallel and compiled": (torch_file(prefixed("module._orig_mod.")), "module"),
        "compiled and parallel": (torch_file(prefixed("_orig_mod.module.")), "module"),
        "one layer compiled": (torch_file(inner), ""),
        "under a prefix": (torch_file(prefixed("my.own_net.")), "my.own_net"),
        "Lightning": (torch_file(lightning), "state_dict.model"),
        "under any key": (torch_file({"weight": NETWORK}), "weight"),
        "two levels deep": (torch_file({"a": {"b": prefixed("module.")}}), "a.b.module"),
        "in a list": (torch_file([optimizer(), NETWORK]), "1"),
        "beside others": (torch_file({"net": NETWORK, **beside}), "net"),
        "beside others in one dictionary": (torch_file({**NETWORK, "epoch": 3, "loss": torch.tensor(float("nan"))}), ""),
        "averaged, with a counter": (torch_file(prefixed("module.") | {"n_averaged": torch.tensor(3)}), "module"),
        "parameters": (torch_file({name: torch.nn.Parameter(value) for name, value in NETWORK.items()}), ""),
        "NumPy arrays, pickled": (pickle.dumps({"model": {name: value.numpy() for name, value in NETWORK.items()}}), "model"),
        "channels last": (torch_file({name: v.transpose(0, 1) for name, v in NETWORK.items()}), ""),
        **{f"pickle {protocol}": (pickle.dumps(NETWORK, protocol=protocol), "") for protocol in range(6)},
        "safetensors with metadata": (save(prefixed("model."), {"format": "pt"}), "model"),
    }


@linux
@pytest.mark.parametrize("way", list(saved()))
def test_weights_are_found_however_they_were_saved(way: str) -> None:
    data, place = saved()[way]
    opened = open_checkpoint(data)
    assert opened.found == place
    assert opened.keys() == NETWORK.keys()
    assert all(torch.equal(opened[name], value) for name, value in NETWORK.items())
    assert recognise(opened).name == "l2pa"


@linux
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_of_other_widths_keep_their_type_and_value(dtype: torch.dtype) -> None:
    weights = {"layer.weight": torch.arange(6).view(2, 3).to(dtype), "layer.steps": torch.tensor([1, -2])}
    opened = open_checkpoint(torch_file({"state_dict": weights}))
    assert all(opened[name].dtype == value.dtype and torch.equal(opened[name], value) for name, value in weights.items())


@linux
def test_a_block_and_an_unknown_network_keep_their_names() -> None:
    assert recognise(open_checkpoint(torch_file({"state_dict": prefixed("module.", CBAM)}))).name == "cbam"
    assert_same(open_checkpoint(torch_file({"epoch": 3, "state_dict": prefixed("module.", WEIGHTS)})))
    assert_same(open_checkpoint(torch_file({"model": WEIGHTS, "optimizer": {"lr": 0.1}}, _use_new_zipfile_serialization=False)))


@linux
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (np.float64(0.9), "x (NumPy number)"),
        (np.zeros(3), "x (array)"),
        (argparse.Namespace(lr=0.1), "x (argparse.Namespace)"),
        (Config(), f"x ({Config.__module__}.Config)"),
        (torch.nn.Linear(2, 2), "x (whole model, torch.nn.modules.linear.Linear)"),
        (optimizer(), "x (state of an optimizer)"),
        ({"lr": 0.1}, "x (dictionary)"),
        (torch.ones(2).to_sparse(), "x (tensor that is not plain numbers)"),
        (0.5, "x (number)"),
    ],
)
def test_what_is_left_out_is_named(entry: object, words: str) -> None:
    opened = open_checkpoint(torch_file({"state_dict": NETWORK, "x": entry}))
    assert opened.left_out == (words,)
    assert f"Left out: {words}." in opened.remarks()


@linux
def test_of_several_sets_of_weights_the_average_is_taken_only_when_asked_for() -> None:
    average = {name: value / 2 for name, value in NETWORK.items()}
    data = torch_file({"ema": average, "model": NETWORK})
    opened = open_checkpoint(data)
    assert (opened.found, opened.sets) == ("model", ("model", "ema"))
    assert "The file holds 2 sets of weights: model, ema. Read: model." in opened.remarks()
    assert torch.equal(open_checkpoint(data, take="ema")["dense.weight"], average["dense.weight"])
    with pytest.raises(CheckpointRefused, match="no weights under teacher; it holds: model, ema"):
        open_checkpoint(data, take="teacher")
    beside = torch_file(prefixed("ema.", average) | NETWORK)
    assert open_checkpoint(beside).sets == ("", "ema") and open_checkpoint(beside).keys() == NETWORK.keys()


@linux
def test_code_in_a_file_is_never_executed_and_the_weights_beside_it_are_read(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    opened = open_checkpoint(torch_file({"state_dict": NETWORK, "x": RunsCommand(canary)}))
    assert opened.keys() == NETWORK.keys() and opened.left_out == ("x (posix.system)",)
    assert not canary.exists()


def program(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "TorchScript":
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    else:
        torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),)), buffer)
    return buffer.getvalue()


@linux
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["TorchScript", pytest.param("torch.export", marks=pytest.mark.slow)])
def test_a_program_is_refused_with_what_to_do(kind: str) -> None:
    with pytest.raises(CheckpointRefused, match=rf"{kind}.*save its weights alone"):
        open_checkpoint(program(kind))


def hostile(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Name -> file and what the refusal must say."""
    good = torch_file(WEIGHTS)
    plain = save(WEIGHTS)
    return {
        "command": (torch_file({"weight": RunsCommand(canary)}), "holds no tensors, only weight \\(posix.system"),
        "command in a bare pickle": (pickle.dumps(RunsCommand(canary)), "holds no tensors, only posix.system"),
        "whole module": (torch_file({"model": torch.nn.Linear(2, 2)}), "whole pickled model .* save its weights alone"),
        "truncated": (good[: len(good) // 2], "damaged"),
        "compressed": (deflated(torch_file({"w": torch.zeros(500_000)})), "compressed members"),
        "expanded": (torch_file({"w": torch.zeros(1).expand(200_000, 200_000)}), "claims more numbers than it holds"),
        "shared many times": (
            torch_file(dict.fromkeys(map(str, range(100)), torch.zeros(100_000))),
            "claims more numbers than it holds",
        ),
        "not finite": (torch_file({"w": torch.tensor([1.0, float("nan")])}), "not finite, in 'w'"),
        "numbers, no tensors": (torch_file({"state_dict": {"lr": 0.1}}), "holds no tensors, only state_dict"),
        "empty": (b"", "is empty"),
        "web page": (b"<!doctype html><title>404</title>", "a web page"),
        "pointer of Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        "list of the parts": (b'{"weight_map": {}}', "a text in JSON"),
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
limit(64 * 2**20, 0)
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
