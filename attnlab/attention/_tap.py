"""Named points through which attention weights pass, so that they can be recorded and replaced.

A block multiplies its features by ``self.tap(weights)``. The tap is an identity without parameters: it returns its argument.
`record_attention` collects what passes through it, `edit_attention` replaces it. Active recordings and edits are held in
a `ContextVar`, not on the model: another thread that runs the same model is never recorded, nothing is left behind after
an exception, and the model can be copied and saved at any time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from attnlab.geometry import Cells
from attnlab.maps import MapKind, MapScale, head_name, neutral_weight


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights that passed through one tap in one forward pass.

    Attributes:
        name: path of the tap in the model, as in ``blocks.0.attention1.tap``; of one of several heads with ``#h1`` after it.
        kind: what the values are indexed by, which determines their shape (see `MapKind`).
        scale: gate, softmax or factor.
        values: the weights, detached unless recorded with ``detach=False``.
        grid: (H, W) of the keys behind a PAIRWISE map, else the map's own (H, W).
        cells: where the grid lies in the picture; `None` where nobody asked, see `attnlab.attention.locate_maps`.
        neutral: the weight with which the block does nothing; `None` where no weight does.
        head: which of several heads, from 0; `None` where there is one.
        queries: (H, W) of the queries of a PAIRWISE map, where it is known; queries in front of them have no position.
        prefix: how many keys of a PAIRWISE map have no position (a class token, what lies outside the map); they come first.
        branches: what the M branches of a BRANCH map are called; empty where they have no names.
    """

    name: str
    kind: MapKind
    scale: MapScale
    values: Tensor
    grid: tuple[int, int]
    cells: Cells | None = None
    neutral: float | None = None
    head: int | None = None
    queries: tuple[int, int] | None = None
    prefix: int = 0
    branches: tuple[str, ...] = ()


def to_spatial(attention: AttentionMap) -> Tensor:
    """A map by position only: float32 (B, H, W) on its grid.

    SPATIAL as it is; ELEMENT the mean over the channels; PAIRWISE the mean over the queries, which is the attention each
    position receives, without queries and keys that are no positions; CHANNEL and BRANCH have no positions: their mean, on a
    grid of 1 x 1.
    """
    values = attention.values.float()
    if attention.kind is MapKind.PAIRWISE:
        first = 0 if attention.queries is None else values.shape[1] - math.prod(attention.queries)
        placed = values[:, first:, attention.prefix :]
        return placed.mean(dim=1).reshape(len(values), *attention.grid)
    if attention.kind is MapKind.BRANCH:
        return values.mean(dim=(1, 2))
    return values.mean(dim=1)


def to_strength(attention: AttentionMap) -> Tensor:
    """How strongly each position passes, never negative: `to_spatial` of the sizes of the weights, (B, H, W).

    The same as `to_spatial` but for factors, of which -2 lets as much through as 2: signs that cancel in the mean over the
    channels would make a position look unattended.
    """
    return to_spatial(replace(attention, values=attention.values.abs()))


def weight_rows(attention: AttentionMap) -> Tensor:
    """(B, rows, N): the weights that compete with each other along the last axis.

    The keys of each query of PAIRWISE, the branches of each channel of BRANCH, the channels of CHANNEL, else the positions.
    """
    values = attention.values
    if attention.kind is MapKind.PAIRWISE:
        return values
    if attention.kind is MapKind.BRANCH:
        return values.flatten(2).transpose(1, 2)
    return values.flatten(1)[:, None] if attention.kind is MapKind.CHANNEL else values.flatten(2)


def from_rows(rows: Tensor, attention: AttentionMap) -> Tensor:
    """The way back from `weight_rows`: in the shape of the map's values."""
    ordered = rows.transpose(1, 2) if attention.kind is MapKind.BRANCH else rows
    return ordered.reshape(attention.values.shape)


def neutral_weights(attention: AttentionMap) -> Tensor:
    """The weights with which a block does nothing, in the shape of the map's values: what "off" means, and a fixed tap unless
    its block says otherwise.

    The map's neutral value: a product passes its input on, a readout adds nothing. A map without one reads features that
    cannot be left out, since nothing would be left, and reads them uniformly: 1/N of the positions, 1/M of the branches.
    """
    value = 1 / weight_rows(attention).shape[-1] if attention.neutral is None else attention.neutral
    return torch.full_like(attention.values, value)


