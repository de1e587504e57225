"""Passes the weights of a foreign network through taps, in the forwards that somebody watches.

The network's code runs as it is. Where it is about to use weights that `_trace` has found, they go through the tap of that
place first; what the tap gives back is used. A tap that changes nothing leaves the operation to the network, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from attnlab.adapters._calls import CallsMode, Key
from attnlab.adapters._contractions import FusedCall, operands_of
from attnlab.adapters._layout import GateLayout, PairLayout
from attnlab.adapters._trace import Site
from attnlab.attention import AttentionTap


class Replay(CallsMode):
    """One forward of a network whose places of attention are known."""

    def __init__(self, sites: Mapping[Key, Site], taps: Mapping[Key, AttentionTap]) -> None:
        super().__init__()
        self._sites = sites
        self._taps = taps

    def handle(self, key: Key | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site = None if key is None else self._sites.get(key)
        tap = None if key is None else self._taps.get(key)
        if site is None or tap is None or not tap.active:
            return func(*args, **kwargs)
        if site.key.family == "sdpa":
            return self._fused(site, tap, func, args, kwargs)
        if site.key.family == "mul":
            return self._gate(site, tap, func, args, kwargs)
        return self._contraction(site, tap, func, args, kwargs)

    def _gate(
        self, site: Site, tap: AttentionTap, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        assert isinstance(site.layout, GateLayout)
        weights, features = args[site.operand], args[1 - site.operand]
        before = site.layout.to_map(weights)
        after = tap(before)
        if after is before:
            return func(*args, **kwargs)
        edited = site.layout.from_map(after, weights).to(weights)
        if site.operand == 0 and getattr(func, "__name__", "") in ("mul_", "__imul__"):
            return edited * features  # the weights may be narrower than what would be written into them
        return func(*_with(args, site.operand, edited), **kwargs)

    def _contraction(
        self, site: Site, tap: AttentionTap, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        assert isinstance(site.layout, PairLayout) and site.turned is not None
        name = getattr(func, "__name__", "")
        operands, _ = operands_of(name, args)
        assert operands is not None
        weights = operands[site.operand]
        rows = site.turned.turn(weights)
        after = site.layout.passed(rows, tap)
        if after is rows:
            return func(*args, **kwargs)
        edited = list(operands)
        edited[site.operand] = site.turned.back(after).to(weights)
        return torch.einsum(args[0], *edited) if name == "einsum" else torch.matmul(*edited)

    def _fused(
        self, site: Site, tap: AttentionTap, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        assert isinstance(site.layout, PairLayout)
        call = FusedCall.of(args, kwargs)
        weights = call.weights()
        after = site.layout.passed(weights, tap)
        return func(*args, **kwargs) if after is weights else call.attended(after)


def _with(args: tuple[Any, ...], at: int, value: Tensor) -> tuple[Any, ...]:
    return (*args[:at], value, *args[at + 1 :])
