"""PyTorch's operations as steps that a small program can run: what each becomes, one function per family.

What moves numbers without changing them is found by moving their indices instead (`_moved`), and resampling, which is the
same along each side of a picture, by resampling single rows and columns (`_resampled`). So new operations of these kinds need
their name in a list and no code. What is in no list is taken apart by PyTorch's own decompositions, where it has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from attnlab.explain.in_browser.layers import batch_norm, convolution, group_norm, layer_norm, pooled
from attnlab.explain.in_browser.tape import Buffer, NotExportedError, Ref, Step, Tape, collapsed, dense_strides, product

Lowering = Callable[[Tape, str, Tensor, Any, Any], None]
"""(tape, name of the operation, its dense result, arguments, named arguments)"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNARY = _names("relu sigmoid tanh hardswish hardsigmoid silu sqrt rsqrt neg exp log log1p abs erf reciprocal")
_BINARY = {name: name for name in _names("add sub mul div gt ge lt le")} | {"maximum": "max", "minimum": "min"}
_REDUCTIONS = frozenset(("sum", "mean", "amax", "amin", "var"))
_MOVES = _names(
    "index roll flip constant_pad_nd reflection_pad2d replication_pad2d repeat im2col gather index_select pixel_shuffle "
    "pixel_unshuffle channel_shuffle upsample_nearest2d"
)
_RESAMPLES = _names("upsample_bilinear2d upsample_bicubic2d _upsample_bilinear2d_aa _adaptive_avg_pool2d adaptive_avg_pool2d")
_COPIES = frozenset(("clone", "_to_copy", "contiguous", "lift_fresh_copy"))


