"""Writes down what one forward of a network computes, as a list of few kinds of steps on flat arrays of numbers.

A `Tape` sees every operation that PyTorch dispatches while the network runs on one picture. What does not depend on the picture
is a constant and is never written down; what only looks at numbers in another order (views, transposes, windows) needs no step
either, since PyTorch itself says by strides where the numbers lie. The rest becomes steps of `lowering`. Sizes are those of
this one forward, so a step holds plain numbers and whoever runs it needs to know nothing of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from attnlab.attention import AttentionMap

_EMPTY = frozenset(
    (
        "zeros_like",
        "ones_like",
        "full_like",
        "empty_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "new_empty",
        "new_empty_strided",
    )
)
"""Made in the likeness of something that depends on the picture, and do not depend on it themselves."""


class NotExportedError(ValueError):
    """The network cannot run in the browser; the message says why, as the end of a sentence that begins "because"."""


@dataclass(eq=False)
class Buffer:
    """A flat array of float32.

    Attributes:
        size: how many numbers.
        data: what is in it before the first step; `None` where steps write all of it.
        name: of a learned number that a person may change.
    """

    size: int
    data: Tensor | None = None
    name: str = ""


@dataclass(frozen=True, eq=False)
class Ref:
    """Some numbers of a buffer, as a tensor."""

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    @property
    def dense(self) -> bool:
        """Whether the numbers lie one after the other, in order."""
        right = dense_strides(self.shape)
        return all(size == 1 or stride == own for size, stride, own in zip(self.shape, self.strides, right, strict=True))

    def view(self, shape: Iterable[int], strides: Iterable[int]) -> Ref:
        """The same numbers under another shape."""
        return Ref(self.buffer, tuple(shape), tuple(strides), self.offset)


@dataclass(eq=False)
class Step:
    """One operation.

    Attributes:
        kind: which kernel.
        out: the buffer that it writes.
        inputs: what it reads.
        numbers: sizes and the like, as JSON has them; a tensor of indices is kept as int32.
        at: where in ``out`` it begins.
        partly: it leaves some numbers of ``out`` as they are.
    """

    kind: str
    out: Buffer
    inputs: list[Ref]
    numbers: dict[str, Any] = field(default_factory=dict)
    at: int = 0
    partly: bool = False


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of numbers that lie one after the other."""
    strides, product = [], 1
    for size in reversed(shape):
        strides.append(product)
        product *= size
    return tuple(reversed(strides))


def product(sizes: Iterable[int]) -> int:
    """How many numbers a tensor of these sides has."""
    return math.prod(sizes)


Lower = Callable[["Tape", Any, str, Any, Any], Any]
"""(tape, operation, its name, arguments, named arguments) -> what the operation returns"""


