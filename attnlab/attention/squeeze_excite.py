"""Squeeze-and-Excitation (Hu, Shen and Sun, CVPR 2018, arXiv:1709.01507).

    s = sigmoid(W2 relu(W1 mean_hw(x))),   y = s * x

No departures.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind

REDUCTIONS = (2, 4, 8, 16)
MIN_HIDDEN = (1, 4, 8, 16)
"""Least units of a bottleneck. With fewer than four, the weights of all channels move together. New runs start with 4, which
changes nothing in the published networks: their layers have at least 64 channels."""


@register_attention(
    "squeeze_excite",
    title="Squeeze-and-excitation",
    paper="https://arxiv.org/abs/1709.01507",
    summary="One weight per channel, from the means of all channels through a bottleneck network.",
    formula=r"s = \sigma(W_2\,\mathrm{ReLU}(W_1\,\mathrm{mean}_{hw}\,x)),\quad y = s \odot x",
    kinds=[MapKind.CHANNEL],
    options={"reduction": REDUCTIONS, "min_hidden": MIN_HIDDEN},
    new_runs={"min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Says which kinds of pattern matter, with every channel informed by all others. It cannot say where.",
    symbols=[
        Symbol(r"\mathrm{mean}_{hw}\,x", "mean of the channel", "mlp.in"),
        Symbol("s", "gate of the channel", "tap"),
    ],
    sizes={"hidden units": lambda block: block.mlp[0].out_features},
)
class SqueezeExcite(nn.Module):
    """One gate per channel from a two-layer bottleneck over the channel means.

    Args:
        reduction: the bottleneck has ``channels // reduction`` units.
        min_hidden: at least so many; the paper names no least number.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 16, min_hidden: int = 1) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        self.mlp = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.mlp(x.mean(dim=(2, 3))).sigmoid()[..., None, None]  # (B, C, 1, 1)
        return x * self.tap(gate)
