"""Gather-Excite (Hu et al., NeurIPS 2018, arXiv:1810.12348).

    y = sigmoid(up(MLP(gather_e(x)))) * x

gather_e reads neighbourhoods of extent e: average pooling of side 2e - 1 at every e-th position, or (``learned``) log2(e)
depthwise 3x3 convolutions of stride 2, each with batch norm, and a ReLU between them. What was gathered goes through a
bottleneck of 1x1 convolutions (``mlp``) and is enlarged to the map by repeating cells. Extent 0 gathers the whole map into one
number per channel, by its mean or by a depthwise convolution as large as the map with batch norm; with the mean and the
bottleneck this is squeeze-and-excitation.

Departures from timm's code, from which the defaults are: its learned gather of extent 0 pads its convolution, which gives a map
of about half the size and not one number; here it is one number, as in the paper. New runs start with extent 4, because extent
0 is a variant of its own here (`squeeze_excite`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind


def _depthwise(channels: int, kernel: int | tuple[int, int], **options: Any) -> list[nn.Module]:
    return [nn.Conv2d(channels, channels, kernel, groups=channels, bias=False, **options), nn.BatchNorm2d(channels)]


def _learned_gather(channels: int, size: tuple[int, int], extent: int) -> nn.Sequential:
    if not extent:
        return nn.Sequential(*_depthwise(channels, size))
    layers: list[nn.Module] = []
    for _ in range(extent.bit_length() - 1):
        layers += [*_depthwise(channels, 3, stride=2, padding=1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@register_attention(
    "gather_excite",
    title="Gather-Excite",
    paper="https://arxiv.org/abs/1810.12348",
    summary="One weight per channel and neighbourhood, from what the neighbourhood contains.",
    formula=r"y = \sigma(\mathrm{up}(\mathrm{MLP}(\mathrm{gather}_e\,x))) \odot x",
    kinds=[MapKind.CHANNEL],
    options={
        "extent": (0, 2, 4, 8),
        "learned": (False, True),
        "mlp": (True, False),
        "reduction": REDUCTIONS,
        "min_hidden": MIN_HIDDEN,
    },
    new_runs={"extent": 4, "min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Says which channels matter in which neighbourhood. With extent 0 it is squeeze-and-excitation, and blind to "
    "places.",
    symbols=[
        Symbol(r"\mathrm{gather}_e\,x", "mean of the neighbourhood", "mlp.in"),
        Symbol(r"\mathrm{MLP}(\mathrm{gather}_e\,x)", "score of the neighbourhood", "mlp"),
        Symbol(r"\sigma(\mathrm{up}(\mathrm{MLP}(\mathrm{gather}_e\,x)))", "weight of this value", "tap"),
    ],
    sizes={"hidden units": lambda block: block.mlp[0].out_channels},
)
class GatherExcite(nn.Module):
    """One gate per channel and neighbourhood; per channel where the neighbourhood is the whole map.

    Args:
        extent: of a neighbourhood, in positions; 0 for the whole map.
        learned: whether depthwise convolutions gather instead of means.
        mlp: whether a bottleneck mixes the channels of what was gathered.
        reduction: it has ``channels // reduction`` channels.
        min_hidden: at least so many.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        extent: int = 0,
        learned: bool = False,
        mlp: bool = True,
        reduction: int = 16,
        min_hidden: int = 1,
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        self.extent = extent
        self.gather = _learned_gather(channels, size, extent) if learned else None
        self.mlp = (
            nn.Sequential(nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)) if mlp else nn.Identity()
        )
        self.tap = AttentionTap(MapKind.ELEMENT if extent else MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.mlp(self._gathered(x))
        if self.extent:
            scores = F.interpolate(scores, size=x.shape[2:])
        return x * self.tap(scores.sigmoid())

    def _gathered(self, x: Tensor) -> Tensor:
        if self.gather is not None:
            return self.gather(x)
        if not self.extent:
            return x.mean(dim=(2, 3), keepdim=True)
        side = 2 * self.extent - 1
        return F.avg_pool2d(x, side, self.extent, self.extent - 1, count_include_pad=False)