def lower(tape: Tape, func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """Runs an operation and writes it down.

    Raises:
        NotExportedError: when it is none that can be written down.
    """
    return (_in_place if func._schema.is_mutable else _new)(tape, func, name, args, kwargs)


def _new(tape: Tape, func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """An operation with a result of its own, which is dense, whatever PyTorch would have made."""
    how = _how(name)
    if how is None:
        return _decomposed(tape, func, name, args, kwargs)
    result = func(*args, **kwargs)
    several = isinstance(result, tuple | list)
    first = result[0] if several else result
    if not (first.is_floating_point() or first.dtype is torch.bool):  # true is 1, false 0
        raise NotExportedError(f"the operation {name!r} makes numbers of a kind that the browser's program does not have")
    out = first if first.is_contiguous() else first.contiguous()
    how(tape, name, out, args, kwargs)
    return type(result)([out, *result[1:]]) if several else out


def _in_place(tape: Tape, func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """An operation that changes its first argument: the same without changing it, and then the argument is another."""
    target: Tensor = args[0]
    before = tape.ref(target)
    whole = target.is_contiguous() and target.untyped_storage().nbytes() == target.numel() * target.element_size()
    if name in ("scatter_add_", "index_put_", "scatter_", "index_copy_", "index_add_"):
        made = _scattered(tape, func, name, args, kwargs)
    else:
        functional = getattr(torch.ops.aten, name.removesuffix("_"), None)
        pure = getattr(functional, func._overloadname, None)
        if pure is None:
            raise NotExportedError(f"it uses the operation {name!r}, which the browser's program does not have")
        made = tape.ref(_new(tape, pure, name.removesuffix("_"), args, kwargs))
    result = func(*args, **kwargs)
    if whole:
        tape.set_buffer(target, tape.dense_ref(made).buffer)
        return result
    size = target.untyped_storage().nbytes() // target.element_size()
    base = Buffer(size)
    tape.copy(base, Ref(before.buffer, (size,), (1,)), (1,))
    tape.copy(base, made, target.stride(), int(target.storage_offset()), partly=True)
    tape.set_buffer(target, base)
    return result


def _decomposed(tape: Tape, func: Any, name: str, args: Any, kwargs: Any) -> Any:
    if name.startswith("_scaled_dot_product"):
        with tape:
            mask = kwargs.get("attn_mask", kwargs.get("attn_bias"))
            causal = args[4] if len(args) > 4 else kwargs.get("is_causal", False)
            math = torch.ops.aten._scaled_dot_product_attention_math
            return (math(*args[:3], mask, 0.0, causal, scale=kwargs.get("scale"))[0], *[None] * 8)
    from torch._decomp import decomposition_table  # imports the compiler, which few networks need

    with tape:
        if func in decomposition_table:
            return decomposition_table[func](*args, **kwargs)
        result = func.decompose(*args, **kwargs)
    if result is NotImplemented:
        raise NotExportedError(f"it uses the operation {name!r}, which the browser's program does not have")
    return result


# ---- families ------------------------------------------------------------------------------------------------------------


def _how(name: str) -> Lowering | None:
    if name in _UNARY:
        return _unary
    if name in _BINARY:
        return _binary
    if name in _REDUCTIONS:
        return _reduced
    if name in _MOVES:
        return _moved
    if name in _RESAMPLES:
        return _resampled
    if name in _COPIES:
        return _copied
    return _SINGLE.get(name)


def _unary(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    tape.step("unary", out, [tape.dense(args[0])], fn=name)


def _pow(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    if isinstance(args[1], Tensor):
        raise NotExportedError("it uses a power whose exponent is computed, which the browser's program does not have")
    tape.step("unary", out, [tape.dense(args[0])], fn="pow", p=float(args[1]))


def _gelu(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    about = kwargs.get("approximate", args[1] if len(args) > 1 else "none")
    tape.step("unary", out, [tape.dense(args[0])], fn="gelu" if about == "none" else "gelu_tanh")


def _clamp(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    low, high = (*args[1:], None, None)[:2]
    if name == "clamp_max":
        low, high = None, low
    low, high = kwargs.get("min", low), kwargs.get("max", high)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        raise NotExportedError("it cuts numbers off at limits that are computed")
    lowest, highest = (-3e38 if low is None else float(low)), (3e38 if high is None else float(high))
    tape.step("unary", out, [tape.dense(args[0])], fn="clamp", p=lowest, q=highest)


def _binary(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    if kwargs.get("rounding_mode") is not None:
        raise NotExportedError("it rounds the result of a division")
    operands = []
    for each in args[:2]:
        tensor = each if isinstance(each, Tensor) else torch.tensor(float(each))
        operands.append(_spread(tape.ref(tensor), tuple(out.shape)))
    alpha = float(kwargs.get("alpha", args[2] if len(args) > 2 else 1))
    _combine(tape, _BINARY[name], out, operands, alpha)


def _where(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    operands = [_spread(tape.ref(each), tuple(out.shape)) for each in args]
    strides = (*(each.strides for each in operands), dense_strides(tuple(out.shape)))
    dims, a, b, c, _ = collapsed(tuple(out.shape), *strides)
    tape.step("where", out, operands, dims=dims, a=a, b=b, c=c)


def _rsub(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    _binary(tape, "sub", out, (args[1], args[0]), kwargs)


def _combine(tape: Tape, fn: str, out: Tensor, operands: list[Ref], alpha: float = 1.0) -> None:
    left, right = operands
    dims, a, b, _ = collapsed(tuple(out.shape), left.strides, right.strides, dense_strides(tuple(out.shape)))
    tape.step("binary", out, operands, fn=fn, dims=dims, a=a, b=b, alpha=alpha)


def _spread(ref: Ref, shape: tuple[int, ...]) -> Ref:
    """The same numbers for each place of a larger shape, as PyTorch broadcasts them."""
    missing = len(shape) - len(ref.shape)
    strides = [0 if size == 1 else stride for size, stride in zip(ref.shape, ref.strides, strict=True)]
    return ref.view(shape, (*[0] * missing, *strides))


def _reduced(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    x: Tensor = args[0]
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = range(x.ndim) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    axes = sorted(axis % x.ndim for axis in dims)
    ref = tape.ref(x)
    together = axes == list(range(axes[0], axes[-1] + 1))
    if not (ref.dense and together):
        order = [axis for axis in range(x.ndim) if axis not in axes] + axes
        ref = tape.dense_ref(ref.view([ref.shape[axis] for axis in order], [ref.strides[axis] for axis in order]))
        axes = list(range(x.ndim - len(axes), x.ndim))
    outer, count, inner = (product(ref.shape[part]) for part in _around(axes))
    correction = kwargs.get("correction", 1)
    tape.step("reduce", out, [ref], fn=name, outer=outer, n=count, inner=inner, less=1 if correction is None else correction)


def _softmax(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    axis = args[1] % args[0].ndim
    outer, count, inner = (product(args[0].shape[part]) for part in _around([axis]))
    tape.step("softmax", out, [tape.dense(args[0])], outer=outer, n=count, inner=inner)


def _around(axes: list[int]) -> tuple[slice, slice, slice]:
    return slice(0, axes[0]), slice(axes[0], axes[-1] + 1), slice(axes[-1] + 1, None)


def _copied(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    _copy_into_new(tape, out, tape.ref(args[0]))


def _copy_to(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    _copy_into_new(tape, out, _spread(tape.ref(args[1]), tuple(out.shape)))


def _copy_into_new(tape: Tape, out: Tensor, ref: Ref) -> None:
    buffer = Buffer(out.numel())
    tape.set_buffer(out, buffer)
    tape.copy(buffer, ref, dense_strides(tuple(out.shape)))


def _joined(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """Cat and stack: each part is copied to its place."""
    parts: list[Tensor] = [each for each in args[0] if each.numel()]
    axis = (kwargs.get("dim", args[1] if len(args) > 1 else 0)) % out.ndim
    stacked = name == "stack"
    strides = dense_strides(tuple(out.shape))
    buffer, at = Buffer(out.numel()), 0
    for part in parts:
        ref = tape.ref(part)
        places = [each for index, each in enumerate(strides) if not (stacked and index == axis)]
        tape.copy(buffer, ref, places, at * strides[axis], partly=True)
        at += 1 if stacked else part.shape[axis]
    tape.set_buffer(out, buffer)


def _moved(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """Each number of the result is one of the input, or a fixed one: the operation is run on the numbers' indices."""
    x: Tensor = args[0]
    rest, fill = list(args[1:]), 0.0
    if name == "constant_pad_nd":
        fill = float(rest[1]) if len(rest) > 1 else float(kwargs.get("value", 0))
        rest = rest[:1]
    if any(isinstance(each, Tensor) and tape.depends(each) for each in torch.utils._pytree.tree_leaves(rest)):
        raise NotExportedError("it reads from places that it chooses by looking at the picture")
    numbered = torch.arange(1, x.numel() + 1, dtype=torch.float64).view(x.shape)
    places = getattr(torch.ops.aten, name)(numbered, *rest).to(torch.int32).flatten() - 1
    tape.step("gather", out, [tape.dense(x)], places=places, fill=fill)


def _scattered(tape: Tape, func: Any, name: str, args: Any, kwargs: Any) -> Ref:
    """Numbers written to, or added to, places that are always the same."""
    target: Tensor = args[0]
    numbered = torch.arange(target.numel()).view(target.shape)
    add = "add" in name or bool(args[3] if name == "index_put_" and len(args) > 3 else kwargs.get("accumulate", False))
    if name == "index_put_":
        indices, source = args[1], args[2]
        chosen = [each for each in indices if each is not None]
        places = numbered[tuple(slice(None) if each is None else each for each in indices)]
    elif name in ("scatter_add_", "scatter_"):
        axis, index, source = args[1:4]
        chosen = [index]
        places = numbered.gather(axis, index)
    else:
        raise NotExportedError(f"it uses the operation {name!r}, which the browser's program does not have")
    if any(tape.depends(each) for each in chosen):
        raise NotExportedError("it writes to places that it chooses by looking at the picture")
    if not isinstance(source, Tensor):
        source = torch.tensor(float(source))
    ref = tape.ref(source)
    spread = name == "index_put_" or not source.ndim
    ref = _spread(ref, tuple(places.shape)) if spread else ref.view(places.shape, ref.strides)
    source_ref, base = tape.dense_ref(ref), tape.dense(target)
    out = Buffer(target.numel())
    numbers = {"places": places.flatten().to(torch.int32), "add": add}
    tape.steps.append(Step("scatter", out, [base, source_ref], numbers))
    return Ref(out, tuple(target.shape), dense_strides(tuple(target.shape)))


def _resampled(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    """The same weighted sums along each side: as products with two matrices, found by resampling single rows and columns."""
    x: Tensor = args[0]
    planes, height, width = product(x.shape[:-2]), x.shape[-2], x.shape[-1]
    resample = getattr(torch.ops.aten, name)
    rows = resample(torch.eye(height)[:, None, :, None].expand(-1, 1, -1, width).contiguous(), *args[1:], **kwargs)[:, 0, :, 0]
    columns = resample(torch.eye(width)[:, None, None, :].expand(-1, 1, height, -1).contiguous(), *args[1:], **kwargs)[
        :, 0, 0, :
    ]
    tall, wide = rows.shape[1], columns.shape[1]
    narrow = torch.empty(planes, height, wide)
    right, left = tape.constant(columns.contiguous()), tape.constant(rows.t().contiguous())
    _multiply(tape, narrow, tape.dense(x), right, batch=1, m=planes * height, n=wide, k=width)
    _multiply(tape, out, left, tape.ref(narrow), batch=planes, m=tall, n=wide, k=height, same_left=True)


def _matmul(tape: Tape, name: str, out: Tensor, args: Any, kwargs: Any) -> None:
    if name in ("addmm", "baddbmm"):
        added, left, right = args[:3]
        if kwargs.get("beta", 1) != 1 or kwargs.get("alpha", 1) != 1:
            raise NotExportedError("it uses a matrix product with factors, which the browser's program does not have")
        product = torch.empty_like(out)
        _matmul(tape, "product", product, (left, right), {})
        _combine(tape, "add", out, [_spread(tape.ref(each), tuple(out.shape)) for each in (product, added)])
        return
    left, right = args[:2]
    batch = left.shape[0] if left.ndim == 3 else 1
    m, k, n = left.shape[-2], left.shape[-1], right.shape[-1]
    _multiply(tape, out, tape.dense(left), tape.dense(right), batch=batch, m=m, n=n, k=k)


def _multiply(tape: Tape, out: Tensor, left: Ref, right: Ref, *, same_left: bool = False, **sizes: int) -> None:
    tape.multiplications += sizes["batch"] * sizes["m"] * sizes["n"] * sizes["k"]
    tape.step("matmul", out, [left, right], same=same_left, **sizes)


_SINGLE: dict[str, Lowering] = {
    "pow": _pow,
    "gelu": _gelu,
    "rsub": _rsub,
    "where": _where,
    "_softmax": _softmax,
    "_safe_softmax": _softmax,
    "cat": _joined,
    "stack": _joined,
    "copy": _copy_to,
    "mm": _matmul,
    "bmm": _matmul,
    "addmm": _matmul,
    "baddbmm": _matmul,
    "convolution": convolution,
    "max_pool2d_with_indices": pooled,
    "avg_pool2d": pooled,
    "native_batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm,
    "native_layer_norm": layer_norm,
    "native_group_norm": group_norm,
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "hardtanh"), _clamp),
}
