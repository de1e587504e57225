"""The vocabulary of attention maps: kinds and scales, names and titles, and how weights are shown and stored.

Nothing here imports torch: pages that draw stored maps are there before torch is loaded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_POSITIONS = 1024
"""A PAIRWISE map of more queries or keys than this (32 x 32 positions, 4 MiB per head and image) is neither recorded nor
shown whole; its rows are computed on demand."""

SOFTMAX_TOP = 4.0
"""The fixed colour scale of softmax weights ends at this multiple of the uniform weight; larger weights saturate."""

FACTOR_REACH = 1.0
"""The fixed colour scale of factors reaches this far to both sides of the neutral value; what lies beyond saturates, and what
is painted gets the upper end."""

OUTLIERS = 0.01
"""The share of the cells of a softmax map that may not stretch a colour scale, see `colour_ends`."""

_PLACES = {"attention_end": "end", "attention_last": "before the classifier"}
"""What parts of a network that hold an attention block are called in titles."""

CONTAINERS = frozenset(
    {
        *("tap", "readout", "head", "mixer", "gates", "attend", "attention", "features", "blocks"),
        *("attn", "self", "self_attn", "encoder", "stages", "layer", "layers", "trunk_output"),
    }
)
"""Modules of a network that only hold others: their names say nothing about where a map is, so titles leave them out.

