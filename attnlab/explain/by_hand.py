"""The principle of a gate, X' = X * f(X), with a person in the place of f: a mask on features of a network without attention.

The mask is put where a block of an attention variant would lie.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionTap
from attnlab.explain.calls import observe_calls
from attnlab.explain.open_run import OpenRun
from attnlab.maps import MapKind

MOST_POSITIONS = 256
"""So many positions at most can be painted by hand."""


class HandGate(nn.Module):
    """A gate that lets everything pass until somebody changes its weights.

    Attributes:
        strength: a tap that is only looked at: how strong the features are at each position, the strongest as 1.
        gate: the weights with which the features are multiplied, one per position.
    """

    def __init__(self) -> None:
        super().__init__()
        self.strength = AttentionTap(MapKind.SPATIAL)
        self.gate = AttentionTap(MapKind.SPATIAL)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        size = x.abs().mean(dim=1, keepdim=True)
        self.strength(size / size.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12))
        return x * self.gate(torch.ones_like(size))


def with_hand_gate(run: OpenRun) -> OpenRun | None:
    """A copy of the network with a `HandGate` in the first place for an attention block that is small enough.

    `None` where it keeps no such place. It has no other tap than the two of the gate.

    Args:
        run: a network that was built without attention: an `nn.Identity` stands where a block could.
    """
    sizes: dict[str, int] = {}

    def measure(path: str, taken: Tensor, given: Tensor) -> None:
        if given.ndim == 4:
            sizes[path] = given.shape[2] * given.shape[3]

    places = {path: module for path, module in run.model.named_modules() if type(module) is nn.Identity}
    observe_calls(run.model, torch.zeros(1, *run.shape), places, measure)
    small = [path for path, size in sizes.items() if 1 < size <= MOST_POSITIONS]
    if not small:
        return None
    model = copy.deepcopy(run.model)
    model.set_submodule(small[0], HandGate())
    return replace(run, model=model.eval())
