"""A copy of a foreign network that shares its weights.

The copy is what taps are put on, so the network itself is never touched: no hook, no flag, no replaced method can stay behind
on it, whatever is raised and whichever thread runs it meanwhile.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn


def twin_of(model: nn.Module) -> nn.Module:
    """A copy of the module tree with the same parameters and buffers, not copies of them.

    Training the network trains the twin, since they have one set of weights; each has its own training mode.

    Raises:
        ValueError: for a network that is compiled to TorchScript, or that holds something that cannot be copied.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            f"{type(model).__name__} is compiled to TorchScript, which hides what happens inside. Adopt the network that it "
            "was compiled from"
        )
    original = _unwrapped(model)
    shared = {id(tensor): tensor for tensor in _tensors(original)}
    try:
        return copy.deepcopy(original, dict(shared))
    except Exception as error:  # whatever the parts of a foreign network raise
        raise ValueError(
            f"{type(model).__name__} holds something that cannot be copied ({type(error).__name__}: {error}). attnlab looks at "
            "a copy that shares the weights, so that the network itself stays as it is"
        ) from error


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network inside ``torch.compile`` and the wrappers for several devices."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _unwrapped(model.module)
    inside = model._modules.get("_orig_mod")
    return model if inside is None else _unwrapped(inside)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for value in vars(module).values():
            yield from _tensors_in(value)


def _tensors_in(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _tensors_in(each) if not isinstance(each, nn.Module) else ()
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors_in(each) if not isinstance(each, nn.Module) else ()
