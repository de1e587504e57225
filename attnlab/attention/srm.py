"""Style-based recalibration module (Lee, Kim and Nam, ICCV 2019, arXiv:1903.10829).

    z_c = w_c1 mean_hw(x_c) + w_c2 std_hw(x_c),   a = sigmoid(BN(z)),   y = a * x

The weight of a channel depends on its own two numbers only; channels meet nowhere. std is the root of the unbiased variance
plus 1e-5, and w starts at 0, as in the authors' code.

Departure: the variance of a map with one position is 0; the public code gives NaN there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind

EPS = 1e-5


@register_attention(
    "srm",
    title="Style-based recalibration",
    paper="https://arxiv.org/abs/1903.10829",
    summary="One weight per channel, from its own mean and standard deviation.",
    formula=r"a = \sigma(\mathrm{BN}(w_1\,\mu + w_2\,\sigma_{hw})),\quad y = a \odot x",
    kinds=[MapKind.CHANNEL],
    no_identity=SIGMOID_GATES,
    strength="Reads the style of a channel, its mean and its spread, each channel by itself. It cannot say where.",
    symbols=[
        Symbol(r"\mu", "mean of the channel", "mean()"),
        Symbol(r"\sigma_{hw}", "spread of the channel", "sqrt()"),
        Symbol("a", "gate of the channel", "tap"),
    ],
)
class StyleRecalibration(nn.Module):
    """One gate per channel from the mean and the standard deviation of the channel."""

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.style = nn.Parameter(torch.zeros(channels, 2))
        self.bn = nn.BatchNorm2d(channels)
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        values = x.flatten(2)
        deviation = (values.var(dim=2, correction=min(1, values.shape[2] - 1)) + EPS).sqrt()
        style = torch.stack([values.mean(dim=2), deviation], dim=2)  # (B, C, 2)
        gate = self.bn((style * self.style).sum(dim=2)[..., None, None]).sigmoid()  # (B, C, 1, 1)
        return x * self.tap(gate)