The second line: in networks of others.
"""

_NUMBERED = {"stages": "stage", "layer": "layer", "layers": "layer"}
"""What the parts of a module are called by number that holds them under this name; others are blocks."""


class MapKind(StrEnum):
    """What the weights are indexed by."""

    CHANNEL = "channel"  # (B, C, 1, 1)
    SPATIAL = "spatial"  # (B, 1, H, W)
    ELEMENT = "element"  # (B, C, H, W); a margin, the same along one side, has length 1 there: (B, C, H, 1) or (B, C, 1, W)
    PAIRWISE = "pairwise"  # (B, queries, keys), over a grid
    BRANCH = "branch"  # (B, M, C, 1, 1), over M branches

    @property
    def placed(self) -> bool:
        """Whether a map of this kind says where: its weights belong to positions of the picture."""
        return self not in (MapKind.CHANNEL, MapKind.BRANCH)


class MapScale(StrEnum):
    """What the weights mean."""

    GATE = "gate"  # each in [0, 1]
    SOFTMAX = "softmax"  # each row sums to 1 over what is attended: positions, or branches
    FACTOR = "factor"  # any number, also negative or above 1; read by its distance from the neutral value


def neutral_weight(kind: MapKind, scale: MapScale) -> float | None:
    """The weight with which a block does nothing, where its tap names no other; `None` where no weight does.

    What is multiplied by 1 stays as it is. A PAIRWISE map of zeros gathers nothing that could be added. A softmax over
    positions that reads a map into one vector, or over branches, cannot be left out, since nothing would be left.
    """
    if kind is MapKind.PAIRWISE:
        return 0.0
    return None if scale is MapScale.SOFTMAX else 1.0


def relative_weights(weights: NDArray[np.float32], scale: MapScale, positions: int) -> NDArray[np.float32]:
    """Weights in the unit in which they are shown, same shape.

    A gate or a factor stays as it is. A softmax weight is multiplied by the number of positions that share a total of 1, so
    that 1 is the weight of uniform attention and 2 is twice that, whatever the size of the map.

    Args:
        positions: how many weights sum to 1 (N, the number of keys of a PAIRWISE map).
    """
    return weights * positions if scale is MapScale.SOFTMAX else weights


def colour_ends(maps: NDArray[np.float32], free: float = SOFTMAX_TOP) -> tuple[float, float]:
    """Where a colour scale that is stretched to softmax maps begins and ends, robust against outliers.

    The highest hundredth of a map's cells (at least one), and of the maps, may stretch the scale beyond ``free`` only up to
    twice the range of the others. So neither one cell nor one map makes all others one flat colour.

    Args:
        maps: weights (n, positions), relative to uniform (or as they are, with ``free`` in the same unit).
    """

    def high(values: NDArray[np.float32], low: NDArray[np.float32]) -> NDArray[np.float32]:
        ordered = np.sort(values, axis=-1)
        rest = ordered[..., max(ordered.shape[-1] - 1 - math.ceil(OUTLIERS * ordered.shape[-1]), 0)]
        return np.minimum(ordered[..., -1], np.maximum(free, low + 2 * (rest - low)))

    low = maps.min()
    return float(low), float(high(high(maps, maps.min(axis=-1)), low))


def over_one_position(kind: MapKind, scale: MapScale, grid: tuple[int, int]) -> bool:
    """Whether a map is softmax attention over a single position, whose weight is always 1."""
    return scale is MapScale.SOFTMAX and kind.placed and grid == (1, 1)


def quantise(
    rows: NDArray[np.float32], floor: float | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """Weights as one byte each: ``weight = floor + code / 255 * (peak - floor)``, true to within (peak - floor) / 510.

    Args:
        rows: finite weights (..., length), none below ``floor``.
        floor: what code 0 stands for in every row; each row's smallest weight when `None`.

    Returns:
        Codes, uint8 (..., length), and what code 0 and code 255 stand for in each row, (...).
    """
    peak = rows.max(axis=-1)
    low = rows.min(axis=-1) if floor is None else np.full_like(peak, floor)
    span = np.where(peak > low, peak - low, 1)
    codes = np.rint((rows - low[..., None]) / span[..., None] * 255)
    return codes.clip(0, 255).astype(np.uint8), low, peak


class DerivedMap(NamedTuple):
    """What a map says that no tap makes, see `attnlab.attention.record_derived`.

    Attributes:
        title: as shown.
        unit: what one of its values is called; empty for weights of attention.
        note: one sentence shown beside the map.
        weights: whether its values are weights of the features, so that it may stand for the maps it is made of.
    """

    title: str
    unit: str
    note: str
    weights: bool


DERIVED = {
    "product": DerivedMap(
        "product", "product", "The weights of this block multiplied with each other: what the features are multiplied by.", True
    ),
    "sum": DerivedMap(
        "sum", "sum", "The weights of this block added: what the features are multiplied by in all. 1 changes nothing.", True
    ),
    "mean": DerivedMap("mean", "mean", "The mean of the weights of this block: what the features are multiplied by.", True),
    "added": DerivedMap(
        "what is added",
        "added",
        "What the block changes in its features, output minus input: 0 means nothing, 1 as much as the features are large on "
        "average (root mean square).",
        False,
    ),
    "gathered": DerivedMap(
        "what is gathered",
        "gathered",
        "How large the gathered features of each position are (root mean square): 1 is the average of this map.",
        False,
    ),
    "rollout": DerivedMap(
        "attention rollout",
        "",
        "The attention of all blocks multiplied, each with the path around it: how much of each patch reaches the place you "
        "point at. What the network computes between its attention layers is left out of it.",
        False,
    ),
}
"""Last step of a derived map's name -> what it says."""


def derived(name: str) -> DerivedMap | None:
    """What a map says that no tap makes; `None` for the maps of taps. A tap is never named like one: it ends in ``tap``."""
    return DERIVED.get(tap_of(name).rpartition(".")[2])


def tap_behind(name: str, taps: Sequence[str]) -> str:
    """The tap behind a map: its own, or of a derived map the first tap of the block.

    >>> tap_behind("4.coordinate.product", ["4.coordinate.rows.tap", "4.coordinate.columns.tap"])
    '4.coordinate.rows.tap'
    """
    tap = tap_of(name)
    if derived(name) is None:
        return tap
    block = tap.rpartition(".")[0]
    return next((each for each in taps if not block or each.startswith(f"{block}.")), tap)


