"""Maps that no tap makes: what the weights of a block make together, and what a block adds to its features.

What they are follows from how a variant says that its weights act (`Combine`), so a plug-in gets them too:

    product   of several weights by channel and position, such as the rows and columns of coordinate attention
    sum       of the weights of copies that are added;  mean  of those that are averaged
    added     y - x of a block that adds what it gathered (READOUT). Where one vector is gathered for all positions, by channel:
              mean_hw(y - x) / rms(x); else by position: rms_c(y - x) / rms(x)
    gathered  rms_c(y) / rms(y) of a mixer that gathers from positions and adds nothing

rms is the root of the mean square over what is not named. All of it is taken from the forward that is recorded; nothing here
can be edited, and no measure of a map counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce

import torch
from torch import Tensor, nn

from attnlab.attention._calls import reported_calls
from attnlab.attention._registry import Combine, blocks_of
from attnlab.attention._tap import AttentionMap, attention_taps
from attnlab.maps import MapKind, MapScale

_LEAST = 1e-6  # features of a map of zeros


@contextmanager
def record_derived(model: nn.Module, maps: Sequence[AttentionMap]) -> Iterator[list[AttentionMap]]:
    """Collects the derived maps of every registered block of ``model`` that runs inside the ``with``.

    Args:
        maps: what the `record_attention` around it collects.
    """
    found: list[AttentionMap] = []
    blocks = {path: (block, name) for path, block in _blocks(model).items() if (name := derived_name(block))}
    seen = 0

    def derive(path: str, x: Tensor, y: Tensor) -> None:
        nonlocal seen
        inside = f"{path}." if path else ""
        own = [each for each in maps[seen:] if each.name.startswith(inside)]
        seen = len(maps)
        block, name = blocks[path]
        made = _MAKERS[name](block, own, x.detach(), y.detach())
        if made is not None:
            kind, scale, neutral, values = made
            size = (values.shape[-2], values.shape[-1])
            found.append(AttentionMap(f"{inside}{name}", kind, scale, values, size, neutral=neutral))

    with reported_calls({path: block for path, (block, _) in blocks.items()}, derive):
        yield found


def derived_blocks(model: nn.Module) -> dict[str, str]:
    """The blocks of which `record_derived` makes a map that may have a place: path of the map -> path of the block."""
    return {f"{path}.{name}" if path else name: path for path, block in _blocks(model).items() if (name := derived_name(block))}


def derived_name(block: nn.Module) -> str:
    """Which map is derived of a registered block, as in "product"; empty where there is none."""
    variant = blocks_of(block)[""][1]
    kinds = [tap.kind for tap in attention_taps(block).values()]
    if variant.combine is Combine.PRODUCT and len(kinds) > 1 and set(kinds) == {MapKind.ELEMENT}:
        return "product"
    if variant.combine in (Combine.SUM, Combine.MEAN) and len(kinds) > 1:
        return variant.combine.value
    if variant.combine is Combine.READOUT:
        return "added"
    return "gathered" if variant.combine is Combine.MIX and MapKind.PAIRWISE in kinds else ""


def _blocks(model: nn.Module) -> dict[str, nn.Module]:
    return {path: block for path, (block, _) in blocks_of(model).items()}


_Made = tuple[MapKind, MapScale, float, Tensor] | None
_Maker = Callable[[nn.Module, Sequence[AttentionMap], Tensor, Tensor], _Made]


def _together(block: nn.Module, maps: Sequence[AttentionMap], x: Tensor, y: Tensor) -> _Made:
    combine = blocks_of(block)[""][1].combine
    values = [each.values for each in maps]
    if not values:
        return None
    if combine is Combine.PRODUCT:
        made = reduce(torch.mul, values)
    else:
        made = reduce(torch.add, values) / (len(values) if combine is Combine.MEAN else 1)
    gates = combine is not Combine.SUM and all(each.scale is MapScale.GATE for each in maps)
    return MapKind.ELEMENT, MapScale.GATE if gates else MapScale.FACTOR, 1.0, made


def _added(block: nn.Module, maps: Sequence[AttentionMap], x: Tensor, y: Tensor) -> _Made:
    added, size = (y - x).float(), _rms(x.float(), (1, 2, 3))
    taps = attention_taps(block).values()
    if all(tap.kind is MapKind.SPATIAL for tap in taps):  # one vector for all positions
        return MapKind.CHANNEL, MapScale.FACTOR, 0.0, added.mean(dim=(2, 3), keepdim=True) / size
    return MapKind.SPATIAL, MapScale.FACTOR, 0.0, _rms(added, (1,)) / size


def _gathered(block: nn.Module, maps: Sequence[AttentionMap], x: Tensor, y: Tensor) -> _Made:
    gathered = y.float()
    return MapKind.SPATIAL, MapScale.FACTOR, 1.0, _rms(gathered, (1,)) / _rms(gathered, (1, 2, 3))


def _rms(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The root of the mean square over some dimensions, which stay with length 1."""
    return x.square().mean(dim=dims, keepdim=True).sqrt().clamp_min(_LEAST if len(dims) == 3 else 0.0)


_MAKERS: Mapping[str, _Maker] = {
    "product": _together,
    "sum": _together,
    "mean": _together,
    "added": _added,
    "gathered": _gathered,
}
