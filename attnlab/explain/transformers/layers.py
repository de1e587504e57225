"""The attention of a transformer as a whole: all layers over the same tokens, put together from the maps of one forward.

What makes a network a transformer here is said by its maps alone: at least two layers, each with a softmax over all tokens
for each token, the same tokens in each. Windows (Swin), pooled keys, and attention on several resolutions are other things,
for which products over the layers have no meaning.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.attention import AttentionMap
from attnlab.geometry import Cells
from attnlab.maps import MapKind, MapScale, derived, tap_of


@dataclass(frozen=True, eq=False)
class TokenLayers:
    """The attention of every layer, between N = prefix + H * W tokens: first those without a position, then the patches.

    Attributes:
        names: path of the tap of each layer, from the first layer to the last.
        weights: of each layer (B, heads, N, N), queries x keys; rows sum to 1.
        prefix: how many tokens have no position: the class token, then registers.
        grid: (H, W) of the patches.
        cells: where the patches lie in the picture; `None` where that is not known.
        read: (B, N), how much of each token the classifier reads after the last layer; sums to 1. That is the first token where
            there are tokens without a position, else the weights of a softmax over the tokens that comes last (sequence
            pooling), else all tokens alike.
    """

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]
    prefix: int
    grid: tuple[int, int]
    cells: Cells | None
    read: Tensor

    @property
    def has_class_token(self) -> bool:
        return self.prefix > 0

    def on_patches(self, matrices: Tensor) -> Tensor:
        """The rows of the tokens that are read, by patch: (B, ..., N, N) -> (B, ..., H, W).

        Rows are not normalised again, so what goes to tokens without a position is missing from their sum.
        """
        read = self.read.to(matrices).view(len(matrices), *[1] * (matrices.ndim - 3), 1, -1)
        return (read @ matrices)[..., 0, self.prefix :].unflatten(-1, self.grid)


def token_layers(maps: Sequence[AttentionMap]) -> TokenLayers | None:
    """The layers of a transformer from all maps of one forward, in its order; `None` where they are not those of one.

    Maps that are no attention between positions (gates of a stem) do not count.
    """
    pairs = [each for each in maps if each.kind is MapKind.PAIRWISE and derived(each.name) is None]
    if not pairs or any(not _over_all_tokens(each) or _tokens(each) != _tokens(pairs[0]) for each in pairs):
        return None
    layers: list[list[AttentionMap]] = []
    for each in pairs:
        if not each.head:  # the first head of a layer, or its only one
            layers.append([])
        layers[-1].append(each)
    if len(layers) < 2:
        return None
    first = pairs[0]
    return TokenLayers(
        names=tuple(tap_of(heads[0].name) for heads in layers),
        weights=tuple(torch.stack([head.values for head in heads], dim=1) for heads in layers),
        prefix=first.prefix,
        grid=first.grid,
        cells=first.cells,
        read=_read(maps, first),
    )


def _over_all_tokens(attention: AttentionMap) -> bool:
    tokens = attention.prefix + math.prod(attention.grid)
    square = attention.queries == attention.grid and attention.values.shape[1:] == (tokens, tokens)
    return square and attention.scale is MapScale.SOFTMAX


def _tokens(attention: AttentionMap) -> tuple[int, tuple[int, int], int]:
    return attention.prefix, attention.grid, len(attention.values)


def _read(maps: Sequence[AttentionMap], first: AttentionMap) -> Tensor:
    batch, tokens = first.values.shape[:2]
    if first.prefix:
        return torch.eye(tokens, dtype=first.values.dtype)[0].to(first.values.device).expand(batch, -1)
    last = maps[-1]
    if last.kind is MapKind.SPATIAL and last.scale is MapScale.SOFTMAX and last.grid == first.grid:
        return last.values.flatten(1)
    return first.values.new_full((batch, tokens), 1 / tokens)