def unique_names(names: Sequence[str]) -> list[str]:
    """Names of the maps of one forward; a tap that was passed twice gets ``#2`` after its name the second time.

    >>> unique_names(["tap", "tap", "tap#h1", "tap#h2", "tap#h1"])
    ['tap', 'tap#2', 'tap#h1', 'tap#h2', 'tap#h1.2']
    """
    uses = [names[: at + 1].count(name) for at, name in enumerate(names)]
    return [name if use == 1 else f"{name}{'.' if '#' in name else '#'}{use}" for name, use in zip(names, uses, strict=True)]


def head_name(tap: str, head: int) -> str:
    """The name of the map of one of several heads, from 0: ``attend.tap`` -> ``attend.tap#h1``."""
    return f"{tap}#h{head + 1}"


def tap_of(name: str) -> str:
    """The path of the tap behind a map's name: ``attend.layer7.tap#2`` -> ``attend.layer7.tap``, also of a head, ``#h1``."""
    return name.partition("#")[0]


def without_use(name: str) -> str:
    """A map's name without the number of its use, still of one head: ``tap#h1.2`` -> ``tap#h1``, ``tap#2`` -> ``tap``."""
    tap, _, use = name.partition("#")
    return f"{tap}#{use.partition('.')[0]}" if use.startswith("h") else tap


def is_of(name: str, chosen: Collection[str]) -> bool:
    """Whether a map belongs to one of the chosen taps, or is one of the chosen heads.

    >>> [is_of("a.tap#h1.2", chosen) for chosen in (["a.tap"], ["a.tap#h1"], ["a.tap#h2"])]
    [True, True, False]
    """
    return tap_of(name) in chosen or without_use(name) in chosen


def tap_titles(names: Sequence[str]) -> dict[str, str]:
    """A title for each map of one network: ``blocks.0.attention1.eca.tap`` -> ``block 1 · conv 1 · eca``.

    Words that all of them share (the variant, where there is only one) are left out.

    Args:
        names: as in `attnlab.attention.AttentionMap.name`.
    """
    words = {name: _title_words(name) for name in names}
    shared = set.intersection(*map(set, words.values())) if len(words) > 1 else set()
    distinct = {name: [word for word in words[name] if word not in shared] for name in names}
    return {name: " · ".join(distinct[name] or words[name]) or name for name in names}


def scalar_titles(names: Sequence[str]) -> dict[str, str]:
    """A title for each learned number of one network: ``blocks.0.attention1.gamma`` -> ``gamma · block 1 · conv 1``."""
    taps = {name: f"{name.rpartition('.')[0]}.tap" for name in names}
    places = tap_titles(list(taps.values()))
    return {name: f"{name.rpartition('.')[2]} · {places[taps[name]]}" for name in names}


def _title_words(name: str) -> list[str]:
    path, _, use = name.partition("#")
    made = derived(name)
    if made is not None:
        path = path.rpartition(".")[0]
    words: list[str] = []
    after_variant = False
    steps = path.split(".")
    for before, step in zip(["", *steps], steps, strict=False):
        if step.isdigit():
            words.append(f"{_NUMBERED.get(before, 'block')} {int(step) + 1}")
        elif convolution := re.fullmatch(r"attention(\d+)", step):
            words.append(f"conv {convolution[1]}")
        elif step in _PLACES:
            words.append(_PLACES[step])
        elif numbered := re.fullmatch(r"([a-z]+)(\d+)", step):
            words.append(f"{numbered[1]} {numbered[2]}")
        elif step and step not in CONTAINERS:  # a variant, or the half of one: "cbam", then "spatial"
            words.append(f"{words.pop()} {step}" if after_variant else step.replace("_", " "))
            after_variant = True
    head = ""
    if use.startswith("h"):
        head, _, use = use[1:].partition(".")
    if use and words:
        words[-1] += f" ({use})"
    words += [made.title] if made is not None else []
    return [*words, f"head {head}"] if head else words
