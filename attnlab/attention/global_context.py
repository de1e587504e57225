"""Global context block of GCNet (Cao et al., ICCV workshops 2019, arXiv:1904.11492).

    a = softmax_hw(w x),   c = sum_hw a * x                      one context (C) for all positions
    y = x + W2 relu(LN(W1 c))                                    ``fusion="add"``
    y = x * sigmoid(W2 relu(LN(W1 c)))                           ``"scale"``; ``"both"`` scales first, with weights of its own

A non-local block whose queries all attend alike: one softmax map, whose readout is added to every position.

Departures: none from the authors' code. The last convolution of what is added starts at 0, so the block starts as the
identity. With ``pooling="mean"`` the map is uniform. timm's module scales by default, has C / 8 hidden channels and another
epsilon in its layer norm (1e-6 for 1e-5).

The map has no weight left where it is switched off, and then nothing is added: under an edit the context is the weighted mean,
and what is added counts as much as the weights sum to. For weights that sum to 1 that changes nothing.

On a map of one position its weight is 1, and the context is the features themselves: what is added is then made by a small
network of the channels, and nothing is gathered. The form says so before a training (`attnlab.maps.over_one_position`).

With one hidden channel the layer norm leaves nothing of the context; ``min_hidden`` keeps it from that.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention._layers import set_to_zero
from attnlab.attention._registry import SIGMOID_GATES, Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind, MapScale


def _transform(channels: int, hidden: int) -> nn.Sequential:
    """(B, C, 1, 1) -> (B, C, 1, 1) through a bottleneck with a layer norm."""
    return nn.Sequential(
        nn.Conv2d(channels, hidden, 1), nn.LayerNorm((hidden, 1, 1)), nn.ReLU(), nn.Conv2d(hidden, channels, 1)
    )


class ContextScale(nn.Module):
    """A gate per channel from the context."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.transform = _transform(channels, hidden)
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return x * self.tap(self.transform(context).sigmoid())


@register_attention(
    "global_context",
    title="Global context",
    paper="https://arxiv.org/abs/1904.11492",
    summary="One softmax map gathers a vector from all positions, which is added to each of them.",
    formula=r"a = \mathrm{softmax}_{hw}(w\,x),\quad y = x + f(\textstyle\sum_{hw} a\,x)",
    kinds=[MapKind.SPATIAL],
    combine=Combine.READOUT,
    options={
        "fusion": ("add", "scale", "both"),
        "pooling": ("attention", "mean"),
        "reduction": REDUCTIONS,
        "min_hidden": MIN_HIDDEN,
    },
    new_runs={"min_hidden": 4},
    strength="Adds one summary of the whole map to every position, nearly for free. All positions get the same summary.",
    symbols=[
        Symbol(r"w\,x", "score of the position", "mask"),
        Symbol("a", "share of the position", "tap"),
        Symbol(r"\sum_{hw} a\,x", "summary of the map", "add.in"),
        Symbol(r"f(\textstyle\sum_{hw} a\,x)", "what is added to the channel everywhere", "add"),
    ],
    sizes={"hidden units": lambda block: block.add[0].out_channels},
)
class GlobalContext(nn.Module):
    """A softmax map over positions and what it gathers.

    Args:
        fusion: whether the gathered vector is added, scales the channels, or both.
        pooling: ``"attention"`` for learned weights, ``"mean"`` for uniform ones.
        reduction: the bottleneck has ``channels // reduction`` channels.
        min_hidden: at least so many.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        fusion: str = "add",
        pooling: str = "attention",
        reduction: int = 16,
        min_hidden: int = 1,
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        adds = fusion in ("add", "both")
        self.mask = nn.Conv2d(channels, 1, 1) if pooling == "attention" else None
        # What only scales has no weights of its map with which it does nothing; its gate has.
        self.tap = AttentionTap(MapKind.SPATIAL, MapScale.SOFTMAX, neutral=0.0 if adds else None)
        self.scale = ContextScale(channels, hidden) if fusion in ("scale", "both") else None
        self.add = _transform(channels, hidden) if adds else None
        for transform in (self.add, self.scale.transform if self.scale else None):
            if transform is not None:
                set_to_zero(transform[-1])

    def start_as_identity(self) -> None:
        if self.add is None or self.scale is not None:
            raise ValueError(f"global_context can start as the identity with fusion = 'add' only: {SIGMOID_GATES}")
        set_to_zero(self.add[-1])

    def forward(self, x: Tensor) -> Tensor:
        made = self._weights(x)
        weights = self.tap(made)  # (B, 1, H, W)
        context = (x.flatten(2) @ weights.flatten(2).transpose(1, 2))[..., None]  # (B, C, 1, 1)
        total: Tensor | None = None
        if weights is not made:
            total = weights.sum(dim=(2, 3), keepdim=True)
            context = context / total.clamp_min(torch.finfo(total.dtype).tiny)
        if self.scale is not None:
            x = self.scale(x, context)
        if self.add is None:
            return x
        added = self.add(context)
        return x + (added if total is None else added * total)

    def _weights(self, x: Tensor) -> Tensor:
        if self.mask is None:
            return x.new_full((len(x), 1, *x.shape[2:]), 1 / (x.shape[2] * x.shape[3]))
        scores: Tensor = self.mask(x)
        return scores.flatten(1).softmax(dim=1).view_as(scores)
