"""The operations of a foreign network as they run, each with the module that runs it.

A function mode sees every operation of torch that this thread calls. Hooks that last for one forward say which module is at
work, so that an operation has a name that is the same in every forward: the path of its module, what it does, and how many
of that kind came before it in this call of the module, as in ("blocks.0.attn", "matmul", 1).
"""

from __future__ import annotations

import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_FAMILIES = {
    "mul": "mul __mul__ __rmul__ mul_ __imul__ multiply multiply_",
    "matmul": "matmul bmm __matmul__ __rmatmul__ mm",
    "einsum": "einsum",
    "sdpa": "scaled_dot_product_attention",
}
FAMILY = {name: family for family, names in _FAMILIES.items() for name in names.split()}
"""What consumes weights: name of the operation -> its family."""


def names(words: str) -> frozenset[str]:
    """Names of operations, from one text."""
    return frozenset(words.split())


class Key(NamedTuple):
    """The name of one operation of one forward."""

    path: str
    family: str
    place: int


class CallsMode(TorchFunctionMode):
    """Hands every operation to `handle`, with its `Key` where it may consume weights."""

    def __init__(self) -> None:
        super().__init__()
        self._frames: list[tuple[str, Counter[str]]] = [("", Counter())]

    def handle(self, key: Key | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Computes the operation. Operations inside this method are not seen."""
        raise NotImplementedError

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if func is F.multi_head_attention_forward:
            with self:  # its parts are operations of this mode too
                return _OPEN_ATTENTION(*args, **(kwargs or {}))
        family = FAMILY.get(name)
        if family is None:
            return self.handle(None, func, args, kwargs or {})
        path, counts = self._frames[-1]
        counts[family] += 1
        return self.handle(Key(path, family, counts[family] - 1), func, args, kwargs or {})

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Sees what ``model`` does in this thread inside the ``with``; afterwards no hook is left."""
        thread = threading.get_ident()

        def entered(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, inputs: Any) -> None:
                if threading.get_ident() == thread:
                    self._frames.append((path, Counter()))

            return hook

        def left(module: nn.Module, inputs: Any, output: Any) -> None:
            if threading.get_ident() == thread:
                self._frames.pop()

        with ExitStack() as hooks:
            for path, module in model.named_modules():
                if path:
                    hooks.callback(module.register_forward_pre_hook(entered(path), prepend=True).remove)
                    hooks.callback(module.register_forward_hook(left, always_call=True).remove)
            with self:
                yield


def _opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of torch that does not ask whether it is overridden, so that its parts can be seen under a function mode."""
    assert isinstance(function, types.FunctionType)
    names = {**function.__globals__, "has_torch_function": lambda *_: False}
    opened = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    opened.__kwdefaults__ = function.__kwdefaults__
    return opened


_OPEN_ATTENTION = _opened(F.multi_head_attention_forward)


def tensors_of(result: object) -> list[Tensor]:
    """The tensors of what an operation returned."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, list | tuple):
        return [each for each in result if isinstance(each, Tensor)]
    return []
