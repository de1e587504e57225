"""The parts of a transformer through which its tokens can be read. A network offers them by a method `token_parts`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class TokenParts:
    """The parts of a transformer through which its tokens are read.

    Attributes:
        blocks: the layers, each of which returns tokens (B, N, D), the patches last.
        norm: applied to what is classified.
        head: (..., D) -> logits (..., classes).
        classify: tokens (B, N, D) -> logits (B, classes), as the network makes them of those after its last layer.
        positions: the embeddings of the positions (N, D) or (1, N, D), of patches last; `None` where there is no table.
    """

    blocks: Sequence[nn.Module]
    norm: nn.Module
    head: nn.Module
    classify: Callable[[Tensor], Tensor]
    positions: Tensor | None = None


@runtime_checkable
class OffersTokenParts(Protocol):
    """A network whose tokens can be read."""

    def token_parts(self) -> TokenParts: ...


def token_parts(model: nn.Module) -> TokenParts | None:
    """What the network offers; `None` for one that does not."""
    return model.token_parts() if isinstance(model, OffersTokenParts) else None
