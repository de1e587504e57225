"""Rows and columns of self-attention maps that are too large to be recorded whole.

    row(q)     A[q, :] = softmax_keys(scale * q_q^T K)          the attention that position q gives
    column(k)  A[:, k] for all queries                          the attention that position k receives

At 64 x 64 one map has 16.8 million weights, at 256 x 256 4.3 billion. Only what a row needs is kept here: the input of
the block, from one forward, and its keys. Which maps are too large is the block's own rule (`attnlab.maps.MAX_POSITIONS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.attention import RowsOnDemand
from attnlab.data import normalise
from attnlab.explain.calls import observe_calls
from attnlab.maps import MAX_POSITIONS, unique_names

Place = tuple[int, int]
"""(row, column) of one position."""


@dataclass(frozen=True, eq=False)
class LargeMap:
    """One map of one image that is never computed whole.

    It holds the block's input and its keys, 4 (C N + heads d M) bytes for N queries and M keys. Computing a row takes
    4 heads M bytes more; a column is computed for some queries at a time, with at most 16 MiB per head.

    Attributes:
        name: path of the tap, as in `attnlab.attention.AttentionMap.name`.
        grid: (H, W) of the queries.
        key_grid: (H', W') of the keys; smaller where keys are pooled.
        block: in evaluation mode; its weights must not change while this map is in use.
        features: input of the block, float (1, C, H, W), or tokens (1, N, D).
        keys: `RowsOnDemand.keys` of it, as in (1, heads, M, d).
    """

    name: str
    grid: Place
    key_grid: Place
    block: RowsOnDemand
    features: Tensor
    keys: Tensor

    @property
    def heads(self) -> int:
        return self.block.heads

    def row(self, query: Place, head: int | None = None) -> NDArray[np.float32]:
        """The attention that ``query`` gives: float32 (H', W') over the keys, summing to 1 less what goes to no position.

        Args:
            head: from 0; `None` takes the mean over the heads.

        Raises:
            ValueError: for a position or head that does not exist.
        """
        with torch.inference_mode():
            return self._of_head(self.block.row(self.features, [query], self.keys)[0, :, 0], head)

    def column(self, key: Place, head: int | None = None) -> NDArray[np.float32]:
        """The attention that ``key``, a position of the keys' grid, receives from each query: float32 (H, W).

        Raises:
            ValueError: as `row`.
        """
        with torch.inference_mode():
            return self._of_head(self.block.column(self.features, key, self.keys)[0], head)

    def _of_head(self, weights: Tensor, head: int | None) -> NDArray[np.float32]:
        if head is not None and not 0 <= head < self.heads:
            raise ValueError(f"there is no head {head}: {self.name} has {self.heads}, counted from 0")
        chosen: NDArray[np.float32] = (weights.mean(dim=0) if head is None else weights[head]).float().cpu().numpy()
        return chosen


def large_maps(model: nn.Module, image: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[LargeMap, ...]:
    """The maps of one image that a recording leaves out, in the order of the forward.

    It takes one forward, and none where the network has no self-attention.

    Args:
        image: uint8 (1, C, H, W) of the size the network was made for.
        mean, std: per channel, on images in [0, 1].

    Raises:
        ValueError: for more or fewer images than one.
    """
    if image.shape[0] != 1:
        raise ValueError(f"one image needed, got {image.shape[0]}")
    names = [name for name, module in model.named_modules() if isinstance(module, RowsOnDemand)]
    blocks = {name: model.get_submodule(name) for name in names}
    if not blocks:
        return ()
    maps: list[LargeMap] = []

    def keep(path: str, features: Tensor, output: Tensor) -> None:
        block = blocks[path]
        assert isinstance(block, RowsOnDemand)
        grid, key_grid = block.query_grid(features), block.key_grid(features)
        if max(grid[0] * grid[1], key_grid[0] * key_grid[1]) <= MAX_POSITIONS:
            return
        tap = f"{path}.tap" if path else "tap"
        maps.append(LargeMap(tap, grid, key_grid, block, features.detach(), block.keys(features)))

    observe_calls(model, normalise(image, tuple(mean), tuple(std)), blocks, keep)
    unique = unique_names([large.name for large in maps])
    return tuple(replace(large, name=name) for name, large in zip(unique, maps, strict=True))
