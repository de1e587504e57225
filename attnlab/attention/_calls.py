"""What goes into and comes out of modules while a network runs, reported through hooks that leave nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import Tensor, nn

OnCall = Callable[[str, Tensor, Tensor], None]
"""(name of the module, its first input, its output)"""


@contextmanager
def reported_calls(modules: Mapping[str, nn.Module], on_call: OnCall) -> Iterator[None]:
    """Reports every call of some modules inside the ``with``, in the order in which they end.

    The network may be shared: forwards that other threads run on it meanwhile are not reported, and no hook stays behind.

    Args:
        modules: by any name. Calls whose first input or whose output is no tensor are not reported.
    """
    thread = threading.get_ident()

    def report(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if threading.get_ident() == thread and inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            on_call(name, inputs[0], output)

    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(partial(report, name)).remove)
        yield
