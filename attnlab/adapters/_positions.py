"""Which position of the picture each element of a tensor belongs to, while a foreign network runs.

A transformer shows no map: it shows tokens, whose order is the business of its code (a class token in front, windows that are
cut out, shifted and padded, patches that are merged). So beside the tensors of one forward runs an array of the same shape
that says for each element where it comes from: a position of the last map of features. What moves elements is done to
that array too (`view`, `permute`, `roll`, `pad`, `cat`, ...), what mixes channels keeps the position, and what mixes
positions loses it. Scores of queries and keys belong to two positions, so they have two such arrays.

    id = 0 for no position (class tokens, padding), else 1 + sample * SAMPLE + index in the map
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from attnlab.adapters._calls import names
from attnlab.geometry import Cells, Size

SAMPLE = 2**24
"""The ids of two samples lie this far apart."""

MOVES = names(
    "view reshape permute transpose swapaxes swapdims movedim moveaxis flatten unflatten ravel squeeze unsqueeze "
    "expand expand_as broadcast_to view_as reshape_as repeat repeat_interleave tile roll flip fliplr flipud rot90 "
    "narrow select index_select __getitem__ chunk split tensor_split unbind unsafe_chunk unsafe_split hsplit vsplit "
    "dsplit gather take_along_dim t adjoint diagonal as_strided __get__ pixel_shuffle pixel_unshuffle"
)
"""Operations that move elements and compute nothing, and also ``Tensor.unfold``."""

KEEPS_WHOLE = names("contiguous clone detach to float half bfloat16 double type type_as cpu cuda requires_grad_")
"""Operations that leave every element where it is and change none of its value, but for its precision."""

_REDUCES = names("mean sum amax amin max min std var norm logsumexp")
MAPS = names(
    "conv2d conv_transpose2d max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d lp_pool2d interpolate "
    "upsample boolean_dispatch _max_pool2d max_pool2d_with_indices"
)
"""Operations that make a map of features from one."""
_LOSES = names("sort argsort topk multinomial cumsum fft2 ifft2 rfft2 irfft2")


@dataclass(frozen=True, eq=False)
class Positions:
    """Where the elements of one tensor lie.

    Attributes:
        ids: int64, each of the tensor's shape: one, or for scores those of the queries and of the keys.
        grid: (H, W) of the map whose positions these are.
        cells: where that map lies in the picture, where it is known.
    """

    ids: tuple[Tensor, ...]
    grid: Size
    cells: Cells | None


def fresh(output: Tensor, cells: Cells | None, owners: Tensor | None = None) -> Positions:
    """The positions of maps of features (B, C, H, W).

    Args:
        owners: the sample of each map, where a sample has several.
    """
    samples, _, height, width = output.shape
    index = torch.arange(height * width).view(1, 1, height, width)
    of = torch.arange(samples) if owners is None else owners
    ids = 1 + of.view(-1, 1, 1, 1) * SAMPLE + index
    return Positions((ids.expand(output.shape),), (height, width), cells)


class Operation(NamedTuple):
    """One operation of a forward: what it is called, as in "view", what it was given, and the tensors that came out."""

    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Sequence[Tensor]


def followed(
    operation: Operation,
    known: Callable[[object], Positions | None],
    cells: Callable[[Tensor], Cells | None],
    samples: int,
) -> list[Positions | None]:
    """The positions of the outputs of one operation.

    Args:
        known: the positions of a tensor that went in.
        cells: where a map of features lies in the picture.
        samples: how many pictures go through the network.
    """
    outputs = operation.outputs
    lost: list[Positions | None] = [None] * len(outputs)
    try:
        made = _followed(operation, known, cells, samples)
    except (RuntimeError, TypeError, IndexError, ValueError):  # a form of the call that only values of the network can take
        return lost
    return made if len(made) == len(outputs) else lost


def _followed(
    operation: Operation,
    known: Callable[[object], Positions | None],
    cells: Callable[[Tensor], Cells | None],
    samples: int,
) -> list[Positions | None]:
    name, func, args, kwargs, outputs = operation
    first = args[0] if args else None
    before = known(first)
    if name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack"):
        return [_joined(func, args, kwargs, known)]
    if name in MAPS:
        output = outputs[0]
        several: list[Positions | None] = [None] * (len(outputs) - 1)
        if output.ndim == 4 and len(output) == samples:
            return [fresh(output, cells(output)) if output.shape[2] * output.shape[3] > 1 else None, *several]
        if before is not None and output.ndim == 4 and (owners := _owners(before)) is not None:  # a map for each head
            return [fresh(output, cells(output), owners), *several]
        if before is None or output.ndim != 4 or output.shape[2:] != args[0].shape[2:]:
            return [None] * len(outputs)
        windows = (ids.amin(dim=1, keepdim=True).expand(output.shape) for ids in before.ids)
        return [Positions(tuple(windows), before.grid, before.cells)]
    if name in ("matmul", "bmm", "mm"):
        return [_product(args[0], args[1], outputs[0], known)]
    if name == "baddbmm":
        return [_product(args[1], args[2], outputs[0], known)]
    if name == "einsum":
        operands = args[1] if isinstance(args[1], list | tuple) else args[1:]
        return [_einsum(args[0], operands, outputs[0], known)]
    if name in ("linear", "conv1d"):
        if before is None:
            return [None]
        axis = -1 if name == "linear" else 1
        ids = tuple(each.amin(dim=axis, keepdim=True).expand(outputs[0].shape) for each in before.ids)
        return [Positions(ids, before.grid, before.cells)]
    if name in _LOSES:
        return [None] * len(outputs)
    if before is not None and isinstance(first, Tensor):
        if name in KEEPS_WHOLE:
            return [before]
        if name in ("pad", "_pad", "constant_pad_nd"):
            moved = (torch.nn.functional.pad(each, args[1] if len(args) > 1 else kwargs["pad"]) for each in before.ids)
            return [Positions(tuple(moved), before.grid, before.cells)]
        if name in MOVES or (name == "unfold" and outputs[0].ndim > first.ndim):
            return _moved(func, args, kwargs, before)
        if name in ("unfold", "fold"):
            as_floats = (func(each.double(), *args[1:], **kwargs).long() for each in before.ids)
            return [Positions(tuple(as_floats), before.grid, before.cells)]
        if name in _REDUCES and outputs[0].shape != first.shape:
            return [_reduced(before, first, args, kwargs)] + [None] * (len(outputs) - 1)
    return [_alike(args, kwargs, output, known) for output in outputs]


def _owners(where: Positions) -> Tensor | None:
    """The sample of each of several whole maps (maps, C, H, W); `None` where they are parts of one."""
    ids = where.ids[0]
    if ids.ndim != 4 or ids.shape[2:] != where.grid or not constant(ids, 1):
        return None
    index = torch.arange(where.grid[0] * where.grid[1]).view(where.grid)
    whole = bool(((ids[:, 0] - 1) % SAMPLE == index).all())
    return (ids[:, 0, 0, 0] - 1) // SAMPLE if whole else None


def _moved(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], before: Positions
) -> list[Positions | None]:
    if getattr(func, "__name__", "") == "view":  # ids are spread over dimensions that the tensor holds in full
        func = torch.Tensor.reshape
    made = [func(each, *args[1:], **kwargs) for each in before.ids]
    several = [each if isinstance(each, list | tuple) else [each] for each in made]
    return [Positions(tuple(each), before.grid, before.cells) for each in zip(*several, strict=True)]


def _joined(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], known: Callable[[object], Positions | None]
) -> Positions | None:
    parts = args[0] if args else kwargs["tensors"]
    found = [known(each) for each in parts]
    several = [each for each in found if each is not None]
    if not several:
        return None
    ids = [
        torch.zeros(part.shape, dtype=torch.int64) if each is None else each.ids[0]
        for part, each in zip(parts, found, strict=True)
    ]
    last = max(several, key=lambda each: int((each.ids[0] > 0).sum()))
    return Positions(
        (func(ids, *args[1:], **{key: value for key, value in kwargs.items() if key != "tensors"}),), last.grid, last.cells
    )


def _reduced(before: Positions, first: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Positions | None:
    dim = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis"))
    keep = kwargs.get("keepdim", args[2] if len(args) > 2 and isinstance(args[2], bool) else False)
    if dim is None:
        return None
    ids = tuple(each.amin(dim=dim, keepdim=keep) for each in before.ids if torch.equal(each.amin(dim=dim), each.amax(dim=dim)))
    return Positions(ids, before.grid, before.cells) if ids else None


def _alike(
    args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor, known: Callable[[object], Positions | None]
) -> Positions | None:
    """The positions of what is computed element by element: of the input with the output's shape, or one that spreads to it."""
    if not output.ndim:
        return None
    inputs = [*args, *kwargs.values()]
    found = [(each, where) for each in inputs if isinstance(each, Tensor) and (where := known(each)) is not None]
    for each, where in sorted(found, key=lambda pair: pair[0].shape != output.shape):
        if each.shape == output.shape:
            return where
        if each.ndim <= output.ndim and all(
            a in (1, b) for a, b in zip(reversed(each.shape), reversed(output.shape), strict=False)
        ):
            return Positions(tuple(ids.expand(output.shape) for ids in where.ids), where.grid, where.cells)
    return None


