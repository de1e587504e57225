"""Where the maps of a network lie in the picture, found by walking the network once.

One forward of an empty picture runs under a dispatch mode that sees every operation and carries the place of the cells
(`attnlab.geometry.Cells`) from the operation's inputs to its output: convolutions, pooling, cropping, padding and resizing
move them, element-wise operations keep them, and what else there is loses them. A map lies where the features lie that its
weights act on, which are those that enter its block. What happens inside a block is not counted: its weights may depend on
the whole picture, and each still scales or reads one place.

In a transformer the features of a place become a token, and stay at this place through all blocks. So a network of tokens says
by the attribute ``tokens_of`` which of its modules makes the map whose positions become tokens, and its maps lie where that
lies.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from itertools import groupby
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from attnlab.attention._derived import derived_blocks
from attnlab.attention._modes import evaluating
from attnlab.attention._tap import AttentionMap, attention_taps, record_attention
from attnlab.geometry import Axis, Cells, picture_cells
from attnlab.maps import MapKind, tap_of

_OPS = torch.ops.aten


@runtime_checkable
class KnowsItsPlaces(Protocol):
    """A network that says itself where its maps lie, as what `attnlab.adopt` makes does."""

    def located_maps(self, shape: tuple[int, int, int]) -> dict[str, Cells]: ...


def locate_maps(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, Cells]:
    """Where the features lie in the picture that each tap's weights act on. Takes one forward of one picture.

    Args:
        model: any network with taps; its mode and hooks are as before afterwards.
        shape: (C, H, W) of the pictures.

    Returns:
        Path of the tap -> `Cells` of the features that enter its block, of the keys where the map is PAIRWISE and small
        enough to be recorded; a margin has one cell along the side over which it is the same. Derived maps
        (`attnlab.attention.record_derived`) lie where the features lie. `with_cells` puts them on a map. Taps behind an
        operation that loses the place are left out, and so are taps whose block is used at several places.

    >>> from torch import nn
    >>> from attnlab.attention import build_attention
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), build_attention("cbam_spatial", 8, (15, 15)))
    >>> locate_maps(net, (3, 32, 32))["2.cbam_spatial.tap"].rows
    Axis(start=2.0, step=2, field=4)
    """
    if isinstance(model, KnowsItsPlaces):
        return model.located_maps(shape)
    taps = attention_taps(model)
    if not taps:
        return {}
    derived = derived_blocks(model)
    patches = {name: path for name in taps if (path := _patches(model, name)) is not None}
    blocks = {name.rpartition(".")[0] for name in taps} | set(derived.values()) | set(patches.values())
    with record_attention(model) as maps:
        found = locate_calls(model, shape, {path: model.get_submodule(path) for path in blocks})
    coarser = {tap_of(each.name): _coarser(each, found[each.name.rpartition(".")[0]].size) for each in maps}
    of_taps = {
        name: cells.merged(*coarser.get(name, (1, 1)))
        for name in taps
        if (cells := found[patches[name]].leaving if name in patches else found[name.rpartition(".")[0]].entering) is not None
    }
    return of_taps | {name: cells for name, path in derived.items() if (cells := found[path].entering) is not None}


def _patches(model: nn.Module, tap: str) -> str | None:
    """The path of the module that makes the patches behind a tap in a network of tokens, see the top of this file."""
    path = tap
    while path:
        path = path.rpartition(".")[0]
        made_of = getattr(model.get_submodule(path), "tokens_of", None)
        if isinstance(made_of, str):
            return f"{path}.{made_of}" if path else made_of
    return None


def _coarser(attention: AttentionMap, size: tuple[int, int] | None) -> tuple[int, int]:
    """How many rows and columns of the features, of this size, one cell of their map stands for."""
    if attention.kind is MapKind.PAIRWISE:
        height, width = attention.queries or attention.grid
        return height // attention.grid[0], width // attention.grid[1]
    if attention.kind is MapKind.ELEMENT and size is not None:
        return size[0] // attention.grid[0], size[1] // attention.grid[1]
    return 1, 1


@dataclass(frozen=True)
class Located:
    """Where the features lie that enter and leave a module; `None` where that is not known.

    Attributes:
        size: (H, W) of those that enter.
    """

    entering: Cells | None
    leaving: Cells | None
    size: tuple[int, int] | None = field(default=None, compare=False)


def locate_calls(model: nn.Module, shape: tuple[int, int, int], modules: Mapping[str, nn.Module]) -> dict[str, Located]:
    """Where the features lie that enter and leave some modules of a network, by the names given to the modules.

    An attention block is passed over: its output lies where its input does. So is a mixer, but for one that chooses between
    convolutions (its maps are BRANCH maps): they are counted as those of the network are. Of several inputs that one counts
    whose cells see least. A module that is called at several places has no known place.
    """
    weight = next(model.parameters(), None)
    picture = torch.zeros(1, *shape, device=None if weight is None else weight.device)
    walk = CellWalk()
    walk.put(picture, picture_cells())
    calls: dict[str, set[Located]] = {name: set() for name in modules}
    thread = threading.get_ident()  # the network may be shared, and another thread may run it meanwhile

    def pass_over(block: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        ours = threading.get_ident() == thread
        if not (ours and isinstance(output, Tensor) and isinstance(inputs[0], Tensor)):
            return
        convolves = all(tap.kind is MapKind.BRANCH for tap in attention_taps(block).values()) and walk.get(output) is not None
        if output.shape[2:] == inputs[0].shape[2:] and not convolves:
            walk.put(output, walk.get(inputs[0]))

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() == thread:
            sharpest = walk.sharpest(inputs)
            size = None if sharpest is None else (sharpest.shape[-2], sharpest.shape[-1])
            calls[name].add(Located(walk.get(sharpest), walk.get(output), size))

    with ExitStack() as cleanup:
        for path in {name.rpartition(".")[0] for name in attention_taps(model)}:
            cleanup.callback(model.get_submodule(path).register_forward_hook(pass_over).remove)
        for name, module in modules.items():
            cleanup.callback(module.register_forward_hook(partial(note, name)).remove)
        with (
            evaluating(model),
            torch.no_grad(),
            walk,
        ):  # inference mode would show the walk whole layers instead of their operations
            model(picture)
    nowhere = Located(None, None)
    return {name: next(iter(places)) if len(places) == 1 else nowhere for name, places in calls.items()}


@contextmanager
def walk_cells(picture: Tensor) -> Iterator[CellWalk]:
    """Follows the place of cells through what this thread computes from a picture (B, C, H, W) inside the ``with``.

    The walk's ``get`` says where the rows and columns of a tensor lie in the picture, or `None`; ``put`` tells it what it lost.
    """
    walk = CellWalk()
    walk.put(picture, picture_cells())
    with walk:
        yield walk


def with_cells(attention: AttentionMap, located: Mapping[str, Cells]) -> AttentionMap:
    """The map with the place of its cells, from what `locate_maps` found; a CHANNEL or BRANCH map has none."""
    cells = located.get(tap_of(attention.name)) if attention.kind.placed else None
    return replace(attention, cells=cells)


class CellWalk(TorchDispatchMode):
    """Carries the place of cells through the operations of one forward.

    Tensors are known by identity, and kept, so that no other one takes the identity over.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[int, tuple[Tensor, Cells | None]] = {}

    def put(self, tensor: Tensor, cells: Cells | None) -> None:
        self._known[id(tensor)] = (tensor, cells)

    def get(self, tensor: object) -> Cells | None:
        return self._known.get(id(tensor), (None, None))[1]

    def sharpest(self, tensors: Sequence[object]) -> Tensor | None:
        """The tensor whose cells see least: of scores and the features they weigh, the features."""
        known = [(cells, each) for each in tensors if isinstance(each, Tensor) and (cells := self.get(each)) is not None]
        return min(known, key=lambda pair: pair[0].rows.field * pair[0].columns.field, default=(None, None))[1]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        first = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(first, Tensor) and first.ndim >= 2 and all(first is not each for each in args):
            self.put(first, self._place(func, args, kwargs or {}, first))
        return output

    def _place(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells | None:
        packet = func.overloadpacket
        if packet in _MOVES:
            before = self.get(args[0])
            return None if before is None else _MOVES[packet](before, args, kwargs, output)
        if packet not in _KEEPS and torch.Tag.pointwise not in func.tags:
            return None
        tensors = [each for arg in args for each in (arg if isinstance(arg, list | tuple) else [arg])]
        same = [each for each in tensors if isinstance(each, Tensor) and each.shape[-2:] == output.shape[-2:]]
        places = [cells for each in same if (cells := self.get(each)) is not None]
        distinct = [cells for cells, _ in groupby(places)]
        return reduce(Cells.joined, distinct) if distinct else None


_KEEPS = {
    _OPS.native_batch_norm,
    _OPS._native_batch_norm_legit_no_training,
    _OPS.cudnn_batch_norm,
    _OPS.miopen_batch_norm,
    _OPS.native_group_norm,
    _OPS.native_layer_norm,
    _OPS.native_dropout,
    _OPS._softmax,
    _OPS.amax,
    _OPS.max,
    _OPS.mean,
    _OPS.sum,
    _OPS.cat,
    _OPS.stack,
    _OPS.clone,
    _OPS.detach,
    _OPS.alias,
    _OPS._to_copy,
    _OPS.view,
    _OPS._unsafe_view,
    _OPS.expand,
    _OPS.unsqueeze,
    _OPS.squeeze,
    _OPS.select,
    _OPS.split,
    _OPS.channel_shuffle,
}
"""Besides element-wise operations: those after which a map of the same height and width lies where it was."""


def _pair(value: Any) -> tuple[int, int]:
    """A number or one or two numbers, for rows and columns."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    return (values[0], values[-1])


def _at(args: tuple[Any, ...], index: int, usual: Any) -> Any:
    return args[index] if len(args) > index else usual


def _along_both(before: Cells, move: Callable[[Axis, int], Axis]) -> Cells:
    return Cells(move(before.rows, 0), move(before.columns, 1))


def _convolution(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    kernel, stride, padding, dilation = (_pair(each) for each in (args[1].shape[-2:], args[3], args[4], args[5]))
    step = Axis.after_transposed if args[6] else Axis.after
    return _along_both(before, lambda axis, i: step(axis, kernel[i], stride[i], padding[i], dilation[i]))


def _max_pool(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    kernel = _pair(args[1])
    stride, padding, dilation = _pair(_at(args, 2, []) or kernel), _pair(_at(args, 3, 0)), _pair(_at(args, 4, 1))
    return _along_both(before, lambda axis, i: axis.after(kernel[i], stride[i], padding[i], dilation[i]))


def _mean_pool(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    kernel = _pair(args[1])
    stride, padding = _pair(_at(args, 2, []) or kernel), _pair(_at(args, 3, 0))
    return _along_both(before, lambda axis, i: axis.after(kernel[i], stride[i], padding[i]))


def _adaptive_pool(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells | None:
    wide, small = args[0].shape[-2:], output.shape[-2:]
    if wide[0] % small[0] or wide[1] % small[1]:
        return None  # windows of several widths
    return _along_both(before, lambda axis, i: axis.merged(wide[i] // small[i]))


def _slice(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    ndim = args[0].ndim
    dim, begin, every = _at(args, 1, 0) % ndim, _at(args, 2, 0) or 0, _at(args, 4, 1)
    if dim < ndim - 2:
        return before
    length = args[0].shape[dim]
    begin = min(begin + length if begin < 0 else begin, length)
    cut = ndim - 2  # the dimension of the rows
    return _along_both(before, lambda axis, i: axis.after(1, every, -begin) if dim == cut + i else axis)


def _pad(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    padding = list(args[1])  # left, right, top, bottom, ...
    padding += [0] * (4 - len(padding))
    return _along_both(before, lambda axis, i: axis.after(1, 1, padding[2 - 2 * i]))


def _resize(before: Cells, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Cells:
    small, large = args[0].shape[-2:], output.shape[-2:]
    return before.resized((small[0], small[1]), (large[0], large[1]))


_Move = Callable[[Cells, tuple[Any, ...], dict[str, Any], Tensor], Cells | None]
_MOVES: dict[Any, _Move] = {
    _OPS.convolution: _convolution,
    _OPS.max_pool2d_with_indices: _max_pool,
    _OPS.avg_pool2d: _mean_pool,
    _OPS._adaptive_avg_pool2d: _adaptive_pool,
    _OPS.adaptive_max_pool2d: _adaptive_pool,
    _OPS.slice: _slice,
    _OPS.constant_pad_nd: _pad,
    _OPS.reflection_pad2d: _pad,
    _OPS.replication_pad2d: _pad,
    _OPS.upsample_nearest2d: _resize,
    _OPS.upsample_bilinear2d: _resize,
    _OPS.upsample_bicubic2d: _resize,
}
"""Operations that move the cells."""
