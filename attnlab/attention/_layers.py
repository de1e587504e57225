"""What several blocks have in common: how wide a bottleneck is, and batch norm of one vector per image."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F


def rounded_width(width: float, *, least: int = 8) -> int:
    """A number of channels rounded as timm does it: to the nearest multiple of 8, but by no more than a tenth down.

    >>> [rounded_width(width) for width in (4, 20, 12, 18.5)]
    [8, 24, 16, 24]
    """
    rounded = max(least, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def divisors(number: int, offered: Iterable[int]) -> str:
    """Those of the values offered that divide a number, as in "1, 2 or 4": what an error message proposes."""
    *first, last = [str(value) for value in sorted(offered) if number % value == 0]
    return f"{', '.join(first)} or {last}" if first else last


def set_to_zero(*layers: nn.Module) -> None:
    """Sets weights and biases of some layers to 0: what they make is 0 for any input."""
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            nn.init.zeros_(parameter)


class VectorBatchNorm(nn.BatchNorm2d):
    """Batch norm of (B, C, 1, 1). A batch of one image has no variance: it is normalised with the running statistics.

    PyTorch raises there, which would end a training whose last batch has one image.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.shape[0] == 1:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        return super().forward(x)