def constant(ids: Tensor, dim: int) -> bool:
    """Whether all elements along a dimension belong to the same position."""
    return ids.shape[dim] == 1 or ids.stride(dim) == 0 or bool((ids == ids.narrow(dim, 0, 1)).all())


def _distinct(found: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """One or two arrays of ids: a single query and its single key lie at one place, and are no pair."""
    return tuple(found[:1]) if len(found) > 1 and torch.equal(found[0], found[1]) else tuple(found[:2])


def _product(left: Tensor, right: Tensor, output: Tensor, known: Callable[[object], Positions | None]) -> Positions | None:
    if left.ndim < 2 or right.ndim < 2:
        return None
    found: list[Tensor] = []
    place: Positions | None = None
    for tensor, dim in ((left, -1), (right, -2)):
        where = known(tensor)
        if where is None:
            continue
        alone = known(right if tensor is left else left) is None  # weights of a layer: the first of what is mixed
        for ids in where.ids:
            if constant(ids, dim) or (alone and len(where.ids) == 1):
                found.append(ids.amin(dim=dim, keepdim=True).expand(output.shape))
                place = place or where
    return None if place is None else Positions(_distinct(found), place.grid, place.cells)


def _einsum(
    equation: object, operands: Sequence[Tensor], output: Tensor, known: Callable[[object], Positions | None]
) -> Positions | None:
    letters = einsum_letters(equation, len(operands))
    if letters is None:
        return None
    inputs, made = letters
    found: list[Tensor] = []
    place: Positions | None = None
    for tensor, named in zip(operands, inputs, strict=True):
        where = known(tensor)
        if where is None or len(named) != tensor.ndim:
            continue
        gone = [at for at, letter in enumerate(named) if letter not in made]
        alone = all(known(other) is None for other in operands if other is not tensor)
        for ids in where.ids:
            if alone or all(constant(ids, at) for at in gone):
                kept = ids.amin(dim=gone) if gone else ids
                left = [letter for letter in named if letter in made]
                order = sorted(range(len(left)), key=lambda at: made.index(left[at]))
                ordered = kept.permute(order)
                for at, letter in enumerate(made):
                    if letter not in left:
                        ordered = ordered.unsqueeze(at)
                found.append(ordered.expand(output.shape))
                place = place or where
    return None if place is None else Positions(_distinct(found), place.grid, place.cells)


def einsum_letters(equation: object, operands: int) -> tuple[list[str], str] | None:
    """The letters of the operands and of the result: "bhij,bhjd->bhid"; `None` for forms that are not followed."""
    if not isinstance(equation, str) or "." in equation or "->" not in equation:
        return None
    before, after = equation.replace(" ", "").split("->")
    inputs = before.split(",")
    return (inputs, after) if len(inputs) == operands and all(len(set(each)) == len(each) for each in inputs) else None
