"""Randomness as a pure function of (seed, purpose, step), so that a resumed run needs no generator state.

Before each optimizer step the default generators, from which dropout and augmentation draw, are seeded with
`mix(seed, "step", step)`. The order of an epoch comes from a generator of its own, seeded with `mix(seed, "order", epoch)`.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def mix(seed: int, *parts: str | int) -> int:
    """A 63-bit seed from a run's seed and a purpose; unrelated for neighbouring inputs, and the same on every machine."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def epoch_order(seed: int, epoch: int, count: int) -> Tensor:
    """The order of ``count`` training images in an epoch (int64, on the CPU)."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(mix(seed, "order", epoch)))
