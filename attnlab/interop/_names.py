"""Our parameter names and those of the reference implementations, and loading of their weights.

For each source a file in this package registers a function from our name of a parameter to the reference's. Messages about
missing or unexpected parameters use the reference's names, as they appear in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Rename = Callable[[Any, str], str]
"""``rename(module, our_name) -> reference name``, for one type of module."""

Fit = Callable[[Any, str, Tensor], Tensor]
"""``fit(module, our_name, value)`` gives a parameter of the reference in the shape that the module needs, where that can be."""

_RENAMES: dict[type[nn.Module], list[Rename]] = {}
_CONSTANTS: dict[type[nn.Module], Mapping[str, str]] = {}
_FITS: dict[type[nn.Module], Fit] = {}


class ReferenceMismatch(ValueError):
    """A state dict does not fit a module; the message lists missing, unexpected and mis-shaped parameters.

    Attributes:
        missing, unexpected, misshaped: names used by the reference; mis-shaped ones with both shapes.
    """

    def __init__(self, missing: list[str], unexpected: list[str], misshaped: list[str]) -> None:
        self.missing, self.unexpected, self.misshaped = missing, unexpected, misshaped
        problems = {"missing": missing, "unexpected": unexpected, "mis-shaped": misshaped}
        parts = [f"{kind}: {', '.join(names)}" for kind, names in problems.items() if names]
        super().__init__("the state dict does not fit this module; " + "; ".join(parts))


def reference_names(
    module_type: type[nn.Module], constants: Mapping[str, str] | None = None, *, fit: Fit | None = None
) -> Callable[[Rename], Rename]:
    """Registers a `Rename` for a module type; several for a type that several references name differently.

    Args:
        constants: numbers that the reference stores and ours computes: reference name -> our buffer. They may be missing in a
            state dict, and must be the same where they are in it. They count only for modules that have the buffer.
        fit: for parameters that may come in another shape.
    """

    def decorate(rename: Rename) -> Rename:
        _RENAMES.setdefault(module_type, []).append(rename)
        if constants is not None:
            _CONSTANTS[module_type] = constants
        if fit is not None:
            _FITS[module_type] = fit
        return rename

    return decorate


def renamed(name: str, layers: Mapping[str, str]) -> str:
    """The name of a parameter of a layer; a layer that the reference does not have keeps ours, and is reported as missing."""
    layer, _, leaf = name.rpartition(".")
    return f"{layers.get(layer, layer)}.{leaf}"


def load_reference(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Copies the weights of a public reference implementation into ``module``, in place.

    Args:
        module: a network or block with a known reference implementation. A composition of one block, as `build_attention`
            returns it, counts as that block.
        state_dict: as the reference saves it; the counters of batch norm may be missing.

    Raises:
        ReferenceMismatch: when names or shapes differ; then nothing is copied.
        ValueError: when no reference is known for the module.
    """
    target = module
    if type(target) is nn.Sequential and len(target) == 1:
        target = target[0]
    renames = _RENAMES.get(type(target))
    if renames is None:
        known = ", ".join(sorted(cls.__name__ for cls in _RENAMES))
        raise ValueError(f"no reference implementation is known for {type(target).__name__}; known: {known}")
    ours = target.state_dict()
    named = [{name: rename(target, name) for name in ours} for rename in renames]
    theirs = max(named, key=lambda names: len(set(names.values()) & set(state_dict)))  # of the reference it comes from
    if type(target) in _FITS:
        fit = _FITS[type(target)]
        state_dict = dict(state_dict)
        for name, reference in theirs.items():
            if reference in state_dict and state_dict[reference].shape != ours[name].shape:
                state_dict[reference] = fit(target, name, state_dict[reference])
    counters = {reference for reference in theirs.values() if reference.endswith("num_batches_tracked")}
    missing = [name for name in theirs.values() if name not in state_dict and name not in counters]
    buffers = dict(target.named_buffers())
    constants = {name: buffers[own] for name, own in _CONSTANTS.get(type(target), {}).items() if own in buffers}
    unexpected = sorted(set(state_dict) - set(theirs.values()) - set(constants))
    misshaped = [
        f"{reference} is {tuple(state_dict[reference].shape)}, needed {tuple(ours[name].shape)}"
        for name, reference in theirs.items()
        if reference in state_dict and state_dict[reference].shape != ours[name].shape
    ]
    misshaped += [
        f"{reference} holds whole numbers ({str(value.dtype).removeprefix('torch.')}), as quantised weights do"
        for name, reference in theirs.items()
        if ours[name].is_floating_point() and not (value := state_dict.get(reference, ours[name])).is_floating_point()
    ]
    misshaped += [
        f"{reference} holds other constants than this module, which has {tuple(own.shape)}"
        for reference, own in constants.items()
        if reference in state_dict and not _same(state_dict[reference], own)
    ]
    if missing or unexpected or misshaped:
        raise ReferenceMismatch(missing, unexpected, misshaped)
    target.load_state_dict({name: state_dict.get(reference, ours[name]) for name, reference in theirs.items()})


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.to(other), other, rtol=0, atol=1e-5)
