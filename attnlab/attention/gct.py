"""Gated channel transformation (Yang et al., CVPR 2020, arXiv:1909.11519).

    e_c = alpha_c sqrt(sum_hw x_c^2 + eps),   n_c = gamma_c e_c / sqrt(mean_c e^2 + eps)
    a_c = 1 + tanh(n_c + beta_c),             y = a * x

The weight is a factor in (0, 2): channels compete (gamma < 0) or strengthen each other (gamma > 0). alpha starts at 1, gamma
and beta at 0, so the block starts as the identity.

Departures: none from the public code. As in the code, the mean over the channels stands for the paper's sum and its sqrt(C),
and ``norm="l1"`` has e_c = alpha_c sum_hw |x_c| and n_c = gamma_c e_c / (mean_c |e| + eps). ``after_relu`` saves that |x_c|.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._registry import Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale

EPS = 1e-5


@register_attention(
    "gct",
    title="Gated channel transformation",
    paper="https://arxiv.org/abs/1909.11519",
    summary="One factor per channel between 0 and 2, from how strong the channel is beside the others.",
    formula=r"a = 1 + \tanh(\gamma\, e / \|e\| + \beta),\quad y = a \odot x",
    kinds=[MapKind.CHANNEL],
    options={"norm": ("l2", "l1"), "after_relu": (False, True)},
    strength="Lets channels compete or support each other with three numbers each, and starts as the identity. It cannot "
    "say where.",
    symbols=[
        Symbol(r"\gamma", "learned: compete or support", "gamma"),
        Symbol("e", "how strong the channel is", "mul()"),
        Symbol(r"\beta", "learned offset of the channel", "beta"),
        Symbol("a", "factor of the channel", "tap"),
    ],
)
class GatedChannelTransformation(nn.Module):
    """One factor per channel from the norms of all channels, with three numbers per channel.

    Args:
        norm: of a channel over its positions, ``"l2"`` or ``"l1"``.
        after_relu: the features are known not to be negative, so the l1 norm is their sum. Of others it is not.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, norm: str = "l2", after_relu: bool = False) -> None:
        super().__init__()
        self.norm = norm
        self.after_relu = after_relu
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.tap = AttentionTap(MapKind.CHANNEL, MapScale.FACTOR)

    def start_as_identity(self) -> None:
        nn.init.zeros_(self.gamma)
        nn.init.zeros_(self.beta)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm == "l2":
            energy = self.alpha * (x.square().sum(dim=(2, 3), keepdim=True) + EPS).sqrt()
            relative = energy * self.gamma / (energy.square().mean(dim=1, keepdim=True) + EPS).sqrt()
        else:
            energy = self.alpha * (x if self.after_relu else x.abs()).sum(dim=(2, 3), keepdim=True)
            relative = energy * self.gamma / (energy.abs().mean(dim=1, keepdim=True) + EPS)
        return x * self.tap(1 + (relative + self.beta).tanh())
