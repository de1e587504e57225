"""External attention (Guo et al., TPAMI 2022, arXiv:2105.02358): attention to a learned memory instead of to the picture.

    f = W1 x                                         1x1 convolution
    a = softmax_positions(M_k f)                     (B, S, N): the memory's S slots, each over all positions
    b = a / sum_slots(a)                             each position's weights of the slots
    y = relu(x + BN(W2 (M_v b)))

The map is a: for each slot, a softmax over the positions, so it has the kind ELEMENT with a slot in place of a channel and
says which positions read the slot. The slots have no place in the picture, so it is no PAIRWISE map. An edit changes a; b
follows from it.

Departures: in the published code both memories start as one tensor that they share, and training moves it for both; here they
are two, as in the paper.
"""

from __future__ import annotations

from torch import Tensor, nn

from attnlab.attention._registry import Combine, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind, MapScale


@register_attention(
    "external",
    title="External attention",
    paper="https://arxiv.org/abs/2105.02358",
    summary="Each position reads from a learned memory of slots that all images share.",
    formula=r"a = \mathrm{softmax}_{hw}(M_k W_1 x),\quad y = \mathrm{ReLU}(x + \mathrm{BN}(W_2 M_v a / \sum_s a_s))",
    kinds=[MapKind.ELEMENT],
    combine=Combine.READOUT,
    options={"slots": (64, 8, 16, 32, 128)},
    no_identity="it ends with a ReLU, which sets negative features to 0",
    strength="Compares every position with a memory that all images share, in time linear in the number of positions.",
    symbols=[
        Symbol("W_1 x", "features before the memory", "input"),
        Symbol("a", "share of the position in each slot", "tap"),
    ],
    sizes={"slots of the memory": lambda block: block.key_memory.out_channels},
)
class ExternalAttention(nn.Module):
    """Attention between positions and the slots of a memory.

    Args:
        slots: of the memory (S).
    """

    def __init__(self, channels: int, size: tuple[int, int], *, slots: int = 64) -> None:
        super().__init__()
        self.input = nn.Conv2d(channels, channels, 1)
        self.key_memory = nn.Conv1d(channels, slots, 1, bias=False)
        self.value_memory = nn.Conv1d(slots, channels, 1, bias=False)
        self.output = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        for layer in (self.input, self.key_memory, self.value_memory, self.output):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        self.tap = AttentionTap(MapKind.ELEMENT, MapScale.SOFTMAX, neutral=0.0)

    def forward(self, x: Tensor) -> Tensor:
        size = x.shape[2:]
        scores = self.key_memory(self.input(x).flatten(2))  # (B, S, N)
        read = self.tap(scores.softmax(dim=-1).unflatten(2, size)).flatten(2)
        shares = read / (1e-9 + read.sum(dim=1, keepdim=True))
        return (self.bn(self.output(self.value_memory(shares).unflatten(2, size))) + x).relu()
