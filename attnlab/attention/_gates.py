"""Attention over the positions of a local map, guided by a global feature: two inputs, one output vector.

Learn To Pay Attention (Jetley et al., ICLR 2018, arXiv:1804.02391), with local vectors l_i and one global vector g:

    c_i = <l_i, g>   (dot)      or      c_i = <u, l_i + g>   (parametrised, u learned)

Grid attention (Schlemper et al., 2019, arXiv:1808.08114; Yan et al., IPMI 2019, and the article "Image Classification
with Attention"), with a guide map G that is coarser than the local one:

    c = phi(relu(W_l l + resize(W_g G)))

Both read the local map through the normalised scores: a = softmax(c) over all positions and the weighted sum of l, or
a = sigmoid(c) and the mean of a * l.

Departures: the reference code of the first returns the raw scores c; here the normalised weights a pass through the tap,
because they are what multiplies the features. The second enlarges the guide by a fixed factor; here it is resized to the
local map, which is the same for sides that divide evenly and works for all others.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale

Normalize = Literal["softmax", "sigmoid"]
Compatibility = Literal["parametrised", "dot"]


def require_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raises a `ValueError` that names the option and its values, when ``value`` is not one of them."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")


class WeightedReadout(nn.Module):
    """One vector (B, C) from scores (B, 1, H, W) and a local map (B, C, H, W); the weights pass through a tap.

    Args:
        normalize: ``"softmax"`` for weights that sum to 1 and a weighted sum, ``"sigmoid"`` for gates and a mean.
    """

    def __init__(self, normalize: Normalize) -> None:
        super().__init__()
        require_choice("normalize", normalize, get_args(Normalize))
        self.normalize = normalize
        self.tap = AttentionTap(MapKind.SPATIAL, MapScale.SOFTMAX if normalize == "softmax" else MapScale.GATE)

    def forward(self, scores: Tensor, local: Tensor) -> Tensor:
        weights = scores.flatten(1).softmax(dim=1).view_as(scores) if self.normalize == "softmax" else scores.sigmoid()
        weights = self.tap(weights)
        total = (local.flatten(2) @ weights.flatten(2).transpose(1, 2).to(local.dtype))[..., 0]
        return total if self.normalize == "softmax" else total / (local.shape[2] * local.shape[3])


class GlobalAttention(nn.Module):
    """Learn To Pay Attention: which positions of a local map agree with the global feature.

    Args:
        channels: C of the local map.
        guide_channels: channels of the global feature. Where they differ from C, a 1x1 convolution without bias projects
            the local map, and the projected map is read.

    ``forward(local (B, C, H, W), guide (B, guide_channels, 1, 1))`` returns (B, guide_channels).
    """

    def __init__(self, channels: int, guide_channels: int, *, compatibility: Compatibility, normalize: Normalize) -> None:
        super().__init__()
        require_choice("compatibility", compatibility, get_args(Compatibility))
        self.projector = None if channels == guide_channels else nn.Conv2d(channels, guide_channels, 1, bias=False)
        self.score = nn.Conv2d(guide_channels, 1, 1, bias=False) if compatibility == "parametrised" else None
        self.readout = WeightedReadout(normalize)

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:
        if self.projector is not None:
            local = self.projector(local)
        scores = self.score(local + guide) if self.score is not None else (local * guide).sum(dim=1, keepdim=True)
        return self.readout(scores, local)


class GridGate(nn.Module):
    """Grid attention: which positions of a local map matter, given a coarser map of the whole image.

    Args:
        channels: C of the local map.
        guide_channels: channels of the guide.
        hidden: channels to which both are projected before they are added (256 in the article).

    ``forward(local (B, C, H, W), guide (B, guide_channels, h, w))`` returns (B, C).
    """

    def __init__(self, channels: int, guide_channels: int, hidden: int, *, normalize: Normalize) -> None:
        super().__init__()
        self.local = nn.Conv2d(channels, hidden, 1, bias=False)
        self.guide = nn.Conv2d(guide_channels, hidden, 1, bias=False)
        self.score = nn.Conv2d(hidden, 1, 1)
        self.readout = WeightedReadout(normalize)

    def forward(self, local: Tensor, guide: Tensor) -> Tensor:
        directed = F.interpolate(self.guide(guide), size=local.shape[2:], mode="bilinear", align_corners=False)
        return self.readout(self.score(F.relu(self.local(local) + directed)), local)
