"""Dual attention of DANet (Fu et al., CVPR 2019, arXiv:1809.02983): between positions and between channels, side by side.

    positions   P = softmax_keys(q^T k),   p = P v                           as in self-attention, (B, N, N)
    channels    E = x x^T,  Q = softmax_channels(max(E) - E),  c = Q x       (B, C, C)
    y = x + gamma_p p + gamma_c c                                            both gammas start at 0

The map between channels says for each channel by which weights it mixes all channels; these sum to 1, so it has the kind
BRANCH, with the channels as branches.

Departures: the published code subtracts the scores between channels from their maximum, so unlike channels count more; the
paper's formula has the scores themselves (``channel_scores``). The block adds both parts to its input once; in the published
network each part is wrapped in convolutions of its own, which are left out here, and adds the input once more.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.self_attention import SelfAttention
from attnlab.maps import MapKind, MapScale

ChannelScores = Literal["reversed", "plain"]


class ChannelMixing(nn.Module):
    """gamma times a mixture of all channels for each channel."""

    def __init__(self, scores: ChannelScores) -> None:
        super().__init__()
        self.scores = scores
        self.gamma = nn.Parameter(torch.zeros(1))
        self.tap = AttentionTap(MapKind.BRANCH, MapScale.SOFTMAX, neutral=0.0)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # (B, C, N)
        energy = flat @ flat.transpose(1, 2)  # (B, C, C): of each channel with each
        weights = (-energy if self.scores == "reversed" else energy).softmax(dim=-1)
        mixing = self.tap(weights.transpose(1, 2)[..., None, None])  # (B, M, C, 1, 1): branches first
        return self.gamma * (mixing[..., 0, 0].transpose(1, 2) @ flat).view_as(x)


@register_attention(
    "dual",
    title="Dual attention",
    paper="https://arxiv.org/abs/1809.02983",
    summary="Each position gathers from all positions, and each channel from all channels; both are added to the input.",
    formula=r"y = x + \gamma_p\,\mathrm{softmax}(q^\top k)\,v + \gamma_c\,\mathrm{softmax}(\max E - E)\,x,\quad E = x x^\top",
    kinds=[MapKind.PAIRWISE, MapKind.BRANCH],
    combine=Combine.READOUT,
    options={"reduction": (1, 2, 4, 8, 16), "channel_scores": get_args(ChannelScores)},
    strength="Relates all positions and all channels. It suits dense tasks such as segmentation; memory for the positions' "
    "map grows with the square of their number unless it is never held.",
    symbols=[
        Symbol(r"\gamma_p", "learned factor of the positions' part", "position.gamma"),
        Symbol(r"\gamma_c", "learned factor of the channels' part", "channel.gamma"),
        Symbol("q", "query of the position", "position.query"),
        Symbol("k", "key of the position", "position.key"),
        Symbol("v", "value of the position", "position.value"),
        Symbol(r"\mathrm{softmax}(q^\top k)", "how much each position attends to each", "position.tap"),
        Symbol(r"\mathrm{softmax}(\max E - E)", "shares by which a channel mixes all channels", "channel.tap"),
    ],
    sizes={"query width": lambda block: block.position.query.out_channels},
)
class DualAttention(nn.Module):
    """Self-attention between positions, and between channels.

    Args:
        reduction: queries and keys of the positions have ``channels // reduction`` channels, at least one.
        channel_scores: whether unlike (``reversed``) or like (``plain``) channels count more.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], *, reduction: int = 8, channel_scores: ChannelScores = "reversed"
    ) -> None:
        super().__init__()
        self.position = SelfAttention(channels, size, reduction=reduction)
        self.channel = ChannelMixing(channel_scores)

    def start_as_identity(self) -> None:
        nn.init.zeros_(self.position.gamma)
        nn.init.zeros_(self.channel.gamma)

    def forward(self, x: Tensor) -> Tensor:
        return self.position(x) + self.channel(x)
