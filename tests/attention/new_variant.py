"""The source of a variant that the project does not have, as one new file would bring it."""

VARIANT = '''
"""A gate from the brightness of each position."""

from torch import Tensor, nn

from attnlab.attention import AttentionTap, MapKind, register_attention


@register_attention(
    "brightness",
    title="Brightness",
    paper="none",
    summary="One gate per position, from its mean over the channels.",
    formula=r"a = \\sigma(t\\,\\mathrm{mean}_c\\,x)",
    kinds=[MapKind.SPATIAL],
    options={"power": (1, 2)},
)
class Brightness(nn.Module):
    def __init__(self, channels: int, size: tuple[int, int], *, power: int = 1) -> None:
        super().__init__()
        self.slope = nn.Conv2d(1, 1, 1)
        self.power = power
        self.tap = AttentionTap(MapKind.SPATIAL)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.tap(self.slope(x.mean(dim=1, keepdim=True)).sigmoid() ** self.power)
'''
