"""What is known of a reference implementation: its name, how its state dict is told from others, and what shapes leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

Weights = Mapping[str, Tensor]
Choices = Mapping[str, str]


class UnknownReference(ValueError):
    """The state dict belongs to no known reference implementation."""


@dataclass(frozen=True)
class Reference:
    """A reference implementation.

    Attributes:
        name: short name; of the newer blocks that of our variant.
        title: shown to people.
        source: address of its code.
        markers: parameter names that occur together in no other reference.
        network: whether it is a network that returns logits; otherwise a block, whose state dict has only the top-level parts
            of the markers, and of ``optional``.
        choices: what shapes do not determine: choice -> its values, the default first.
        optional: top-level parts of a block that may be there or not.
        outside: names of a network's parameters that lie in no layer.
    """

    name: str
    title: str
    source: str
    markers: tuple[str, ...]
    network: bool = True
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def shape_of(weights: Weights, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a parameter.

    Raises:
        ValueError: when it is missing, or has another number of dimensions, or an empty one.
    """
    if name not in weights:
        raise ValueError(f"{name} is missing, from which the module's size would follow")
    shape = tuple(weights[name].shape)
    if len(shape) != dimensions or 0 in shape:
        raise ValueError(f"{name} has shape {shape}; {dimensions} non-empty dimensions are expected")
    return shape
