"""The steps of a `Tape` as one file: a description in JSON, and the numbers that are there before the first step.

    4 bytes   length of the description, little endian
    JSON      UTF-8, filled up with spaces to a multiple of 16 bytes in all
    float32   constants, in order; indices are int32 among them

Everything lies in one memory: constants first, then a place for whatever is computed. Two buffers share a place when the first
is not read any more once the second is written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.explain.in_browser.tape import Buffer, Ref, Step

_ALIGNED = 4  # numbers: 16 bytes


def packed(steps: Sequence[Step], given: Buffer, result: Buffer, about: dict[str, Any]) -> bytes:
    """The file.

    Args:
        given: the picture. result: what the steps come to.
        about: goes into the description as it is.
    """
    steps = _fused(_needed(steps, result), result)
    constants: list[NDArray[Any]] = [np.zeros(_ALIGNED, np.float32)]  # place 0 means "none"
    places: dict[Buffer, int] = {}
    end = _ALIGNED

    def store(numbers: NDArray[Any]) -> int:
        nonlocal end
        place = end
        end += -(-len(numbers) // _ALIGNED) * _ALIGNED
        constants.append(np.pad(numbers, (0, end - place - len(numbers))))
        return place

    written = []
    for step in steps:
        for ref in step.inputs:
            if ref.buffer.data is not None and ref.buffer not in places:
                places[ref.buffer] = store(ref.buffer.data.numpy())
        numbers = {key: store(value.numpy()) if isinstance(value, Tensor) else value for key, value in step.numbers.items()}
        if isinstance(step.numbers.get("places"), Tensor):
            numbers["n"] = len(step.numbers["places"])
        if step.kind == "scatter":
            numbers["size"] = step.out.size
        if step.kind in ("unary", "tap"):
            numbers["n"] = step.out.size
        written.append(numbers)
    computed, total = _places(steps, given, result)
    places |= {buffer: end + place for buffer, place in computed.items()}
    scratch = max((_scratch(step) for step in steps), default=0)
    description = about | {
        "constants": end,
        "scratch": end + total,
        "floats": end + total + scratch,
        "input": places[given],
        "output": {"at": places[result], "n": result.size},
        "scalars": [
            {"name": buffer.name, "at": place, "value": float(buffer.data[0])}
            for buffer, place in places.items()
            if buffer.name and buffer.data is not None
        ],
        "steps": [
            {"do": step.kind, "o": places[step.out] + step.at, "i": [places[ref.buffer] + ref.offset for ref in step.inputs]}
            | numbers
            for step, numbers in zip(steps, written, strict=True)
        ],
    }
    text = json.dumps(description, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 4) % 16)
    return b"".join([len(text).to_bytes(4, "little"), text, *(each.tobytes() for each in constants)])


def _needed(steps: Sequence[Step], result: Buffer) -> list[Step]:
    """Without steps whose results nobody reads."""
    kept: list[Step] = []
    read = {result}
    for step in reversed(steps):
        if step.out in read or step.kind in ("tap", "look"):
            kept.append(step)
            read |= {ref.buffer for ref in step.inputs}
    return kept[::-1]


def _fused(steps: Sequence[Step], result: Buffer) -> list[Step]:
    """A scale or a ReLU right after a convolution that is read by nothing else becomes part of the convolution."""
    readers = Counter(ref.buffer for step in steps for ref in step.inputs)
    writers = Counter(step.out for step in steps)
    convolutions: dict[Buffer, Step] = {}
    kept = []
    for step in steps:
        source = step.inputs[0].buffer
        before = convolutions.get(source)
        if before is not None and source is not result and readers[source] == 1 and _absorbed(before, step):
            convolutions.pop(source)
            before.out = step.out
            convolutions[step.out] = before
            continue
        if step.kind == "conv" and writers[step.out] == 1:
            convolutions[step.out] = step
        kept.append(step)
    return kept


def _absorbed(convolution: Step, step: Step) -> bool:
    """Whether the convolution has taken the step in."""
    if convolution.numbers.get("relu"):
        return False
    if step.kind == "unary" and step.numbers["fn"] == "relu":
        convolution.numbers["relu"] = True
        return True
    channels = convolution.numbers["output"][0]
    if step.kind != "scale" or step.numbers["count"] != channels:
        return False
    weight, scale, shift = convolution.inputs[1].buffer.data, *(ref.buffer.data for ref in step.inputs[1:])
    if weight is None or scale is None or shift is None:
        return False
    bias = convolution.inputs[2].buffer.data if len(convolution.inputs) > 2 else torch.zeros(channels)
    assert bias is not None
    scaled = weight.view(channels, -1) * scale[:, None]
    convolution.inputs[1:] = [_constant(scaled.flatten()), _constant(bias * scale + shift)]
    return True


def _constant(numbers: Tensor) -> Ref:
    return Ref(Buffer(len(numbers), numbers), (len(numbers),), (1,))


def _places(steps: Sequence[Step], given: Buffer, result: Buffer) -> tuple[dict[Buffer, int], int]:
    """Where each computed buffer lies, and how far they reach: the first gap among those that live at the same time."""
    first: dict[Buffer, int] = {given: -1}
    last: dict[Buffer, int] = {given: -1, result: len(steps)}
    for at, step in enumerate(steps):
        first.setdefault(step.out, at)
        last[step.out] = max(last.get(step.out, at), at)
        for ref in step.inputs:
            if ref.buffer.data is None:
                last[ref.buffer] = max(last.get(ref.buffer, at), at)
    placed: list[tuple[int, int, int, int]] = []  # begin, end, first, last
    places: dict[Buffer, int] = {}
    total = 0
    for buffer in sorted(first, key=lambda each: -each.size):
        size = -(-buffer.size // _ALIGNED) * _ALIGNED
        begin = 0
        for low, high, born, dead in sorted(placed):
            if born <= last[buffer] and dead >= first[buffer] and begin + size > low:
                begin = max(begin, high)
        placed.append((begin, begin + size, first[buffer], last[buffer]))
        places[buffer] = begin
        total = max(total, begin + size)
    return places, total


def _scratch(step: Step) -> int:
    """Numbers of memory in which a convolution lays its windows side by side."""
    if step.kind != "conv":
        return 0
    channels, *_ = step.numbers["input"]
    _, tall, wide = step.numbers["output"]
    tall_kernel, wide_kernel = step.numbers["kernel"]
    return channels // int(step.numbers["groups"]) * tall_kernel * wide_kernel * tall * wide
