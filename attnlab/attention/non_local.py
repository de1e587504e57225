"""Non-local block (Wang et al., CVPR 2018, arXiv:1711.07971), in its embedded Gaussian form.

    t, p, g = W_t x, W_p x, W_g x                    1x1 convolutions, C -> C/8
    A = softmax_keys(t^T p / sqrt(C))                (B, N, N)
    y = x + BN(W_z (A g))                            BN starts with weight 0, so the block starts as the identity

Departures, as in timm's code: an eighth of the channels, rounded to a multiple of 8 (in the paper half), scores divided by
sqrt(C) (in the paper not; ``scaled``), and keys and values are not pooled.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from attnlab.attention._layers import rounded_width, set_to_zero
from attnlab.attention._pairwise import PairwiseAttention, Place, at_places
from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.maps import MapKind


@register_attention(
    "non_local",
    title="Non-local block",
    paper="https://arxiv.org/abs/1711.07971",
    summary="Each position gathers from all positions by how well its query fits their keys, and adds what it gathered.",
    formula=r"A = \mathrm{softmax}(t^\top p / \sqrt{C}),\quad y = x + \mathrm{BN}(W_z A g)",
    kinds=[MapKind.PAIRWISE],
    combine=Combine.READOUT,
    options={"reduction": (1, 2, 4, 8, 16), "scaled": (True, False)},
    strength="Lets far places inform each other, and starts as the identity. Time grows with the square of the number of "
    "positions.",
    symbols=[
        Symbol("t", "query of the position", "query"),
        Symbol("p", "key of the position", "key"),
        Symbol("g", "value of the position", "value"),
        Symbol("A", "how much each position attends to each", "tap"),
        Symbol(r"\mathrm{BN}(W_z A g)", "what is added", "bn"),
    ],
    sizes={"query width": lambda block: block.query.out_channels},
)
class NonLocal(PairwiseAttention):
    """Attention of all positions to all positions at reduced width.

    Args:
        reduction: queries, keys and values have about ``channels / reduction`` channels.
        scaled: divide the scores by the square root of ``channels``.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, reduction: int = 8, scaled: bool = True) -> None:
        super().__init__(scale=channels**-0.5 if scaled else 1.0)
        hidden = rounded_width(channels / reduction)
        self.query = nn.Conv2d(channels, hidden, 1)
        self.key = nn.Conv2d(channels, hidden, 1)
        self.value = nn.Conv2d(channels, hidden, 1)
        self.output = nn.Conv2d(hidden, channels, 1)
        self.bn = nn.BatchNorm2d(channels)
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.bn.weight)

    def start_as_identity(self) -> None:
        set_to_zero(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.output(self.attend(x))) + x

    def queries(self, x: Tensor, places: Sequence[Place] | None = None) -> Tensor:
        return self.split(self.query(at_places(x, places)))

    def keys(self, x: Tensor) -> Tensor:
        return self.split(self.key(x))

    def values(self, x: Tensor) -> Tensor:
        return self.split(self.value(x))