class Tape(TorchDispatchMode):
    """Records inside ``with``. Made for one forward of one picture, in evaluation mode, without gradients.

    Args:
        lower: runs an operation that depends on the picture, and adds what it becomes to the steps.

    Attributes:
        steps: in order. maps: of the taps passed, in order, each with the buffer that holds its weights after an edit.
        looks: shapes of what may be looked at and not changed.
        multiplications: of convolutions and matrix products.
    """

    def __init__(self, lower: Lower) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lower = lower
        self.steps: list[Step] = []
        self.maps: list[tuple[AttentionMap, Buffer]] = []
        self.looks: list[tuple[int, ...]] = []
        self.multiplications = 0
        self._of_storage: dict[int, Buffer] = {}  # that depends on the picture
        self._constants: dict[tuple[Any, ...], Buffer] = {}
        self._alive: list[Any] = []  # what is dropped could give its address to another tensor
        self._paused = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """PyTorch asks; where the answer is yes it imports its compiler, which takes seconds and 150 MB."""
        return False

    # ---- what is known of tensors ------------------------------------------------------------------------------------

    def given(self, tensor: Tensor, name: str = "") -> Buffer:
        """A dense tensor whose numbers come from outside: the picture, or a learned number that may be changed."""
        buffer = Buffer(tensor.numel(), tensor.detach().flatten().float().clone() if name else None, name)
        self.set_buffer(tensor, buffer)
        return buffer

    def set_buffer(self, tensor: Tensor, buffer: Buffer) -> None:
        self._alive.append(tensor)
        self._of_storage[_storage(tensor)] = buffer

    def depends(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on the picture, or on a number that may be changed."""
        return _storage(tensor) in self._of_storage

    def ref(self, tensor: Tensor) -> Ref:
        """Where the numbers of a tensor are."""
        buffer = self._of_storage.get(_storage(tensor))
        if buffer is None:
            return self.constant(tensor)
        return Ref(buffer, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))

    def constant(self, tensor: Tensor) -> Ref:
        """A tensor that is always the same."""
        shape = tuple(tensor.shape)
        known = (_storage(tensor), tensor.storage_offset(), shape, tensor.stride(), tensor.dtype)
        if known not in self._constants:
            self._alive.append(tensor)
            self._constants[known] = Buffer(tensor.numel(), tensor.detach().float().contiguous().flatten().clone())
        return Ref(self._constants[known], shape, dense_strides(shape))

    def dense(self, tensor: Tensor) -> Ref:
        """As `ref`, of numbers that lie in order; a step copies them where they do not."""
        return self.dense_ref(self.ref(tensor))

    def dense_ref(self, ref: Ref) -> Ref:
        if ref.dense:
            return ref
        shape = ref.shape
        out = Buffer(product(shape))
        self.copy(out, ref, dense_strides(shape))
        return Ref(out, shape, dense_strides(shape))

    # ---- steps -------------------------------------------------------------------------------------------------------

    def step(self, kind: str, out: Tensor, inputs: Sequence[Ref], **numbers: Any) -> Buffer:
        """A step that computes ``out``, which is dense."""
        buffer = Buffer(out.numel())
        self.set_buffer(out, buffer)
        self.steps.append(Step(kind, buffer, list(inputs), numbers))
        return buffer

    def copy(self, out: Buffer, ref: Ref, strides: Sequence[int], at: int = 0, *, partly: bool = False) -> None:
        """Copies numbers to places of a buffer, which are given by strides for the shape of ``ref``."""
        dims, source, target = collapsed(ref.shape, ref.strides, tuple(strides))
        self.steps.append(Step("copy", out, [ref], {"dims": dims, "from": source, "to": target}, at, partly))

    def pass_tap(self, attention: AttentionMap) -> Tensor:
        """The edit of `edit_attention` while the tape runs: the weights leave here, and come back as they are or changed."""
        self._paused = True
        values = attention.values.detach().clone(memory_format=torch.contiguous_format)
        weights = self.dense(attention.values)
        buffer = self.step("tap", values, [weights], tap=len(self.maps))
        self.maps.append((attention, buffer))
        self._paused = False
        return values

    def look_at(self, tensor: Tensor) -> None:
        """A place where numbers may be looked at: a copy leaves, and nothing comes back."""
        self.steps.append(Step("look", Buffer(0), [self.dense(tensor)], {"look": len(self.looks), "n": tensor.numel()}))
        self.looks.append(tuple(tensor.shape))

    # ---- operations --------------------------------------------------------------------------------------------------

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        if not any(self.depends(each) for each in _tensors((args, kwargs))):
            result = func(*args, **kwargs)
            self._alive.append(result)
            if func._schema.is_mutable:
                self._constants.clear()  # one of them may be another now
            return result
        return self._write(func, args, kwargs)

    def _write(self, func: Any, args: Any, kwargs: Any) -> Any:
        name = func.name().partition("::")[2].partition(".")[0]
        if name in ("_local_scalar_dense", "equal", "nonzero", "is_nonzero"):
            raise NotExportedError("what it computes next depends on what it sees in the picture")
        if not func._schema.is_mutable and (_is_view(func) or name in _EMPTY):
            result = func(*args, **kwargs)
            self._alive.append(result)
            return result
        return self._lower(self, func, name, args, kwargs)


def collapsed(shape: Sequence[int], *strides: Sequence[int]) -> tuple[list[int], ...]:
    """Dimensions of length 1 left out, and neighbours joined where each of the strides allows it: [sizes, strides, ...]."""
    sizes: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    for at, size in enumerate(shape):
        if size == 1:
            continue
        own = [each[at] for each in strides]
        if sizes and all(column[-1] == stride * size for column, stride in zip(kept, own, strict=True)):
            sizes[-1] *= size
            for column, stride in zip(kept, own, strict=True):
                column[-1] = stride
            continue
        sizes.append(size)
        for column, stride in zip(kept, own, strict=True):
            column.append(stride)
    return (sizes or [1], *(column or [0] for column in kept))


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _is_view(func: Any) -> bool:
    return any(each.alias_info is not None for each in func._schema.returns) or func._overloadpacket.__name__ == "_unsafe_view"


def _tensors(tree: Any) -> list[Tensor]:
    return [each for each in torch.utils._pytree.tree_leaves(tree) if isinstance(each, Tensor)]
