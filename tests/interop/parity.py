"""How one of our modules is compared with an independent evaluation of its reference; the cases are in `parity_cases`.

The independent evaluation is torchvision's or timm's module, PyTorch's own, or a function of `tests.interop.independent`.
It is given our weights under its names. `compare` measures, in float64, how far the outputs, the running statistics of
batch norm after one training step, and the gradients are apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attnlab.attention import build_attention
from attnlab.config import ModelConfig
from attnlab.models import ImageShape, build_model

Size = tuple[int, int]
MODES = ("evaluation", "training")
TOLERANCE = 1e-9
"""The largest difference in float64, of numbers of order one, that rounding explains."""


@dataclass
class Reference:
    """An evaluation of a reference.

    Attributes:
        run: ``run(x, train)`` gives its outputs.
        state: its weights and buffers by its names; `compare` copies ours into them.
        name: our name of a weight -> its name; `None` where it has no such weight, and ours is set to zero.
        change: of a tensor of ours, given its name, before it is compared with the reference's.
    """

    run: Callable[[Tensor, bool], Tensor]
    state: dict[str, Tensor]
    name: Callable[[str], str | None]
    change: Callable[[str, Tensor], Tensor] = lambda name, value: value


@dataclass(frozen=True)
class Case:
    """One of our modules and its reference.

    Attributes:
        ours: what it is called, with its options.
        reference: what it is compared with, and what of it is known to differ.
        channels: of the input.
        sizes: (H, W) of the inputs.
        build: ``build(size)`` gives our module.
        refer: ``refer(our module)`` gives its reference.
        statistics: whether running statistics are compared.
    """

    ours: str
    reference: str
    channels: int
    sizes: tuple[Size, ...]
    build: Callable[[Size], nn.Module]
    refer: Callable[[nn.Module], Reference]
    statistics: bool = True


@dataclass(frozen=True)
class Difference:
    """Largest absolute differences between ours and the reference.

    Attributes:
        statistics: of the running statistics; `None` where there are none to compare.
        gradients: of the input and all weights, relative to the largest one where that is above 1.
    """

    outputs: float
    statistics: float | None
    gradients: float

    @property
    def largest(self) -> float:
        return max(self.outputs, self.statistics or 0.0, self.gradients)


def compare(case: Case, size: Size, mode: str, *, batch: int = 4) -> Difference:
    """Gives the reference our weights, runs both on the same random input, and measures.

    Raises:
        AssertionError: when the outputs are too small to tell anything, or a weight of ours has no counterpart.
    """
    torch.manual_seed(0)
    train = mode == "training"
    ours = case.build(size).double().train(train)
    _move_from_special_values(ours)
    reference = case.refer(ours)
    pairs = {name: reference.name(name) for name in ours.state_dict()}
    weights = dict(ours.named_parameters())
    with torch.no_grad():
        for name, value in ours.state_dict(keep_vars=True).items():
            theirs = pairs[name]
            if theirs is None:
                value.zero_()
            else:
                reference.state[theirs].copy_(reference.change(name, value))
    assert set(pairs.values()) - {None} == set(reference.state), "each weight of the reference needs one of ours"
    x = torch.randn(batch, case.channels, *size, dtype=torch.float64)
    other = x.clone().requires_grad_()
    x.requires_grad_()
    torch.manual_seed(1)
    y = ours(x)
    torch.manual_seed(1)
    expected = reference.run(other, train)
    assert expected.std() > 1e-3, "outputs too small to tell anything"
    direction = torch.randn_like(y)
    (y * direction).sum().backward()
    (expected * direction).sum().backward()
    gradients = [_relative(x.grad, other.grad)]
    for name, weight in weights.items():
        theirs = pairs[name]
        if theirs is not None:
            gradient = None if weight.grad is None else reference.change(name, weight.grad)
            gradients.append(_relative(gradient, reference.state[theirs].grad))
    statistics = [
        _apart(value, reference.state[theirs])
        for name, value in ours.named_buffers()
        if case.statistics and (theirs := pairs.get(name)) is not None
    ]
    return Difference(_apart(y, expected), max(statistics, default=None), max(gradients))


def _move_from_special_values(module: nn.Module) -> None:
    """No weight is exactly 0 or 1, and running statistics are not those of a fresh network."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in module.state_dict(keep_vars=True).items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator, dtype=value.dtype)
            value.add_(noise.abs() if name.endswith("running_var") else 0.05 * noise if value.dim() > 1 else 0.1 * noise)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())


def _relative(ours: Tensor | None, theirs: Tensor | None) -> float:
    """Largest difference of two gradients, relative to the largest of the reference's, where that is above 1."""
    if ours is None or theirs is None:
        return 0.0 if all(one is None or not one.any() for one in (ours, theirs)) else float("inf")
    return _apart(ours, theirs) / max(1.0, float(theirs.abs().max()))


# Where the references come from


def functional(run: Callable[..., Tensor], rename: Callable[[Any, str], str], prefix: str = "") -> Callable:
    """A function over a state of its names. ``prefix`` is taken from our names first."""

    def refer(ours: nn.Module) -> Reference:
        target = ours.get_submodule(prefix.rstrip(".")) if prefix else ours
        parameters = {name for name, _ in ours.named_parameters()}

        def name(our_name: str) -> str:
            return rename(target, our_name.removeprefix(prefix))

        state = {
            name(our_name): torch.zeros_like(value, requires_grad=our_name in parameters)
            for our_name, value in ours.state_dict().items()
        }
        return Reference(lambda x, train: run(x, state, train=train), state, name)

    return refer


def module(
    make: Callable[[nn.Module], nn.Module],
    name: Callable[[str], str | None],
    change: Callable[[str, Tensor], Tensor] = lambda name, value: value,
) -> Callable[[nn.Module], Reference]:
    """A module of torchvision or timm."""

    def refer(ours: nn.Module) -> Reference:
        theirs = make(ours).double()
        return Reference(lambda x, train: theirs.train(train)(x), theirs.state_dict(keep_vars=True), name, change)

    return refer


def block(name: str, **options: Any) -> Callable[[Size], nn.Module]:
    """A variant with these options, of 64 channels unless ``channels`` is among them."""
    channels = options.pop("channels", 64)
    return lambda size: build_attention(name, channels, size, {name: options})


def network(**config: Any) -> Callable[[Size], nn.Module]:
    """A network for ten classes."""
    return lambda size: build_model(ModelConfig(**config), ImageShape(3, *size), 10)


def without_mode(run: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """For blocks that do the same in both modes."""
    return lambda x, state, train: run(x, state, "")


def same_name(module: nn.Module, name: str) -> str:
    """The reference has our names."""
    return name
