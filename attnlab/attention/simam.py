"""SimAM: a simple, parameter-free attention module (Yang et al., ICML 2021).

    d = (x - mean_hw(x))^2,   e = d / (4 (sum_hw(d) / (HW - 1) + lambda)) + 1/2,   y = sigmoid(e) * x

The weight of a neuron is the inverse of the least energy with which it is told from the others of its channel: what is far
from its channel's mean counts more. Nothing is learned.

Departure: a map with one position has no variance (the public code gives NaN there); its d is 0, and its weight sigmoid(1/2).
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._registry import Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind


@register_attention(
    "simam",
    title="SimAM",
    paper="https://proceedings.mlr.press/v139/yang21o.html",
    summary="One weight per channel and position without parameters: the farther from the mean of its channel, the larger.",
    formula=r"y = \sigma\!\left(\frac{(x - \mu)^2}{4(v + \lambda)} + \tfrac12\right) \odot x",
    kinds=[MapKind.ELEMENT],
    options={"e_lambda": (1e-4, 1e-3, 1e-2, 1e-1)},
    no_identity="nothing in it is learned or can be set, and its gates differ from 1",
    strength="Lights up what stands out of its channel, without a single parameter. Since nothing is learned, it stands "
    "out for the task only by luck.",
    symbols=[
        Symbol(r"\mu", "mean of the channel", "mean()"),
        Symbol(r"(x - \mu)^2", "how far this value is from it, squared", "square()"),
        Symbol("v", "variance of the channel", "div()"),
        Symbol(r"\sigma\!\left(\frac{(x - \mu)^2}{4(v + \lambda)} + \tfrac12\right)", "weight of this value", "tap"),
    ],
)
class SimAM(nn.Module):
    """One gate per channel and position from its distance to the channel's mean.

    Args:
        e_lambda: is added to the variance; the larger, the more alike are the weights.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, e_lambda: float = 1e-4) -> None:
        super().__init__()
        self.e_lambda = e_lambda
        self.tap = AttentionTap(MapKind.ELEMENT)

    def forward(self, x: Tensor) -> Tensor:
        distance = (x - x.mean(dim=(2, 3), keepdim=True)).square()
        variance = distance.sum(dim=(2, 3), keepdim=True) / max(x.shape[2] * x.shape[3] - 1, 1)
        return x * self.tap((distance / (4 * (variance + self.e_lambda)) + 0.5).sigmoid())
