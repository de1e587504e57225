"""Named points through which attention weights pass, so that they can be recorded and replaced.

A block multiplies by ``self.tap(weights)``. The tap is an identity without parameters; outside a recording it returns
its argument. `record_attention` yields what passed, `edit_attention` replaces it. Who is recording is held in a
`ContextVar`: a second thread that runs the same model is never recorded, nothing stays behind after an exception, and
a model can be deep-copied and saved after a forward because nothing is stored on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from torch import Tensor, nn


class MapKind(StrEnum):
    """What the weights are indexed by."""

    CHANNEL = "channel"  # (B, C, 1, 1)
    SPATIAL = "spatial"  # (B, 1, H, W)
    ELEMENT = "element"  # (B, C, H, W)
    PAIRWISE = "pairwise"  # (B, queries, keys), over a grid


class MapScale(StrEnum):
    """What the weights mean."""

    GATE = "gate"  # each in [0, 1]
    SOFTMAX = "softmax"  # each row sums to 1 over the attended positions


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights that one tap let through in one forward.

    Attributes:
        name: path of the tap in the model, as in ``blocks.0.attention1.tap``.
        kind: what the values are indexed by; fixes their shape.
        scale: gate or softmax.
        values: the weights, detached unless recorded with ``detach=False``; shape as `MapKind` says.
        grid: (H, W) of the keys behind a PAIRWISE map, else the map's own (H, W).
    """

    name: str
    kind: MapKind
    scale: MapScale
    values: Tensor
    grid: tuple[int, int]


Edit = Callable[[AttentionMap], Tensor | None]


@dataclass
class _Watch:
    """One active recording or edit: the taps of one model by identity, and what to do with what passes."""

    names: Mapping[int, str]
    detach: bool
    edit: Edit | None
    maps: list[AttentionMap] = field(default_factory=list)


_ACTIVE: ContextVar[tuple[_Watch, ...]] = ContextVar("attnlab_taps", default=())


class AttentionTap(nn.Module):
    """Identity for attention weights. Give it a kind and a scale once, then pass the weights through it."""

    def __init__(self, kind: MapKind, scale: MapScale = MapScale.GATE) -> None:
        super().__init__()
        self.kind = kind
        self.scale = scale

    @property
    def active(self) -> bool:
        """Whether someone records or edits this tap here and now; a block asks before it makes an expensive map."""
        return any(id(self) in watch.names for watch in _ACTIVE.get())

    @property
    def editing(self) -> bool:
        """Whether someone edits this tap here and now."""
        return any(id(self) in watch.names and watch.edit is not None for watch in _ACTIVE.get())

    def forward(self, weights: Tensor, grid: tuple[int, int] | None = None, *, part: bool = False) -> Tensor:
        """Returns ``weights``, or what an edit put in their place.

        Args:
            weights: shape as `kind` says.
            grid: (H, W) of the keys; needed for PAIRWISE only.
            part: these are some queries of a map too large to hold at once: edits apply to them, recordings leave them out.
        """
        for watch in _ACTIVE.get():
            name = watch.names.get(id(self))
            if name is None or (part and watch.edit is None):
                continue
            where = grid if grid is not None else (weights.shape[-2], weights.shape[-1])
            seen = weights.detach() if watch.detach else weights
            record = AttentionMap(name, self.kind, self.scale, seen, where)
            if watch.edit is None:
                watch.maps.append(record)
                continue
            edited = watch.edit(record)
            if edited is not None:
                if edited.shape != weights.shape:
                    raise ValueError(f"edit of {name!r} returned shape {tuple(edited.shape)}, needed {tuple(weights.shape)}")
                weights = edited.to(weights)
        return weights

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.scale}"


def attention_taps(model: nn.Module) -> dict[str, AttentionTap]:
    """The taps of a model by their path, in module order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, AttentionTap)}


def attention_scalars(model: nn.Module) -> dict[str, float]:
    """The learned numbers that weigh a whole map: parameters of one element held by a module with a tap, by their path.

    The gamma of self-attention is one: it starts at 0, so how far it has grown says how much the map counts.
    """
    holders = {name.rpartition(".")[0] for name in attention_taps(model)}
    return {
        f"{path}.{name}" if path else name: parameter.item()
        for path, module in model.named_modules()
        if path in holders
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.numel() == 1
    }


@contextmanager
def record_attention(model: nn.Module, *, detach: bool = True) -> Iterator[list[AttentionMap]]:
    """Collects every map of ``model`` made inside the ``with``, in the order of the forward.

    A module called twice gives two maps. Inside `edit_attention` the edited weights are recorded when the recording is
    opened second (inner), the original ones when it is opened first.

    Args:
        detach: ``False`` keeps the graph, for gradients with respect to a map.
    """
    watch = _Watch(_tap_names(model), detach, None)
    with _activated(watch):
        yield watch.maps


@contextmanager
def edit_attention(model: nn.Module, edit: Edit) -> Iterator[None]:
    """Lets ``edit`` replace the weights of any map of ``model``: it gets the `AttentionMap` and returns weights of the
    same shape, or ``None`` to leave them.

    Raises:
        ValueError: inside the forward, when the returned weights have another shape.
    """
    with _activated(_Watch(_tap_names(model), False, edit)):
        yield


def _tap_names(model: nn.Module) -> dict[int, str]:
    return {id(tap): name for name, tap in attention_taps(model).items()}


@contextmanager
def _activated(watch: _Watch) -> Iterator[None]:
    token = _ACTIVE.set((*_ACTIVE.get(), watch))
    try:
        yield
    finally:
        _ACTIVE.reset(token)
