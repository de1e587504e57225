"""Large kernel attention, the weights of VAN (Guo et al., Computational Visual Media 2023, arXiv:2202.09741).

    a = W (dilated depthwise conv 7x7, dilation 3) (depthwise conv 5x5) x,   y = a * x

A convolution of side 21 in three parts: near neighbours, far ones, and then the channels. Nothing squashes the weights: they
are signed factors without bounds, 1 leaves a feature as it is, and a negative one turns its sign.

Departures: none from the authors' code. VAN puts 1x1 convolutions, a GELU and a shortcut around it; here it stands alone. Other
sides than 21 keep the dilation of 3.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._registry import Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale

DILATION = 3


@register_attention(
    "large_kernel",
    title="Large kernel attention",
    paper="https://arxiv.org/abs/2202.09741",
    summary="One signed factor per channel and position, from a convolution over a large neighbourhood.",
    formula=r"a = \mathrm{conv}_{21 \times 21}(x),\quad y = a \odot x",
    kinds=[MapKind.ELEMENT],
    options={"kernel_size": (9, 15, 21)},
    strength="Sees a large neighbourhood and can strengthen, weaken or turn the sign of a value. Its factors have no "
    "bounds, which makes them hard to read.",
    symbols=[
        Symbol("a", "factor of this value", "tap"),
    ],
    sizes={"side of the neighbourhood": lambda block: block.far.kernel_size[0] * 3},
)
class LargeKernelAttention(nn.Module):
    """One unbounded factor per channel and position.

    Args:
        kernel_size: side of the neighbourhood: three times that of the dilated convolution.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int = 21) -> None:
        super().__init__()
        far = kernel_size // DILATION
        near = 2 * DILATION - 1
        self.near = nn.Conv2d(channels, channels, near, padding=near // 2, groups=channels)
        self.far = nn.Conv2d(channels, channels, far, padding=far // 2 * DILATION, dilation=DILATION, groups=channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.tap = AttentionTap(MapKind.ELEMENT, MapScale.FACTOR)

    def start_as_identity(self) -> None:
        assert self.mix.bias is not None
        nn.init.zeros_(self.mix.weight)
        nn.init.ones_(self.mix.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.tap(self.mix(self.far(self.near(x))))
