"""Rows and columns of self-attention maps that are too large to be recorded whole.

    row(q)     A[q, :] = softmax_keys(scale * q_q^T K)          what the position q looks at
    column(k)  A[:, k] for all queries                          who looks at the position k

At 64 x 64 one map has 16.8 million weights, at 256 x 256 4.3 billion. Here only what a row needs is kept: the input of
the block, caught by one forward, and its keys. Which maps are too large is the block's own rule
(`attnlab.maps.MAX_POSITIONS`).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.attention.self_attention import SelfAttention
from attnlab.data import normalise
from attnlab.maps import MAX_POSITIONS, unique_names
from attnlab.training.modes import evaluating

Place = tuple[int, int]
"""(row, column) of one position."""


@dataclass(frozen=True, eq=False)
class LargeMap:
    """One map that is never made whole, for one image.

    It holds the block's input and its keys, 4 (C N + heads d M) bytes for N queries and M keys. A row takes 4 heads M
    bytes more while it is computed; a column some queries at a time, at most 16 MiB per head.

    Attributes:
        name: path of the tap, as in `attnlab.attention.AttentionMap.name`.
        grid: (H, W) of the queries.
        key_grid: (H', W') of the keys; smaller where keys are pooled.
        block: in evaluation mode; its weights must not change while this map is in use.
        features: what entered the block, float (1, C, H, W).
        keys: what `SelfAttention.keys` made of it, (1, heads, M, d).
    """

    name: str
    grid: Place
    key_grid: Place
    block: SelfAttention
    features: Tensor
    keys: Tensor

    @property
    def heads(self) -> int:
        return self.block.heads

    def row(self, query: Place, head: int | None = None) -> NDArray[np.float32]:
        """What ``query`` looks at: float32 (H', W') over the keys, summing to 1.

        Args:
            head: from 0; `None` takes the mean over the heads.

        Raises:
            ValueError: for a position or head that is not there.
        """
        with torch.inference_mode():
            return self._of_head(self.block.row(self.features, [query], self.keys)[0, :, 0], head)

    def column(self, key: Place, head: int | None = None) -> NDArray[np.float32]:
        """Who looks at ``key``, a position of the keys' grid: the weight each query gives it, float32 (H, W).

        Raises:
            ValueError: as `row`.
        """
        with torch.inference_mode():
            return self._of_head(self.block.column(self.features, key, self.keys)[0], head)

    def _of_head(self, weights: Tensor, head: int | None) -> NDArray[np.float32]:
        if head is not None and not 0 <= head < self.heads:
            raise ValueError(f"head {head} asked for, {self.name} has {self.heads}, counted from 0")
        chosen: NDArray[np.float32] = (weights.mean(dim=0) if head is None else weights[head]).float().cpu().numpy()
        return chosen


def large_maps(model: nn.Module, image: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[LargeMap, ...]:
    """The maps of one image that a recording leaves out, in the order of the forward; one forward, and none where the
    network has no self-attention.

    Args:
        image: uint8 (1, C, H, W) of the size the network was made for.
        mean, std: per channel, on images in [0, 1].

    Raises:
        ValueError: for more or fewer images than one.
    """
    if image.shape[0] != 1:
        raise ValueError(f"one image needed, got {image.shape[0]}")
    blocks = {name: module for name, module in model.named_modules() if isinstance(module, SelfAttention)}
    if not blocks:
        return ()
    maps: list[LargeMap] = []
    here = threading.get_ident()

    def keep(path: str, block: SelfAttention, given: tuple[Tensor, ...], made: Tensor) -> None:
        if threading.get_ident() != here:  # the network is shared: another thread's forward is not this image's
            return
        x = given[0].detach()
        grid, key_grid = (x.shape[2], x.shape[3]), block.key_grid(x)
        if max(grid[0] * grid[1], key_grid[0] * key_grid[1]) <= MAX_POSITIONS:
            return
        maps.append(LargeMap(f"{path}.tap" if path else "tap", grid, key_grid, block, x, block.keys(x)))

    x = normalise(image, tuple(mean), tuple(std)).to(next(model.parameters()).device)
    with ExitStack() as hooks:
        for path, block in blocks.items():
            hooks.callback(block.register_forward_hook(partial(keep, path)).remove)
        with evaluating(model), torch.inference_mode():
            model(x)
    names = unique_names([large.name for large in maps])
    return tuple(replace(large, name=name) for name, large in zip(names, maps, strict=True))
