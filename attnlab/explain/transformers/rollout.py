"""Attention rollout and attention flow (Abnar and Zuidema, ACL 2020, arXiv:2005.00928): attention of all layers together.

Each layer adds what it gathers to what was there, so a layer mixes its tokens by the attention A of its heads and by the
identity I of the path around it, half and half. Rollout is the product over the layers, the later layer on the left:

    M_l = rows of (A_l + I), each divided by its sum        R_l = M_l R_(l-1),  R_0 = I

Row q of R_L says how much of each token at the start is in token q at the end, if values and MLPs are left out of it. Every
row sums to 1. A widespread implementation divides by ``a.sum(dim=-1)`` without keeping the dimension, which divides each
*column* by the sum of another row: with heads fused by their maximum or minimum its rows do not sum to 1.

    flow(q -> k) = the largest flow from token q after the last layer to token k at the start, where an edge of layer l carries
                   at most its weight in M_l; divided by the sum over k
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from attnlab.attention import AttentionMap
from attnlab.explain.transformers.layers import TokenLayers
from attnlab.maps import MapKind, MapScale

Fusion = Literal["mean", "max", "min"]
ROLLOUT = "rollout"
"""Name of the map that `rollout_map` makes."""
MAX_FLOW_TOKENS = 50
"""Attention flow is computed between at most so many tokens: its time grows with more than their cube."""
_LEAST_FLOW = 1e-12


def fuse_heads(weights: Tensor, fusion: Fusion = "mean") -> Tensor:
    """One matrix for all heads of a layer: (B, heads, N, N) -> (B, N, N). Of ``max`` and ``min``, rows need not sum to 1.

    Raises:
        ValueError: for another fusion.
    """
    if fusion not in get_args(Fusion):
        raise ValueError(f"heads are fused by {', '.join(get_args(Fusion))}, not by {fusion!r}")
    if fusion == "mean":
        return weights.mean(dim=1)
    return weights.amax(dim=1) if fusion == "max" else weights.amin(dim=1)


def with_residual(fused: Tensor) -> Tensor:
    """A + I with rows divided by their sums, (B, N, N): what a layer mixes, with the path around it."""
    mixed = fused + torch.eye(fused.shape[-1], dtype=fused.dtype, device=fused.device)
    return mixed / mixed.sum(dim=-1, keepdim=True)


def joint_attention(
    layers: Sequence[Tensor] | Tensor, *, start_layer: int = 0, fusion: Fusion = "mean", residual: bool = True
) -> Tensor:
    """The product of the layers after each of them: (L - start_layer, B, N, N), the last one is `attention_rollout`.

    Args:
        layers: of each layer, the first one first, (B, heads, N, N), or (B, N, N) with heads already fused.
        start_layer: layers before this one are left out.
        fusion: of the heads.
        residual: ``False`` multiplies the attention as it is, without the path around each layer.

    Raises:
        ValueError: when no layer is left, or for another fusion.
    """
    if not 0 <= start_layer < len(layers):
        raise ValueError(f"there is no layer {start_layer} to start from: there are {len(layers)}, counted from 0")
    joint: list[Tensor] = []
    for weights in layers[start_layer:]:
        fused = fuse_heads(weights, fusion) if weights.ndim == 4 else weights
        mixed = with_residual(fused) if residual else fused
        joint.append(mixed @ joint[-1] if joint else mixed)
    return torch.stack(joint)


def attention_rollout(layers: Sequence[Tensor] | Tensor, *, start_layer: int = 0, fusion: Fusion = "mean") -> Tensor:
    """How much of each token at the start is in each at the end: (B, N, N), rows sum to 1. Arguments as of `joint_attention`.

    >>> swap = torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
    >>> attention_rollout([swap, swap])  # half stays, half goes, twice
    tensor([[[0.5000, 0.5000],
             [0.5000, 0.5000]]])
    """
    return joint_attention(layers, start_layer=start_layer, fusion=fusion)[-1]


def rollout_map(layers: TokenLayers) -> AttentionMap:
    """The rollout of a network as a map between its tokens, to be looked at like that of a head."""
    return AttentionMap(
        ROLLOUT,
        MapKind.PAIRWISE,
        MapScale.SOFTMAX,
        attention_rollout(layers.weights),
        layers.grid,
        cells=layers.cells,
        neutral=0.0,
        queries=layers.grid,
        prefix=layers.prefix,
    )


def attention_flow(layers: Sequence[Tensor], query: int, *, fusion: Fusion = "mean") -> Tensor:
    """How much can flow from one token after the last layer to each token at the start, as shares that sum to 1: (N,).

    Args:
        layers: of ONE image, each (heads, N, N), or (N, N) with heads already fused.
        query: the token after the last layer.

    Raises:
        ValueError: for more than `MAX_FLOW_TOKENS` tokens.
    """
    fused = [fuse_heads(each[None], fusion)[0] if each.ndim == 3 else each for each in layers]
    tokens = fused[0].shape[-1]
    if tokens > MAX_FLOW_TOKENS:
        raise ValueError(
            f"attention flow is computed for at most {MAX_FLOW_TOKENS} tokens, and there are {tokens}; use attention rollout"
        )
    mixed = [with_residual(each[None])[0].double().tolist() for each in fused]
    flows = torch.tensor([_largest_flow(mixed, query, key) for key in range(tokens)], dtype=torch.float64)
    return (flows / flows.sum()).to(fused[0].dtype)


def _largest_flow(mixed: Sequence[Sequence[Sequence[float]]], source: int, sink: int) -> float:
    """Dinic's algorithm on the graph of layers, whose nodes are ``layer * N + token``, 0 being what enters the first layer."""
    depth, tokens = len(mixed), len(mixed[0])
    free: list[dict[int, float]] = [{} for _ in range((depth + 1) * tokens)]
    for layer, rows in enumerate(mixed):
        for query, row in enumerate(rows):
            for key, weight in enumerate(row):
                above, below = (layer + 1) * tokens + query, layer * tokens + key
                free[above][below] = weight
                free[below][above] = 0.0
    start, total = depth * tokens + source, 0.0
    while sink in (level := _levels(free, start)):
        onward = {node: [other for other in free[node] if level.get(other) == level[node] + 1] for node in level}
        while (pushed := _push(free, onward, start, sink, math.inf)) > 0:
            total += pushed
    return total


def _levels(free: Sequence[dict[int, float]], start: int) -> dict[int, int]:
    """How many edges with room each node is away from the start."""
    level, waiting = {start: 0}, deque([start])
    while waiting:
        node = waiting.popleft()
        for other, room in free[node].items():
            if room > _LEAST_FLOW and other not in level:
                level[other] = level[node] + 1
                waiting.append(other)
    return level


def _push(free: Sequence[dict[int, float]], onward: dict[int, list[int]], node: int, sink: int, most: float) -> float:
    """Sends as much as fits along one path to the sink; 0 where there is none left. Dead ends are taken out of ``onward``."""
    if node == sink:
        return most
    while onward[node]:
        other = onward[node][-1]
        room = min(most, free[node][other])
        pushed = _push(free, onward, other, sink, room) if room > _LEAST_FLOW else 0.0
        if pushed > 0:
            free[node][other] -= pushed
            free[other][node] += pushed
            return pushed
        onward[node].pop()
    return 0.0
