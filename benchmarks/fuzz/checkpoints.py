"""Checkpoints: safetensors and pickles, damaged and changed, with code in them, with sizes and numbers that lie."""

from __future__ import annotations

import builtins
import collections
import io
import json
import os
import pickle
import random
import subprocess
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from attnlab.config import DatasetConfig
from attnlab.interop import CheckpointRefused, open_checkpoint, recognise
from attnlab.runs.imported import NO_PICTURES, import_checkpoint
from benchmarks.fuzz.judge import CANARY, Kind, Known, Place, change_tree, changed
from tests.interop.reference import random_state_dict

NAMES = ("conv_block1.op.0.weight", "conv_block6.op.0.weight", "dense.weight", "classify.weight", "attn3.op.weight")
NETWORK = {name: torch.full((2,) * (4 if "conv_block" in name else 2), 0.5) for name in NAMES}


class Runs:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def code() -> list[Runs]:
    """Objects whose unpickling makes the canary."""
    return [
        Runs(os.system, f"touch {CANARY}"),
        Runs(subprocess.Popen, ("touch", str(CANARY))),
        Runs(builtins.eval, f"open({str(CANARY)!r}, 'w')"),
        Runs(builtins.exec, f"open({str(CANARY)!r}, 'w').close()"),
        Runs(builtins.open, str(CANARY), "w"),
        Runs(builtins.getattr, Runs(builtins.__import__, "os"), "system"),
    ]


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def opcodes(name: str, argument: str) -> bytes:
    """A pickle written by hand: a function, by the old opcode, called with a text."""
    return b"\x80\x02c" + name.encode() + b"\nX" + len(argument).to_bytes(4, "little") + argument.encode() + b"\x85R."


def safetensors_claiming(entries: object, body: bytes = b"") -> bytes:
    head = json.dumps(entries).encode()
    return len(head).to_bytes(8, "little") + head + body