Edit = Callable[[AttentionMap], Tensor | None]


@dataclass
class _Watch:
    """One active recording or edit: the taps of one model by identity, and what to do with their weights."""

    names: Mapping[int, str]
    detach: bool
    edit: Edit | None
    maps: list[AttentionMap] = field(default_factory=list)


_ACTIVE: ContextVar[tuple[_Watch, ...]] = ContextVar("attnlab_taps", default=())


class AttentionTap(nn.Module):
    """An identity for attention weights, with their kind and scale.

    Args:
        neutral: the weight with which the block does nothing, where it is not that of `attnlab.maps.neutral_weight`: 0 for a
            gate a in x (1 + a), 1/2 for each of two gated copies that are added.
        branches: what the branches of a BRANCH map are called.
        settles: the block itself uses neutral weights where the tap is fixed. For blocks that do without the weights unless
            somebody asks for them.

    Attributes:
        fixed: whether the weights are `neutral_weights`, whatever is passed; see `fix_weights`.
    """

    def __init__(
        self,
        kind: MapKind,
        scale: MapScale = MapScale.GATE,
        *,
        neutral: float | None = None,
        branches: Sequence[str] = (),
        settles: bool = False,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.scale = scale
        self.neutral = neutral_weight(kind, scale) if neutral is None else neutral
        self.branches = tuple(branches)
        self.settles = settles
        self.fixed = False

    @property
    def active(self) -> bool:
        """Whether a recording or an edit is active; a block asks before it computes an expensive map."""
        return self._replaces or any(id(self) in watch.names for watch in _ACTIVE.get())

    @property
    def editing(self) -> bool:
        """Whether an edit is active."""
        return self._replaces or any(id(self) in watch.names and watch.edit is not None for watch in _ACTIVE.get())

    @property
    def _replaces(self) -> bool:
        """Whether the weights must pass, because the tap and not the block makes them neutral."""
        return self.fixed and not self.settles

    def forward(
        self,
        weights: Tensor,
        grid: tuple[int, int] | None = None,
        *,
        part: bool = False,
        queries: tuple[int, int] | None = None,
        prefix: int = 0,
        head: int | None = None,
    ) -> Tensor:
        """Returns ``weights``, or neutral ones where the tap is fixed, or their replacement by an edit.

        Args:
            weights: of the shape that belongs to `kind`.
            grid: (H, W) of the keys; needed for PAIRWISE only.
            part: these are only some queries of a map too large to hold at once: edits apply, recordings skip them.
            queries, prefix, head: for PAIRWISE, see `AttentionMap`.

        Raises:
            ValueError: when an edit returns another shape.
        """
        if self._replaces:
            weights = neutral_weights(AttentionMap("", self.kind, self.scale, weights, (1, 1), neutral=self.neutral))
        for watch in _ACTIVE.get():
            name = watch.names.get(id(self))
            if name is None or (part and watch.edit is None):
                continue
            size = grid if grid is not None else (weights.shape[-2], weights.shape[-1])
            values = weights.detach() if watch.detach else weights
            record = AttentionMap(
                name if head is None else head_name(name, head),
                self.kind,
                self.scale,
                values,
                size,
                neutral=self.neutral,
                head=head,
                queries=queries,
                prefix=prefix,
                branches=self.branches,
            )
            if watch.edit is None:
                watch.maps.append(record)
                continue
            edited = watch.edit(record)
            if edited is not None:
                if edited.shape != weights.shape:
                    raise ValueError(f"the edit of {name!r} returned shape {tuple(edited.shape)}, not {tuple(weights.shape)}")
                weights = edited.to(weights)
        return weights

    def heads(
        self,
        weights: Tensor,
        grid: tuple[int, int],
        *,
        queries: tuple[int, int],
        prefix: int = 0,
        part: bool = False,
    ) -> Tensor:
        """Passes the maps of all heads, (B, heads, queries, keys), one after the other; arguments as those of `forward`.

        Returns:
            ``weights`` itself where no edit changed a head.
        """
        before = weights.unbind(dim=1)
        several = len(before) > 1
        after = [
            self(each, grid, part=part, queries=queries, prefix=prefix, head=index if several else None)
            for index, each in enumerate(before)
        ]
        same = all(new is old for new, old in zip(after, before, strict=True))
        return weights if same else torch.stack(after, dim=1)

    def extra_repr(self) -> str:
        return f"{self.kind}, {self.scale}"


ASIDE = "taps_aside"
"""An attribute of a module that is not ours: a dict of taps by name, which are no children of it (see `attnlab.adapters`)."""


def attention_taps(model: nn.Module) -> dict[str, AttentionTap]:
    """The taps of a model by path, in module order."""
    taps: dict[str, AttentionTap] = {}
    for path, module in model.named_modules():
        if isinstance(module, AttentionTap):
            taps[path] = module
        for name, tap in getattr(module, ASIDE, {}).items():
            taps[f"{path}.{name}" if path else name] = tap
    return taps


def fix_weights(model: nn.Module) -> None:
    """Fixes the weights of every tap at `neutral_weights`, from now on, in training as in evaluation.

    The parameters behind them stay, and get no gradient. A recording shows the neutral weights, and an edit can change them.
    """
    for tap in attention_taps(model).values():
        tap.fixed = True


def attention_scalars(model: nn.Module) -> dict[str, float]:
    """The learned factors of whole maps, by path: one-element parameters of modules that hold a tap.

    An example is the gamma of self-attention, which starts at 0: the larger it has become, the more the map matters.
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
def record_attention(model: nn.Module, *, detach: bool = True, required: bool = True) -> Iterator[list[AttentionMap]]:
    """Collects every map that ``model`` makes inside the ``with``, in the order of the forward pass.

    A module called twice gives two maps. A recording inside an `edit_attention` collects the edited weights, one around
    it the original ones.

    Args:
        detach: ``False`` keeps the graph, for gradients with respect to a map.
        required: ``False`` takes a model without attention too, and collects nothing from it.

    Raises:
        ValueError: when the model has no tap, so that no map could ever be collected.

    >>> import torch
    >>> from attnlab.attention import build_attention
    >>> block = build_attention("eca", channels=16, size=(8, 8))
    >>> with record_attention(block) as maps:
    ...     y = block(torch.randn(2, 16, 8, 8))
    >>> [(each.name, str(each.kind), tuple(each.values.shape)) for each in maps]
    [('eca.tap', 'channel', (2, 16, 1, 1))]
    """
    watch = _Watch(_tap_names(model, required), detach, None)
    with _activated(watch):
        yield watch.maps


@contextmanager
def edit_attention(model: nn.Module, edit: Edit, *, required: bool = True) -> Iterator[None]:
    """Replaces attention weights of ``model`` inside the ``with``.

    Args:
        edit: called with each `AttentionMap`; returns weights of the same shape, or ``None`` to keep them.
        required: ``False`` takes a model without attention too, and changes nothing in it.

    Raises:
        ValueError: when the model has no tap, so that nothing could ever be changed; in the forward pass, when the returned
            weights have another shape.

    >>> import torch
    >>> from attnlab.attention import build_attention
    >>> block = build_attention("eca", channels=16, size=(8, 8))
    >>> x = torch.randn(2, 16, 8, 8)
    >>> with edit_attention(block, lambda attention: torch.ones_like(attention.values)):
    ...     torch.equal(block(x), x)
    True
    """
    with _activated(_Watch(_tap_names(model, required), False, edit)):
        yield


def _tap_names(model: nn.Module, required: bool) -> dict[int, str]:
    names = {id(tap): name for name, tap in attention_taps(model).items()}
    if required and not names:
        raise ValueError(
            f"{type(model).__name__} has no attention that attnlab can record or change. attnlab.adopt(model) finds that of "
            "networks of timm, torchvision and transformers and of many others. Or build a network of attnlab.models with a "
            "variant, put blocks of attnlab.build_attention into your own, or pass the weights of your own block through an "
            "attnlab.attention.AttentionTap: return x * self.tap(weights)"
        )
    return names


@contextmanager
def _activated(watch: _Watch) -> Iterator[None]:
    token = _ACTIVE.set((*_ACTIVE.get(), watch))
    try:
        yield
    finally:
        _ACTIVE.reset(token)
