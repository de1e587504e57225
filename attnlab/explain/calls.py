"""What goes into and comes out of modules during one forward."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from attnlab.training.modes import evaluating

OnCall = Callable[[str, Tensor, Tensor], None]
"""(name of the module, its first input, its output)"""


def observe_calls(model: nn.Module, x: Tensor, modules: Mapping[str, nn.Module], on_call: OnCall) -> None:
    """Runs one forward in evaluation mode and reports every call of some modules, in the order of the calls.

    The network may be shared: forwards that other threads run on it meanwhile are not reported, and no hook stays behind.

    Args:
        x: normalised images (B, C, H, W), on any device.
        modules: parts of ``model``, by any name. Calls whose first input or whose output is no tensor are not reported.
    """
    thread = threading.get_ident()

    def report(name: str, module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if threading.get_ident() == thread and inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            on_call(name, inputs[0], output)

    weight = next(model.parameters(), None)
    with ExitStack() as hooks:
        for name, module in modules.items():
            hooks.callback(module.register_forward_hook(partial(report, name)).remove)
        with evaluating(model), torch.inference_mode():
            model(x if weight is None else x.to(weight.device))
