"""The data path of a module, read from one forward: which operation takes which tensor, with the tensors themselves.

A function mode sees every operation, hooks see every call of a module. Modules without parts count as one operation, and so do
those that the caller names. Operations that only rearrange numbers (reshape, transpose, indexing) are not steps: the arrow
from one step to the next carries the tensor as it is taken. What a module computes from constants alone is no step either.

Attention between positions is followed with its map held whole, so that the softmax and the sum over the values are steps,
where the fast path is a single fused operation. The numbers are the same up to rounding.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from attnlab.attention import AttentionMap, AttentionTap, edit_attention
from attnlab.maps import MapKind

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Arrow:
    """A tensor on its way.

    Attributes:
        source: number of the step that made it.
        shape: as the taking step gets it, of one image.
    """

    source: int
    shape: Shape


@dataclass(frozen=True, eq=False)
class Step:
    """One operation.

    Attributes:
        kind: "input", "parameter", "operation", "module", "weights" (a tap) or "output".
        label: what it does, in words.
        path: of the module or parameter, for `Path.values`; empty for a plain operation.
        value: what it gives, of one image.
        arrows: what it takes; none for the input and for parameters.
    """

    kind: str
    label: str
    path: str
    value: Tensor
    arrows: tuple[Arrow, ...]


@dataclass(frozen=True, eq=False)
class Path:
    """A forward.

    Attributes:
        steps: in the order in which they ran; each takes from steps before it. The first is the input, the last the output.
        values: what stands in equations, of one image: "x" and "y"; by path the output of every module, the weights of a tap
            and every parameter; "<path>.in" what goes into a module; "<operation>()" the first result of a function of torch
            of this name outside of modules without parts, "<operation>()2" the second.
    """

    steps: tuple[Step, ...]
    values: dict[str, Tensor]


def follow(module: nn.Module, x: Tensor, whole: Collection[str] = ()) -> Path:
    """Runs a copy of ``module`` in evaluation mode on one input, and tells its steps.

    Args:
        x: (1, ...), one image or its features.
        whole: paths of modules that are one step each, whatever they are made of.
    """
    block = copy.deepcopy(module).eval()
    trace = _Trace(block, x, frozenset(whole))
    with torch.no_grad(), edit_attention(block, _held, required=False), trace.hooked(), trace:
        y = block(x)
    return trace.told(y)


def _held(attention: AttentionMap) -> Tensor | None:
    """An edit that changes nothing, under which a block of pairs holds its map."""
    return attention.values.clone() if attention.kind is MapKind.PAIRWISE else None


_REARRANGES = frozenset(
    (
        *("view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "expand", "expand_as", "contiguous", "clone"),
        *("transpose", "permute", "movedim", "swapaxes", "t", "mT", "T", "squeeze", "unsqueeze"),
        *("split", "chunk", "unbind", "narrow", "select", "__getitem__", "to", "float", "type_as", "detach"),
    )
)
_CONSTANTS = frozenset(["new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"])
"""Take the kind of numbers of a tensor, and none of its values."""
_WORDS = {
    "mul": "multiply",
    "add": "add",
    "sub": "subtract",
    "rsub": "subtract",
    "div": "divide",
    "truediv": "divide",
    "pow": "power",
    "neg": "negate",
    "matmul": "matrix product",
    "bmm": "matrix product",
    "einsum": "multiply and sum",
    "sum": "sum",
    "mean": "mean",
    "var": "variance",
    "amax": "maximum",
    "max": "maximum",
    "square": "square",
    "sqrt": "square root",
    "abs": "size",
    "relu": "ReLU",
    "gelu": "GELU",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softmax": "softmax",
    "stack": "side by side",
    "cat": "join",
    "pad": "zeros around it",
    "conv2d": "convolution",
    "linear": "linear layer",
    "unfold": "windows",
    "interpolate": "enlarge",
    "avg_pool2d": "mean of windows",
    "adaptive_avg_pool2d": "mean of windows",
    "max_pool2d": "maximum of windows",
    "scatter_add": "put in place",
    "setitem": "put in place",
    "scaled_dot_product_attention": "attention",
}
_OVER = frozenset(("sum", "mean", "var", "amax", "max", "softmax"))


class _Trace(TorchFunctionMode):
    def __init__(self, block: nn.Module, x: Tensor, whole: frozenset[str]) -> None:
        super().__init__()
        self._block = block
        self._whole = whole
        self._steps: list[Step] = []
        self._made: dict[int, tuple[Tensor, int]] = {}  # a tensor, kept so that no other takes its identity, and its step
        self._parameters = {id(each): name for name, each in [*block.named_parameters(), *block.named_buffers()]}
        self._values: dict[str, Tensor] = dict(block.named_parameters()) | {"x": _one(x)}
        self._counts: Counter[str] = Counter()
        self._taps: dict[str, int] = {}
        self._inside = 0
        self._shape = _shape(x)
        self._add("input", "input", "", x, [])

    # ---- what is seen -----------------------------------------------------------------------------------------------

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if not self._inside:
            self._operation(func, args, kwargs, result)
        return result

    def _operation(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        spelt = getattr(func, "__name__", "")
        taken = self._known([*args, *kwargs.values()])
        outputs = list(_tensors(args[0] if result is None else result))
        if not taken or not outputs or not outputs[0].is_floating_point() or spelt in _CONSTANTS:
            return
        sources = {self._made[id(each)][1] for each in taken}
        heads = spelt == "stack" and len(sources) == 1 and self._steps[min(sources)].kind == "weights"
        if heads or spelt in _REARRANGES or (len(taken) == 1 and torch.equal(outputs[0], taken[0])):
            for each in outputs:
                self._made[id(each)] = (each, self._made[id(taken[0])][1])
            return
        name = spelt.strip("_").removeprefix("r") if spelt.startswith("__r") else spelt.strip("_")
        self._counts[name] += 1
        count = self._counts[name]
        self._values[f"{name}(){count if count > 1 else ''}"] = _one(outputs[0])
        self._add("operation", self._words(name, args, kwargs), "", outputs, taken)

    def _words(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """What an operation does, with the sides that it goes over, or the number that takes part."""
        words = _WORDS.get(name, name.replace("_", " "))
        if name in _OVER and isinstance(args[0], Tensor):
            over = _sides(args[0], kwargs.get("dim", args[1] if len(args) > 1 else None), self._shape)
            return f"{words} over {over}" if over else words
        numbers = [each for each in args[:2] if isinstance(each, int | float) and not isinstance(each, bool)]
        return f"{words} {numbers[0]:.4g}" if numbers else words

    @contextmanager
    def hooked(self) -> Iterator[None]:
        with ExitStack() as hooks:
            for path, module in self._block.named_modules():
                if path:
                    single = path in self._whole or not any(True for _ in module.children())
                    hooks.callback(module.register_forward_pre_hook(self._enters(single)).remove)
                    leaves = self._leaves(path, module, single)
                    hooks.callback(module.register_forward_hook(leaves, with_kwargs=True).remove)
            yield

    def _enters(self, single: bool) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any) -> None:
            self._inside += single

        return hook

    def _leaves(self, path: str, module: nn.Module, single: bool) -> Callable[..., None]:
        def hook(_: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            self._inside -= single
            outputs = list(_tensors(output))
            if args and isinstance(args[0], Tensor) and outputs:
                self._values.setdefault(f"{path}.in", _one(args[0]))
                if not isinstance(module, AttentionTap):
                    self._values.setdefault(path, _one(outputs[0]))
            if self._inside or not single or not outputs:
                return
            taken = self._known([*args, *kwargs.values()])
            if isinstance(module, AttentionTap):
                self._weights(path, module, outputs, taken)
            elif taken and outputs[0] is not taken[0]:
                self._add("module", module_words(module), path, outputs, taken)

        return hook

    def _weights(self, path: str, tap: AttentionTap, outputs: list[Tensor], taken: list[Tensor]) -> None:
        """One step for a tap, however many heads pass through it one after the other."""
        number = self._taps.get(path)
        if number is None:
            self._taps[path] = self._add("weights", f"weights: {tap.kind}, {tap.scale}", path, outputs, taken)
            self._values[path] = _one(outputs[0])
            return
        before = self._steps[number]
        heads = before.value if before.value.ndim == outputs[0].ndim else before.value[None]
        value = torch.cat([heads, outputs[0]])
        self._steps[number] = Step(before.kind, before.label, path, value, before.arrows)
        self._values[path] = value
        for each in outputs:
            self._made[id(each)] = (each, number)

    # ---- what is kept -----------------------------------------------------------------------------------------------

    def _known(self, values: list[Any]) -> list[Tensor]:
        """The tensors among some arguments that a step made; parameters become steps of their own."""
        found = []
        for each in values:
            for tensor in _tensors(each):
                if id(tensor) not in self._made and id(tensor) in self._parameters:
                    name = self._parameters[id(tensor)]
                    self._add("parameter", name.rpartition(".")[2].replace("_", " "), name, tensor, [])
                if id(tensor) in self._made:
                    found.append(tensor)
        return found

    def _add(self, kind: str, label: str, path: str, made: Tensor | list[Tensor], taken: list[Tensor]) -> int:
        tensors = made if isinstance(made, list) else [made]
        arrows = tuple(Arrow(self._made[id(each)][1], _shape(each)) for each in taken)
        number = len(self._steps)
        value = tensors[0].detach() if kind == "parameter" else _one(tensors[0])
        self._steps.append(Step(kind, label, path, value, arrows))
        for each in tensors:
            self._made[id(each)] = (each, number)
        return number

    def told(self, y: Any) -> Path:
        """The steps on which the output depends, with the output as the last."""
        output = next(_tensors(y))
        self._values["y"] = _one(output)
        self._add("output", "output", "", output, [output])
        needed: set[int] = set()
        open_ = [len(self._steps) - 1]
        while open_:
            number = open_.pop()
            if number not in needed:
                needed.add(number)
                open_ += [arrow.source for arrow in self._steps[number].arrows]
        order = {old: new for new, old in enumerate(sorted(needed | {0}))}
        steps = [
            Step(each.kind, each.label, each.path, each.value, tuple(Arrow(order[a.source], a.shape) for a in each.arrows))
            for number, each in enumerate(self._steps)
            if number in order
        ]
        return Path(tuple(steps), self._values)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors(each)


def _one(value: Tensor) -> Tensor:
    """Of one image: without the batch in front."""
    value = value.detach()
    return value[0] if value.ndim > 1 and len(value) == 1 else value


def _shape(value: Tensor) -> Shape:
    return tuple(_one(value).shape)


def _sides(value: Tensor, dims: Any, features: Shape) -> str:
    """The sides of a tensor in words: channels, rows, columns, positions.

    Args:
        features: (C, H, W) of what enters the block.
    """
    if dims is None or isinstance(dims, Tensor):
        return ""
    chosen = sorted(dim % value.ndim for dim in ([dims] if isinstance(dims, int) else dims))
    if value.ndim == 4 and chosen == [2, 3]:
        return "positions"
    words = []
    for dim in chosen:
        place = value.ndim - dim  # 1: the last side
        flat = len(features) == 3 and value.shape[dim] == features[1] * features[2]
        pairs = value.ndim > 3 and value.shape[-1] == value.shape[-2]
        if flat and (value.ndim == 3 or pairs or (value.ndim == 2 and value.shape[1] != features[0])):
            words.append("positions")
        elif value.ndim == 4 and place <= 2:
            words.append("columns" if place == 1 else "rows")
        elif dim == 1 and value.ndim < 5:
            words.append("channels")
        else:
            words.append(f"{value.shape[dim]} numbers")
    return " and ".join(words)


def module_words(module: nn.Module) -> str:
    """What a module does, in words, with its widths."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
        up = "enlarging convolution" if isinstance(module, nn.ConvTranspose2d) else "convolution"
        kernel = " × ".join(map(str, module.kernel_size))
        gaps = f", gaps of {module.dilation[0]}" if max(module.dilation) > 1 else ""
        apart = "each channel alone, " if module.groups == module.in_channels > 1 else ""
        return f"{up} {kernel} ({apart}{module.in_channels} → {module.out_channels}{gaps})"
    if isinstance(module, nn.Linear):
        return f"linear layer ({module.in_features} → {module.out_features})"
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        return "batch norm"
    if isinstance(module, nn.MaxPool2d | nn.AvgPool2d):
        return f"{'maximum' if isinstance(module, nn.MaxPool2d) else 'mean'} of {module.kernel_size} × {module.kernel_size}"
    known = {"Flatten": "flatten", "LayerNorm": "layer norm", "Sigmoid": "sigmoid"}
    name = type(module).__name__.strip("_")
    return known.get(name, name)
