"""The attention of a transformer as a whole: all layers over the same tokens, put together from the maps of one forward.

What makes a network a transformer here is said by its maps alone: at least two layers, each with a softmax over all tokens
for each token, the same tokens in each, and more than one position. A product over the layers takes a token of one layer for
the same token of the layer before, plus what it gathered. So

    what a head gathers is added to its input       its neutral weight is 0, see `AttentionMap.neutral`
    nothing else mixes tokens between two layers    their cells see the same pixels: a convolution or a pooling between them
                                                    would have widened what a cell sees (`attnlab.attention.locate_maps`)

Where nobody knows what cells see, a token without a position proves the second: no convolution can pass over it. Windows
(Swin), pooled keys, attention on several resolutions, and a CNN with attention after several of its convolutions are other
things.
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
        read: (B, N), how much of each token the classifier reads after the last layer; sums to 1. By the maps alone that is the
            first token where there are tokens without a position, else all tokens alike; by gradients it can be told
            (`attnlab.explain.transformers.relevance.tokens_read`).
        pooled: whether it is the weights of a map instead, a softmax over the tokens after the last layer (sequence pooling).
    """

    names: tuple[str, ...]
    weights: tuple[Tensor, ...]
    prefix: int
    grid: tuple[int, int]
    cells: Cells | None
    read: Tensor
    pooled: bool = False

    @property
    def class_token(self) -> bool:
        """Whether the classifier reads the first token alone, and that has no position."""
        return self.prefix > 0 and bool((self.read[:, 0] == 1).all())

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
    if pairs[0].cells is None and not pairs[0].prefix:
        return None
    layers: list[list[AttentionMap]] = []
    for each in pairs:
        if not each.head:  # the first head of a layer, or its only one
            layers.append([])
        layers[-1].append(each)
    if len(layers) < 2:
        return None
    first = pairs[0]
    pooling = _pooling(maps[-1], first)
    return TokenLayers(
        names=tuple(tap_of(heads[0].name) for heads in layers),
        weights=tuple(torch.stack([head.values for head in heads], dim=1) for heads in layers),
        prefix=first.prefix,
        grid=first.grid,
        cells=first.cells,
        read=_first_or_all(first) if pooling is None else pooling,
        pooled=pooling is not None,
    )


def _over_all_tokens(attention: AttentionMap) -> bool:
    tokens = attention.prefix + math.prod(attention.grid)
    if math.prod(attention.grid) == 1:
        return False  # attention over one position, which a small picture leaves of a map
    square = attention.queries == attention.grid and attention.values.shape[1:] == (tokens, tokens)
    return square and attention.scale is MapScale.SOFTMAX and attention.neutral == 0


def _tokens(attention: AttentionMap) -> tuple[int, tuple[int, int], Cells | None, int]:
    return attention.prefix, attention.grid, attention.cells, len(attention.values)


def _pooling(last: AttentionMap, first: AttentionMap) -> Tensor | None:
    """The weights of the last map of a network if they pool all of its tokens."""
    pools = last.kind is MapKind.SPATIAL and last.scale is MapScale.SOFTMAX and last.grid == first.grid and not first.prefix
    return last.values.flatten(1) if pools else None


def _first_or_all(first: AttentionMap) -> Tensor:
    batch, tokens = first.values.shape[:2]
    read = first.values.new_zeros(batch, tokens)
    read[:, : 1 if first.prefix else tokens] = 1 if first.prefix else 1 / tokens
    return read
