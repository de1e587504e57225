"""Double attention (Chen et al., NeurIPS 2018, arXiv:1810.11579): gather some descriptors, then hand them out.

    A, B, V = 1x1 convolutions of x                  C -> m, n, n channels
    gather      b = softmax_positions(B),  g_k = sum_positions b_k A          n descriptors of m numbers
    distribute  v = softmax(V),            z = sum_k v_k g_k                  at each position
    y = x + W z

Over what the second softmax runs is read in two ways: over the n descriptors at each position, as the paper's formula has it,
or over the positions of each descriptor, as several public ports have it (``distribution``).

Departures: public ports leave the sum with x out (``residual``) and take widths as arguments; here m = n = C / 4.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn

from attnlab.attention._layers import set_to_zero
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale

Distribution = Literal["descriptors", "positions"]


class _Gather(nn.Module):
    """Scores (B, n, H, W) and features (B, m, H, W) to descriptors (B, m, n), by a softmax over the positions."""

    def __init__(self) -> None:
        super().__init__()
        self.tap = AttentionTap(MapKind.ELEMENT, MapScale.SOFTMAX, neutral=0.0)

    def forward(self, scores: Tensor, features: Tensor) -> Tensor:
        weights = self.tap(scores.flatten(2).softmax(dim=-1).view_as(scores))
        return features.flatten(2) @ weights.flatten(2).transpose(1, 2)


class _Distribute(nn.Module):
    """Scores (B, n, H, W) and descriptors (B, m, n) to features (B, m, H, W).

    Over the descriptors, each weight says how much of a descriptor a position takes, which is a gate.
    """

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        self.distribution = distribution
        scale = MapScale.GATE if distribution == "descriptors" else MapScale.SOFTMAX
        self.tap = AttentionTap(MapKind.ELEMENT, scale, neutral=0.0)

    def forward(self, scores: Tensor, descriptors: Tensor) -> Tensor:
        axis = 1 if self.distribution == "descriptors" else 2
        weights = self.tap(scores.flatten(2).softmax(dim=axis).view_as(scores))
        return (descriptors @ weights.flatten(2)).unflatten(2, scores.shape[2:])


@register_attention(
    "double_attention",
    title="Double attention",
    paper="https://arxiv.org/abs/1810.11579",
    summary="Descriptors of the whole map are gathered by one attention and handed out to the positions by another.",
    formula=r"g_k = \sum_{hw} \mathrm{softmax}_{hw}(B)_k\, A,\quad y = x + W \sum_k \mathrm{softmax}(V)_k\, g_k",
    kinds=[MapKind.ELEMENT, MapKind.ELEMENT],
    combine=Combine.READOUT,
    options={"reduction": (1, 2, 4, 8), "distribution": get_args(Distribution), "residual": (True, False)},
    strength="Gives every position a choice among a few descriptors of the whole map, for less than attention between all "
    "pairs.",
    symbols=[
        Symbol("A", "features to gather", "features"),
        Symbol(r"\mathrm{softmax}_{hw}(B)_k", "share of the position in the descriptor", "gather.tap"),
        Symbol("g_k", "descriptors of the map", "gather"),
        Symbol(r"\mathrm{softmax}(V)_k", "how much of a descriptor the position takes", "distribute.tap"),
    ],
    sizes={"descriptors": lambda block: block.features.out_channels},
)
class DoubleAttention(nn.Module):
    """Gathers descriptors and hands them out.

    Args:
        reduction: there are ``channels // reduction`` descriptors of as many numbers.
        distribution: over what the weights sum to 1 that hand out.
        residual: add the result to the input.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        reduction: int = 4,
        distribution: Distribution = "descriptors",
        residual: bool = True,
    ) -> None:
        super().__init__()
        width = max(channels // reduction, 1)
        self.residual = residual
        self.features = nn.Conv2d(channels, width, 1)
        self.gather_scores = nn.Conv2d(channels, width, 1)
        self.distribute_scores = nn.Conv2d(channels, width, 1)
        self.gather = _Gather()
        self.distribute = _Distribute(distribution)
        self.output = nn.Conv2d(width, channels, 1)

    def start_as_identity(self) -> None:
        if not self.residual:
            raise ValueError("double_attention cannot start as the identity with residual = False: its input is not added")
        set_to_zero(self.output)

    def forward(self, x: Tensor) -> Tensor:
        descriptors = self.gather(self.gather_scores(x), self.features(x))
        y = self.output(self.distribute(self.distribute_scores(x), descriptors))
        return x + y if self.residual else y