def stored(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip as torch.save makes it, of these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


@cache
def seeds() -> tuple[bytes, ...]:
    beside = {"epoch": 3, "best": np.float64(0.5), "history": np.zeros(3), "net": NETWORK, "x": torch.ones(2).to_sparse()}
    return (
        saved(random_state_dict("cbam/64")),
        saved({"epoch": 1, "net": random_state_dict("cbam/64")}),
        saved(NETWORK),
        saved(collections.OrderedDict(NETWORK)),
        saved({"state_dict": {f"module.{name}": value for name, value in NETWORK.items()}, "optimizer": {"lr": 0.1}}),
        saved(beside),
        saved(NETWORK, _use_new_zipfile_serialization=False),
        saved({"net": NETWORK, "x": code()[0]}),
        pickle.dumps({name: value.numpy() for name, value in NETWORK.items()}),
        pickle.dumps(NETWORK, protocol=0),
        *(pickle.dumps(one) for one in code()),
    )


@cache
def plain_seeds() -> tuple[bytes, ...]:
    half = {name: value.half() for name, value in NETWORK.items()}
    return (
        save(NETWORK),
        save(NETWORK, {"format": "pt"}),
        save({"ema." + name: value for name, value in half.items()} | NETWORK),
    )


@cache
def known() -> dict[str, Known]:
    """Files that run code where they are unpickled, or ask for far more memory or time than their size."""
    good = members(saved(NETWORK))
    laugh: Any = [0] * 10
    for _ in range(12):
        laugh = [laugh] * 10
    endless: list[Any] = []
    endless.append(endless)
    return {
        "empty": b"",
        **{f"code {at}": pickle.dumps(one) for at, one in enumerate(code())},
        **{f"code {at} in a file of torch": saved({"net": NETWORK, "x": one}) for at, one in enumerate(code())},
        "code by hand": opcodes("posix\nsystem", f"touch {CANARY}"),
        "code by hand, dotted": opcodes("os\nsystem", f"touch {CANARY}"),
        "code in the key": saved({"state_dict": {**NETWORK, code()[0]: torch.ones(1)}}),
        "code in a storage": stored(good | {"data.pkl": good["data.pkl"].replace(b"torch._utils", b"builtins\n  ")}),
        "compressed": lambda: stored(members(saved({"w": torch.zeros(20_000_000)})), zipfile.ZIP_DEFLATED),
        "expanded": lambda: saved({"w": torch.zeros(1).expand(200_000, 200_000)}),
        "a list of 3 million": lambda: pickle.dumps({"w": list(range(3_000_000))}),
        "a list of lists of lists": pickle.dumps({"w": laugh}),
        "a list in itself": pickle.dumps({"w": endless}),
        "very deep": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
        "a long text that is none": b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"x.",
        "a frame that is none": b"\x80\x04\x95" + (2**62).to_bytes(8, "little") + b".",
        "a memo far away": b"\x80\x02}r\xff\xff\xff\x7f.",
        "an int of a megabyte": b"\x80\x02\x8b" + (10**6).to_bytes(4, "little") + b"\x7f" * 10**6 + b".",
        "a number of 100,000 digits": b"\x80\x02I" + b"9" * 100_000 + b"\n.",
        "no stop": b"\x80\x02}" * 1000,
        "not a number": saved({"w": torch.tensor([1.0, float("nan")])}),
        "infinity": save({"w": torch.tensor([float("inf")])}),
        "a header of 2^40": (2**40).to_bytes(8, "little") + b"{}",
        "a header that is deep": (200_000).to_bytes(8, "little") + b'{"a":' + b"[" * 199_995,
        "a header with 5,000 digits": safetensors_claiming({"w": 1})[:8] + b'{"w":' + b"9" * 5000,
        "a header that is a list": safetensors_claiming([1, 2]),
        "a header that is a number": safetensors_claiming(5),
        "a shape of 10^12": safetensors_claiming(
            {"w": {"dtype": "F32", "shape": [10**6, 10**6], "data_offsets": [0, 4 * 10**12]}}
        ),
        "a shape of nothing": safetensors_claiming({"w": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}),
        "names of nothing": save({"": torch.ones(1), "\u202e": torch.ones(1), "a" * 9000: torch.ones(1)}),
        "200,000 tensors": lambda: safetensors_claiming(
            {str(at): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for at in range(9000)}
        ),
        "numbers of another order": stored(good | {"byteorder": b"big"}),
        "two pickles": stored(good | {"x/data.pkl": good["data.pkl"]}),
        "members that lead out": stored({f"../../{name}": content for name, content in good.items()}),
        "text": b"hello, this is no checkpoint",
        "half an hour": b"\x80\x02" + b"(" * 10**6 + b".",
        "HTML": b"<!doctype html><title>404</title>",
        "a pointer of git": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }


def make(rng: random.Random) -> bytes:
    """Three quarters safetensors, which need no process of their own to be read; otherwise pickles."""
    if rng.random() < 0.7:
        content = rng.choice(plain_seeds())
        size = int.from_bytes(content[:8], "little")
        if rng.random() < 0.5:
            head = json.dumps(change_tree(json.loads(content[8 : 8 + size]), rng)).encode()
            return len(head).to_bytes(8, "little") + head + content[8 + size :]
        return changed(content, rng, plain_seeds())
    content = rng.choice(seeds())
    if content.startswith(b"PK") and rng.random() < 0.7:
        parts = members(content)
        name = rng.choice(list(parts))
        parts[name] = changed(parts[name], rng, seeds())
        return stored(parts)
    return changed(content, rng, seeds())


def give(content: bytes, place: Place) -> None:
    """Opens a checkpoint, and makes it a run where its network is known."""
    weights = open_checkpoint(content)
    assert all(torch.isfinite(value.float()).all() for value in weights.values()), "numbers that are not finite"
    "".join(weights.remarks()).encode()
    if recognise(weights).network:
        import_checkpoint(place.home / "runs", weights, source="net.pth", dataset=DatasetConfig(name=NO_PICTURES))


KIND = Kind("checkpoint", known, make, give, (CheckpointRefused, ValueError), share=8, seconds=60.0, megabytes=1000)
