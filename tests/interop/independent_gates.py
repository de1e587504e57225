"""Gates of the zoo computed a second time, as `tests.interop.independent` does: from papers and descriptions of the public
code, over its names, in plain functions. Nothing here uses attnlab.
"""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def gct(x: Tensor, state: State, norm: str = "l2") -> Tensor:
    """Channel by channel: its norm against those of all channels, through tanh, around 1."""
    alpha, gamma, beta = (state[name].flatten() for name in ("alpha", "gamma", "beta"))
    images = []
    for image in x:
        if norm == "l2":
            energy = torch.stack([a * torch.sqrt((c * c).sum() + 1e-5) for a, c in zip(alpha, image, strict=True)])
            total = torch.sqrt((energy * energy).sum() / len(energy) + 1e-5)
        else:
            energy = torch.stack([a * c.abs().sum() for a, c in zip(alpha, image, strict=True)])
            total = energy.abs().sum() / len(energy) + 1e-5
        factors = [1 + torch.tanh(e * g / total + b) for e, g, b in zip(energy, gamma, beta, strict=True)]
        images.append(torch.stack([factor * c for factor, c in zip(factors, image, strict=True)]))
    return torch.stack(images)
