"""Ways to replace attention weights, for `attnlab.attention.edit_attention`: is the prediction moved by them at all?

    with edit_attention(model, uniform):
        logits = model(x)

Each function takes an `AttentionMap` and returns weights of the same shape; `shuffled`, `temperature` and `paint` are
made with their settings first. `at` limits an edit to some taps. A GATE stays in [0, 1], a SOFTMAX still sums to 1 over
what it attends to: the positions of SPATIAL and of each channel of ELEMENT, the channels of CHANNEL, the keys of each
query of PAIRWISE.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

from attnlab.attention import AttentionMap, MapKind, MapScale
from attnlab.attention._tap import Edit
from attnlab.training.seeding import mix

_EDGE = 1e-6  # gates of exactly 0 or 1 have no finite logit


def off(seen: AttentionMap) -> Tensor:
    """As if the attention were not there: gates become 1; a softmax, which has no neutral weight, becomes uniform."""
    if seen.scale is MapScale.SOFTMAX:
        return uniform(seen)
    return torch.ones_like(seen.values)


def uniform(seen: AttentionMap) -> Tensor:
    """The same weight everywhere: a gate's mean over the whole map of its image, or 1 / N of a softmax."""
    if seen.scale is MapScale.SOFTMAX:
        return torch.full_like(seen.values, 1 / _rows(seen.values, seen.kind).shape[-1])
    means = seen.values.flatten(1).mean(dim=1)
    return means.view(-1, *[1] * (seen.values.ndim - 1)).expand_as(seen.values).clone()


def inverted(seen: AttentionMap) -> Tensor:
    """What was strong becomes weak: gates 1 - a; a softmax max + min - a of its row, made to sum to 1 again."""
    if seen.scale is MapScale.GATE:
        return 1 - seen.values
    rows = _rows(seen.values, seen.kind)
    turned = rows.amax(dim=-1, keepdim=True) + rows.amin(dim=-1, keepdim=True) - rows
    return _normalised(turned).reshape(seen.values.shape)


def shuffled(seed: int = 0) -> Edit:
    """The same weights in other places: positions (CHANNEL: channels, PAIRWISE: keys) are permuted, each image in its own
    way, all channels or queries of an image alike. The same seed gives the same permutation at the same tap.
    """

    def edit(seen: AttentionMap) -> Tensor:
        rows = _rows(seen.values, seen.kind)  # (B, rows, N)
        generator = torch.Generator().manual_seed(mix(seed, "shuffle", seen.name))
        order = torch.rand(len(rows), rows.shape[-1], generator=generator).argsort(dim=1).to(rows.device)
        return rows.gather(2, order[:, None, :].expand_as(rows)).reshape(seen.values.shape)

    return edit


def temperature(t: float) -> Edit:
    """Sharper (``t`` < 1) or flatter (``t`` > 1): the weights' logits divided by ``t``; 1 changes nothing.

    Raises:
        ValueError: when ``t`` is not positive.
    """
    if t <= 0:
        raise ValueError(f"temperature must be positive, got {t:g}")

    def edit(seen: AttentionMap) -> Tensor:
        if seen.scale is MapScale.GATE:
            return (seen.values.float().logit(eps=_EDGE) / t).sigmoid()
        rows = _rows(seen.values, seen.kind).float()
        return (rows.log() / t).softmax(dim=-1).reshape(seen.values.shape)

    return edit


def paint(region: Tensor, value: float) -> Edit:
    """Sets the weights inside a region of the image, at every map with positions; CHANNEL maps are left.

    Args:
        region: bool (H, W) of any size; brought to each map's grid by the nearest pixel.
        value: of a gate the weight itself, in [0, 1]; of a softmax the weight in units of the uniform one (1 / N), before
            the row is made to sum to 1 again.

    Raises:
        ValueError: when ``value`` is negative or not finite; inside the forward, when it is above 1 at a gate.
    """
    if not 0 <= value < float("inf"):
        raise ValueError(f"painted weight must be at least 0 and finite, got {value:g}")

    def edit(seen: AttentionMap) -> Tensor | None:
        if seen.kind is MapKind.CHANNEL:
            return None
        if seen.scale is MapScale.GATE and value > 1:
            raise ValueError(f"the gate {seen.name!r} takes weights in [0, 1], got {value:g}")
        inside = F.interpolate(region[None, None].float(), size=seen.grid, mode="nearest-exact")[0, 0] > 0.5
        rows = _rows(seen.values, seen.kind)
        softmax = seen.scale is MapScale.SOFTMAX
        painted = rows.masked_fill(inside.flatten().to(rows.device), value / rows.shape[-1] if softmax else value)
        return (_normalised(painted) if softmax else painted).reshape(seen.values.shape)

    return edit


def at(taps: Collection[str], edit: Edit) -> Edit:
    """``edit`` at the named taps only; the others are left."""

    def edit_some(seen: AttentionMap) -> Tensor | None:
        return edit(seen) if seen.name in taps else None

    return edit_some


def _rows(values: Tensor, kind: MapKind) -> Tensor:
    """(B, rows, N): the weights that compete with each other along the last axis."""
    if kind is MapKind.PAIRWISE:
        return values
    if kind is MapKind.CHANNEL:
        return values.flatten(1)[:, None]
    return values.flatten(2)


def _normalised(rows: Tensor) -> Tensor:
    """Rows that sum to 1; a row of zeros becomes uniform."""
    total = rows.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, rows / total.clamp_min(torch.finfo(rows.dtype).tiny), 1 / rows.shape[-1])
