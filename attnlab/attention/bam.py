"""Bottleneck attention module (Park et al., BMVC 2018, arXiv:1807.06514).

    c = W2 relu(BN(W1 mean_hw(x)))  (C),   s = f(x)  (H, W),   y = x (1 + sigmoid(c op s))

f is a 1x1 convolution to C/16 channels, two 3x3 convolutions of dilation 4, and a 1x1 convolution to one channel. The gate is
added to 1: it can strengthen features, and never removes them.

The paper and the authors' code differ: in the paper op is the sum, and each branch ends with a batch norm; in the code op is
the product, and no batch norm follows the last layer. The code's way is the default; ``merge="sum"`` and ``last_norm=True``
give the paper's.

Departure: the code averages windows as high as the map, which is the mean only of square maps; here it always is the mean.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.attention.squeeze_excite import MIN_HIDDEN, REDUCTIONS
from attnlab.maps import MapKind


def _normed(layer: nn.Conv2d) -> list[nn.Module]:
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]


@register_attention(
    "bam",
    title="BAM",
    paper="https://arxiv.org/abs/1807.06514",
    summary="One weight per channel and position, from a channel branch and a spatial branch, added to 1: it only strengthens.",
    formula=r"y = (1 + \sigma(c(x) \cdot s(x))) \odot x",
    kinds=[MapKind.ELEMENT],
    combine=Combine.ONE_PLUS,
    options={
        "merge": ("product", "sum"),
        "last_norm": (False, True),
        "reduction": REDUCTIONS,
        "min_hidden": MIN_HIDDEN,
        "dilation": (1, 2, 4),
    },
    new_runs={"min_hidden": 4},
    no_identity=SIGMOID_GATES,
    strength="Strengthens features by what they are and where they are at once. It never removes anything, so it cannot "
    "silence clutter.",
    symbols=[
        Symbol("c(x)", "score of the channel", "channel"),
        Symbol("s(x)", "score of the position", "spatial"),
        Symbol(r"\sigma(c(x) \cdot s(x))", "weight of this value", "tap"),
    ],
    sizes={"hidden units": lambda block: block.channel[0].out_features},
)
class BottleneckAttentionModule(nn.Module):
    """One gate per channel and position, in [0, 1], that is added to 1.

    Args:
        merge: how the two branches meet: ``"product"`` in the code, ``"sum"`` in the paper.
        last_norm: whether a batch norm ends each branch, as in the paper.
        reduction: both branches have ``channels // reduction`` hidden channels.
        min_hidden: at least so many.
        dilation: of the two 3x3 convolutions.
    """

    def __init__(
        self,
        channels: int,
        size: tuple[int, int],
        *,
        merge: str = "product",
        last_norm: bool = False,
        reduction: int = 16,
        min_hidden: int = 1,
        dilation: int = 4,
    ) -> None:
        super().__init__()
        hidden = max(channels // reduction, min_hidden)
        self.merge = merge
        self.channel = nn.Sequential(
            nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, channels)
        )
        self.spatial = nn.Sequential(
            *_normed(nn.Conv2d(channels, hidden, 1)),
            *_normed(nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)),
            *_normed(nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation)),
            nn.Conv2d(hidden, 1, 1),
        )
        if last_norm:
            self.channel.append(nn.BatchNorm1d(channels))
            self.spatial.append(nn.BatchNorm2d(1))
        self.tap = AttentionTap(MapKind.ELEMENT, neutral=0.0)

    def forward(self, x: Tensor) -> Tensor:
        channel, spatial = self.channel(x.mean(dim=(2, 3)))[..., None, None], self.spatial(x)  # (B, C, 1, 1), (B, 1, H, W)
        scores = channel * spatial if self.merge == "product" else channel + spatial
        return x * (1 + self.tap(scores.sigmoid()))
