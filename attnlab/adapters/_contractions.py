"""The two forms of attention in the code of others: a contraction of weights with values, and the fused operation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attnlab.adapters._layout import Turned
from attnlab.adapters._positions import constant, einsum_letters


def key_ids_of(ids: Tensor, dim: int, rows: Tensor, ndim: int) -> Tensor | None:
    """The ids of the keys, (..., K), from those of what is gathered, whose keys lie along ``dim``."""
    others = [each for each in range(ndim) if each in (ndim - 1, ndim - 2) and each != dim % ndim]
    if not all(constant(ids, each) for each in others):
        return None
    reduced = ids.movedim(dim, -1)
    reduced = reduced[..., 0, :] if ndim > 1 and reduced.ndim > 1 else reduced
    leading = rows.shape[:-2]
    while reduced.ndim - 1 < len(leading):
        reduced = reduced.unsqueeze(0)
    return reduced if reduced.shape[-1] == rows.shape[-1] and reduced.ndim - 1 == len(leading) else None


def operands_of(name: str, args: tuple[Any, ...]) -> tuple[tuple[Tensor, Tensor] | None, list[tuple[Turned, int] | None]]:
    """The operands of a contraction; how each turns to (..., queries, keys), and which dimension of the other the keys are."""
    if name == "einsum":
        operands = tuple(args[1]) if isinstance(args[1], list | tuple) else tuple(args[1:])
        letters = einsum_letters(args[0], len(operands))
        if letters is None or len(operands) != 2:
            return None, []
        return (operands[0], operands[1]), [_einsum_form(letters, at) for at in (0, 1)]
    left, right = args[:2] if name != "__rmatmul__" else args[1::-1]
    if not (isinstance(left, Tensor) and isinstance(right, Tensor)) or left.ndim < 3 or right.ndim < 2:
        return None, []
    straight = Turned(tuple(range(left.ndim)))
    swapped = Turned((*range(right.ndim - 2), right.ndim - 1, right.ndim - 2))
    return (left, right), [(straight, -2), (swapped, -1) if right.ndim >= 3 else None]


def _einsum_form(letters: tuple[list[str], str], at: int) -> tuple[Turned, int] | None:
    inputs, made = letters
    mine, other = inputs[at], inputs[1 - at]
    keys = [letter for letter in mine if letter in other and letter not in made]
    queries = [letter for letter in mine if letter not in other and letter in made]
    if len(keys) != 1 or len(queries) > 1:
        return None
    leading = [letter for letter in mine if letter not in (*keys, *queries)]
    order = tuple(mine.index(letter) for letter in (*leading, *queries, *keys))
    return Turned(order, added=1 - len(queries)), other.index(keys[0])


@dataclass(frozen=True, eq=False)
class FusedCall:
    """One call of ``F.scaled_dot_product_attention``."""

    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    causal: bool
    scale: float
    grouped: bool

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FusedCall:
        names = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        scale = given.get("scale")
        return cls(
            given["query"],
            given["key"],
            given["value"],
            given.get("attn_mask"),
            bool(given.get("is_causal", False)),
            1 / math.sqrt(given["query"].shape[-1]) if scale is None else scale,
            bool(given.get("enable_gqa", False)),
        )

    def spread(self, each: Tensor) -> Tensor:
        """Keys or values, or their positions, with as many heads as there are queries'."""
        heads = self.query.shape[-3] if self.query.ndim > 3 else 1
        if not self.grouped or each.ndim < 3 or heads == self.key.shape[-3]:
            return each
        return each.repeat_interleave(heads // self.key.shape[-3], dim=-2 if each.ndim < self.key.ndim else -3)

    def weights(self) -> Tensor:
        """(..., queries, keys), which the fused operation does not hold."""
        scores = self.query @ self.spread(self.key).transpose(-2, -1) * self.scale
        if self.causal:
            hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(hidden, float("-inf"))
        if self.mask is not None:
            shown = self.mask
            scores = scores.masked_fill(~shown, float("-inf")) if shown.dtype is torch.bool else scores + shown
        return scores.softmax(dim=-1)

    def attended(self, weights: Tensor) -> Tensor:
        return weights @ self.spread(self.value)
