"""Convolutions, pooling and normalisation as steps, see `lowering`.

Raises `NotExportedError` where an operation is used in a way that the browser's program does not have.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attnlab.explain.in_browser.tape import Buffer, NotExportedError, Ref, Tape, dense_strides, product


def convolution(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """Also transposed ones, and those along one side."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    if tape.depends(weight) or (bias is not None and tape.depends(bias)):
        raise NotExportedError("it computes the weights of a convolution from the picture")
    if x.ndim not in (3, 4):
        raise NotExportedError("it uses a convolution over more than two sides")
    flat = x.ndim == 3  # along one side: a picture of one row
    stride, padding, dilation = (
        ([1 if each is not padding else 0, *each] if flat else list(each)) for each in (stride, padding, dilation)
    )
    if flat:
        weight = weight.unsqueeze(2)
    ref = tape.dense(x)
    batch, (height, width) = x.shape[0], ((1, x.shape[2]) if flat else x.shape[2:])
    tall, wide = (1, out.shape[2]) if flat else out.shape[2:]
    if transposed:
        ref, height, width = _spaced(tape, ref, (batch * x.shape[1], height, width), stride)
        own = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1).flip(2, 3)
        padding = [each * (size - 1) - pad for each, size, pad in zip(dilation, weight.shape[2:], padding, strict=True)]
        weight, stride = own, [1, 1]
    weight = weight.detach().float().contiguous()
    inputs = [ref, tape.constant(weight)]
    if bias is not None:
        inputs.append(tape.constant(bias))
    out_channels, in_channels, kernel_height, kernel_width = weight.shape
    tape.multiplications += batch * tall * wide * weight.numel()
    tape.step(
        "conv",
        out,
        inputs,
        batch=batch,
        groups=groups,
        input=[in_channels * groups, height, width],
        output=[out_channels, tall, wide],
        kernel=[kernel_height, kernel_width],
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def _spaced(tape: Tape, ref: Ref, size: tuple[int, int, int], stride: list[int]) -> tuple[Ref, int, int]:
    """Planes with zeros between the pixels, over which a transposed convolution is an ordinary one."""
    planes, height, width = size
    if stride == [1, 1]:
        return ref, height, width
    tall, wide = (height - 1) * stride[0] + 1, (width - 1) * stride[1] + 1
    out = Buffer(planes * tall * wide)
    zeros = tape.constant(torch.zeros(1))
    tape.copy(out, Ref(zeros.buffer, (out.size,), (0,)), (1,))
    tape.copy(out, ref.view(size, dense_strides(size)), (tall * wide, stride[0] * wide, stride[1]), partly=True)
    return Ref(out, (planes, tall, wide), dense_strides((planes, tall, wide))), tall, wide


def pooled(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """The largest or the mean of each window."""
    x: Tensor = args[0]
    kernel = _pair(args[1])
    stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
    padding = _pair(args[3]) if len(args) > 3 else [0, 0]
    mean = name == "avg_pool2d"
    dilation = [1, 1] if mean else _pair(args[4]) if len(args) > 4 else [1, 1]
    outside = mean and bool(args[5] if len(args) > 5 else kwargs.get("count_include_pad", True))
    ceil = bool(args[4] if mean and len(args) > 4 else args[5] if not mean and len(args) > 5 else False)
    if outside and ((ceil and any(padding)) or (len(args) > 6 and args[6])):
        raise NotExportedError("it takes a mean over windows that reach beyond the picture in an unusual way")
    tape.step(
        "pool",
        out,
        [tape.dense(x)],
        fn="mean" if mean else "max",
        planes=product(x.shape[:-2]),
        input=list(x.shape[-2:]),
        output=list(out.shape[-2:]),
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        outside=outside and any(padding),
    )


def _pair(value: Any) -> list[int]:
    return (
        [int(value)] * 2 if isinstance(value, int) else [int(each) for each in (value if len(value) == 2 else [*value, *value])]
    )


def batch_norm(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """With the running mean and variance."""
    x, weight, bias, mean, variance = args[:5]
    training, epsilon = (args[5], args[7]) if "no_training" not in name else (False, args[6])
    if training or mean is None:
        raise NotExportedError("it normalises by what it sees in the batch, so one picture alone is another computation")
    scale = (variance + epsilon).rsqrt() * (1 if weight is None else weight)
    shift = (0 if bias is None else bias) - mean * scale
    _scale(tape, out, tape.dense(x), scale, shift, product(x.shape[2:]))


def _scale(tape: Tape, out: Tensor, x: Ref, scale: Tensor, shift: Tensor, inner: int) -> None:
    """X * scale + shift, of which each number belongs to ``inner`` neighbours, again and again."""
    inputs = [x, tape.constant(scale.detach().contiguous()), tape.constant(shift.detach().contiguous())]
    tape.step("scale", out, inputs, count=len(scale), inner=inner, n=out.numel())


def layer_norm(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """Over the last sides."""
    x, shape, weight, bias, epsilon = args[:5]
    count = product(shape)
    plain = out if weight is None and bias is None else torch.empty_like(out)
    tape.step("normalise", plain, [tape.dense(x)], rows=x.numel() // count, n=count, epsilon=epsilon)
    if plain is not out:
        scale = torch.ones(count) if weight is None else weight.flatten()
        shift = torch.zeros(count) if bias is None else bias.flatten()
        _scale(tape, out, tape.ref(plain), scale, shift, 1)


def group_norm(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """Over groups of channels."""
    x, weight, bias, batch, channels, inner, groups, epsilon = args[:8]
    plain = out if weight is None and bias is None else torch.empty_like(out)
    tape.step("normalise", plain, [tape.dense(x)], rows=batch * groups, n=channels // groups * inner, epsilon=epsilon)
    if plain is not out:
        scale = torch.ones(channels) if weight is None else weight
        shift = torch.zeros(channels) if bias is None else bias
        _scale(tape, out, tape.ref(plain), scale, shift, inner)
