"""A network in evaluation mode, or in training mode, for the length of a ``with`` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module, *, in_training_mode: bool = False) -> Iterator[None]:
    """Puts ``model`` in evaluation mode, and afterwards every module in its earlier mode, so that frozen parts stay frozen.

    Args:
        in_training_mode: puts it in training mode instead, as code does that measures without leaving that mode.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.train(in_training_mode)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
