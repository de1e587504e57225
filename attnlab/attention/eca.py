"""Efficient Channel Attention (Wang et al., CVPR 2020, arXiv:1910.03151).

    a = sigmoid(conv1d_k(mean_hw(x))),   y = a * x

The convolution slides over the channels, so each weight depends on the means of k neighbouring channels. The paper's
adaptive rule is k = |log2(C) / gamma + b / gamma| made odd, with gamma = 2 and b = 1.

Departure: k is 3 unless ``kernel_size`` says otherwise, as in the report of Madmoni and Ben-Or (2023).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from attnlab.attention._registry import SIGMOID_GATES, Symbol, register_attention
from attnlab.attention._tap import AttentionTap
from attnlab.maps import MapKind


def adaptive_kernel_size(channels: int, gamma: int = 2, b: int = 1) -> int:
    """The paper's kernel size for ``channels``: 3 for 64, 5 for 128 to 512."""
    k = int(abs(math.log2(channels) / gamma + b / gamma))
    return k if k % 2 else k + 1


@register_attention(
    "eca",
    title="ECA",
    paper="https://arxiv.org/abs/1910.03151",
    summary="One weight per channel: a 1-D convolution over the means of the channel and its neighbours.",
    formula=r"a = \sigma(\mathrm{conv1d}_k(\mathrm{mean}_{hw}\,x)),\quad y = a \odot x",
    kinds=[MapKind.CHANNEL],
    options={"kernel_size": (3, 5, 7, 9, "adaptive")},
    no_identity=SIGMOID_GATES,
    strength="Says which kinds of pattern matter for three to nine parameters in all. Only neighbouring channels inform "
    "each other, and it cannot say where.",
    symbols=[
        Symbol(r"\mathrm{mean}_{hw}\,x", "mean of the channel", "conv.in"),
        Symbol(r"\mathrm{conv1d}_k(\mathrm{mean}_{hw}\,x)", "score of the channel", "conv"),
        Symbol("a", "gate of the channel", "tap"),
    ],
    sizes={"k, channels that one gate sees": lambda block: block.conv.kernel_size[0]},
)
class Eca(nn.Module):
    """One gate per channel from a 1-D convolution over the channel means.

    Args:
        kernel_size: width of the convolution, odd, or ``"adaptive"`` for the paper's rule.

    Raises:
        ValueError: for an even or non-positive kernel size.
    """

    def __init__(self, channels: int, size: tuple[int, int], *, kernel_size: int | str = 3) -> None:
        super().__init__()
        k = adaptive_kernel_size(channels) if kernel_size == "adaptive" else int(kernel_size)
        if k < 1 or k % 2 == 0:
            raise ValueError(f"eca kernel_size must be odd and positive or 'adaptive', got {kernel_size!r}")
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self.tap = AttentionTap(MapKind.CHANNEL)

    def forward(self, x: Tensor) -> Tensor:
        means = x.mean(dim=(2, 3))  # (B, C)
        gate = self.conv(means[:, None]).sigmoid()[:, 0, :, None, None]  # (B, C, 1, 1)
        return x * self.tap(gate)
