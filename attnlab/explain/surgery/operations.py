"""Operations on attention weights: does the prediction depend on them at all, and on which part?

    with operated(model, Intervention("uniform")) as edited:
        logits = edited(x)

`OPERATIONS` is the closed list of operations; an `Intervention` is one of them with its amount, the taps it acts on and, for
painting, the painted weights. All act through `edit_attention` on the weights of one forward. The one exception is gamma,
the learned number that scales a whole map: it is set in a twin of the network that shares all other weights, so other
threads that run the network are not affected.

What "off" means is said by the map: its neutral value, with which the block does nothing. A gate that multiplies becomes 1:
every channel, position or element passes unchanged. PAIRWISE becomes 0: the block adds nothing to its input, as
self-attention with gamma 0, and as a head that is masked (Michel, Levy and Neubig, NeurIPS 2019, arXiv:1905.10650). A map
without a neutral value is a softmax over positions that reads a local map into one vector, or that takes the place of a
convolution; it cannot be left out, since nothing would be left, and becomes uniform, which reads the plain mean.

All other operations keep the scale of a map: a GATE stays in [0, 1], a SOFTMAX still sums to 1 over what it attends to: the
positions of SPATIAL and of each channel of ELEMENT, the channels of CHANNEL, the keys of each query of PAIRWISE, the branches
of each channel of BRANCH. A FACTOR has no range; what is done to the logits of a gate is done to its distance from the neutral
value.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from attnlab.attention import (
    AttentionMap,
    MapKind,
    MapScale,
    attention_scalars,
    attention_taps,
    edit_attention,
    neutral_weights,
)
from attnlab.attention._tap import Edit, from_rows, weight_rows
from attnlab.geometry import Cells, nearest_cells, stretched
from attnlab.maps import FACTOR_REACH, head_name, is_of, tap_of
from attnlab.training.seeding import mix

PAINTED_SOFTMAX = 4.0
"""A painted softmax weight is this many times the uniform one, before its row is made to sum to 1 again."""

_EDGE = 1e-6  # gates of exactly 0 or 1 have no finite logit
_ALL = frozenset(MapKind)


@dataclass(frozen=True, eq=False)
class Intervention:
    """One operation on the attention of a network.

    Attributes:
        operation: name in `OPERATIONS`.
        amount: see the operation's `Amount`; its default when `None`.
        taps: paths of the taps it acts on, or of single heads (``tap#h1``), every use of them; all taps when `None`.
        target: for ``paint`` only: the weight of each position, float (H, W) of any size, of which each map takes the nearest
            position, or of each channel, (C,). NaN leaves a weight unchanged. Gates are in [0, 1], factors at least 0,
            softmax weights in units of the uniform one.
        cells: where the positions of the target lie in the picture, and ``located``, where those of each map do (see
            `attnlab.attention.locate_maps`); what is not known is stretched evenly.
        seed: of the permutation, for ``shuffle`` only.
    """

    operation: str
    amount: float | None = None
    taps: Sequence[str] | None = None
    target: Tensor | None = None
    cells: Cells | None = None
    located: Mapping[str, Cells] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True)
class Amount:
    """The number that an operation takes: its name on the screen, its range, and its default."""

    label: str
    low: float
    high: float
    default: float


_SHARE = Amount("Strength", 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Operation:
    """A way to change attention weights.

    Attributes:
        name: as in a link. title: as on a button. meaning: in one sentence.
        amount: what its number means. A strength s blends the weights: (1 - s) a + s edited(a).
        kinds: the maps it acts on; others stay unchanged.
        needs: kinds of maps that a network must have for it to make sense.
        edit: makes the edit of an intervention; `None` for gamma, which is no weight of a map.
    """

    name: str
    title: str
    meaning: str
    amount: Amount
    kinds: frozenset[MapKind] = _ALL
    needs: frozenset[MapKind] = frozenset()
    edit: Callable[[Intervention], Edit] | None = None


def off(attention: AttentionMap) -> Tensor:
    """As if the attention were not there: the neutral weight everywhere, or the uniform one where no weight is neutral."""
    return neutral_weights(attention)


def uniform(attention: AttentionMap) -> Tensor:
    """The same weight everywhere: a gate's or factor's mean over the whole map of its image, or 1 / N of a softmax."""
    if attention.scale is MapScale.SOFTMAX:
        return torch.full_like(attention.values, 1 / weight_rows(attention).shape[-1])
    means = attention.values.flatten(1).mean(dim=1)
    return means.view(-1, *[1] * (attention.values.ndim - 1)).expand_as(attention.values).clone()


def inverted(attention: AttentionMap) -> Tensor:
    """Large weights become small: 1 - a for gates; max + min - a of the row for a softmax, normalised to sum to 1; a factor
    is mirrored at its neutral value.
    """
    if attention.scale is not MapScale.SOFTMAX:
        return (1.0 if attention.scale is MapScale.GATE else 2 * _centre(attention)) - attention.values
    rows = weight_rows(attention)
    turned = rows.amax(dim=-1, keepdim=True) + rows.amin(dim=-1, keepdim=True) - rows
    return from_rows(_normalised(turned), attention)


def shuffled(seed: int = 0) -> Edit:
    """The same weights in other places: positions (CHANNEL: channels, PAIRWISE: keys, BRANCH: branches) are permuted.

    Each image has its own permutation, shared by its channels or queries. The same seed gives the same permutations at the
    same tap.
    """

    def edit(attention: AttentionMap) -> Tensor:
        rows = weight_rows(attention)  # (B, rows, N)
        generator = torch.Generator().manual_seed(mix(seed, "shuffle", attention.name))
        order = torch.rand(len(rows), rows.shape[-1], generator=generator).argsort(dim=1).to(rows.device)
        return from_rows(rows.gather(2, order[:, None, :].expand_as(rows)), attention)

    return edit


def temperature(t: float) -> Edit:
    """Sharper (``t`` < 1) or flatter (``t`` > 1): the weights' logits divided by ``t``; 1 changes nothing.

    Of a factor, its distance from the neutral value is divided by ``t``.

    Raises:
        ValueError: when ``t`` is not positive.
    """
    if not t > 0:
        raise ValueError(f"temperature must be positive, got {t:g}")

    def edit(attention: AttentionMap) -> Tensor:
        if t == 1:
            return attention.values
        if attention.scale is MapScale.FACTOR:
            return _centre(attention) + (attention.values - _centre(attention)) / t
        if attention.scale is MapScale.GATE:
            return (attention.values.float().logit(eps=_EDGE) / t).sigmoid()
        rows = weight_rows(attention).float()
        return from_rows((rows.log() / t).softmax(dim=-1), attention)

    return edit


def paint(target: Tensor, cells: Cells | None = None, located: Mapping[str, Cells] | None = None) -> Edit:
    """Sets the weights of some positions, or of some channels; see `Intervention`.

    A target of positions does not change CHANNEL and BRANCH maps; one of channels changes only CHANNEL maps of its length. In a
    PAIRWISE map the keys are painted: the positions that every position may attend to.

    Raises:
        ValueError: when a weight is negative or infinite; inside the forward, when it is above 1 at a gate.
    """
    painted_weights = target[~target.isnan()]
    if target.ndim not in (1, 2) or not (painted_weights.isfinite() & (painted_weights >= 0)).all():
        raise ValueError("painted weights must be (H, W) or (C,), at least 0 and finite, NaN where nothing is painted")

    def edit(attention: AttentionMap) -> Tensor | None:
        rows = weight_rows(attention)
        if attention.kind is MapKind.BRANCH:
            return None
        if (target.ndim == 1) != (attention.kind is MapKind.CHANNEL) or (target.ndim == 1 and len(target) != rows.shape[-1]):
            return None
        if attention.scale is MapScale.GATE and (painted_weights > 1).any():
            raise ValueError(f"the gate {attention.name!r} takes weights in [0, 1], got {painted_weights.max().item():g}")
        weights = target.to(rows)
        if target.ndim == 2:
            size, grid = (target.shape[0], target.shape[1]), attention.grid
            own = (located or {}).get(tap_of(attention.name))
            placed = (cells, own) if cells and own else (stretched(size, grid), stretched(grid, grid))
            weights = weights[nearest_cells(placed[0], size, placed[1], grid)].flatten()
            if attention.prefix:  # keys without a position cannot be painted
                weights = torch.cat([weights.new_full((attention.prefix,), math.nan), weights])
        softmax = attention.scale is MapScale.SOFTMAX
        painted = torch.where(weights.isnan(), rows, weights / rows.shape[-1] if softmax else weights)
        return from_rows(_normalised(painted) if softmax else painted, attention)

    return edit


def alone(kind: MapKind) -> Edit:
    """Maps of this kind stay unchanged, all others are off: only the channel or the spatial attention of CBAM."""

    def edit(attention: AttentionMap) -> Tensor | None:
        return None if attention.kind is kind else off(attention)

    return edit


def at(taps: Collection[str], edit: Edit) -> Edit:
    """``edit`` at the named taps or heads only; other maps stay unchanged."""

    def edit_some(attention: AttentionMap) -> Tensor | None:
        return edit(attention) if is_of(attention.name, taps) else None

    return edit_some


def blend(share: float, edit: Edit) -> Edit:
    """(1 - share) a + share edit(a): 0 changes nothing, 1 is the edit."""

    def edit_partly(attention: AttentionMap) -> Tensor | None:
        edited = edit(attention) if share else None
        return edited if edited is None or share == 1 else torch.lerp(attention.values, edited.to(attention.values), share)

    return edit_partly


def _painted(intervention: Intervention) -> Edit:
    if intervention.target is None:
        raise ValueError("paint needs a target: the painted weights, NaN where nothing is painted")
    return paint(intervention.target, intervention.cells, intervention.located)


_BOTH = frozenset({MapKind.CHANNEL, MapKind.SPATIAL})
OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "off",
            "Off",
            "As if there were no attention: gates become 1, what attention gathers is not added, and weighted sums become "
            "plain means.",
            _SHARE,
            edit=lambda intervention: off,
        ),
        Operation(
            "uniform",
            "Uniform",
            "The same weight everywhere, so that no place counts more than another.",
            _SHARE,
            edit=lambda intervention: uniform,
        ),
        Operation(
            "shuffle",
            "Shuffled",
            "The same weights in other places: their strengths are kept, their places are shuffled at random.",
            _SHARE,
            edit=lambda intervention: shuffled(intervention.seed),
        ),
        Operation(
            "temperature",
            "Sharper or flatter",
            "Below 1, large weights dominate; above 1, all become alike: the logits of the weights are divided by a "
            "temperature. Of factors, the distance from the value that changes nothing is divided by it.",
            Amount("Temperature", 0.1, 10.0, 0.5),
            edit=lambda intervention: temperature(intervention.amount or 0.0),
        ),
        Operation(
            "invert",
            "Inverted",
            "Strong weights become weak, and weak weights become strong.",
            _SHARE,
            edit=lambda intervention: inverted,
        ),
        Operation(
            "paint",
            "Painted",
            "What you paint gets a high weight, what you erase gets weight 0.",
            _SHARE,
            kinds=_ALL - {MapKind.BRANCH},
            edit=_painted,
        ),
        Operation(
            "gamma",
            "Gamma",
            "How much self-attention counts: gamma times its result is added to the input. 0 switches it off.",
            Amount("Gamma", -2.0, 2.0, 0.0),
            kinds=frozenset({MapKind.PAIRWISE}),
        ),
        Operation(
            "channel_alone",
            "Channel attention only",
            "Only the channel gates are left; the other maps are off.",
            _SHARE,
            kinds=_ALL - {MapKind.CHANNEL},
            needs=_BOTH,
            edit=lambda intervention: alone(MapKind.CHANNEL),
        ),
        Operation(
            "spatial_alone",
            "Spatial attention only",
            "Only the spatial gates are left; the other maps are off.",
            _SHARE,
            kinds=_ALL - {MapKind.SPATIAL},
            needs=_BOTH,
            edit=lambda intervention: alone(MapKind.SPATIAL),
        ),
    )
}
"""Every operation, by name."""


def applicable(model: nn.Module) -> list[Operation]:
    """The operations that make sense for this network; an empty list where it has no attention."""
    kinds = {tap.kind for tap in attention_taps(model).values()}
    scalars = attention_scalars(model)
    return [
        operation
        for operation in OPERATIONS.values()
        if kinds & operation.kinds and operation.needs <= kinds and (operation.edit is not None or scalars)
    ]


@contextmanager
def operated(model: nn.Module, intervention: Intervention) -> Iterator[nn.Module]:
    """The network with changed attention, for the forwards inside the ``with``. ``model`` itself is not changed.

    Raises:
        ValueError: for an unknown operation or tap, an amount outside the operation's range, or a missing or impossible
            target; inside the forward, when a painted gate is above 1.
    """
    operation = OPERATIONS.get(intervention.operation)
    if operation is None:
        raise ValueError(f"unknown operation {intervention.operation!r}; known: {', '.join(OPERATIONS)}")
    known = attention_taps(model)
    if missing := sorted(tap for tap in intervention.taps or () if not _exists(tap, model, known)):
        raise ValueError(f"the network has no tap {', '.join(map(repr, missing))}; it has {', '.join(known) or 'none'}")
    limits = operation.amount
    amount = limits.default if intervention.amount is None else intervention.amount
    if not limits.low <= amount <= limits.high:
        raise ValueError(f"{limits.label.lower()} must be in [{limits.low:g}, {limits.high:g}], got {amount:g}")
    taps = frozenset(known if intervention.taps is None else intervention.taps)
    if operation.edit is None:
        holders = {tap_of(tap).rpartition(".")[0] for tap in taps}
        yield _with_scalars(model, {name: amount for name in attention_scalars(model) if name.rpartition(".")[0] in holders})
        return
    edit = operation.edit(replace(intervention, amount=amount))
    with edit_attention(model, at(taps, blend(amount, edit) if limits is _SHARE else edit)):
        yield model


def _exists(name: str, model: nn.Module, taps: Collection[str]) -> bool:
    """Whether a network has this tap, or this head of a tap."""
    tap = tap_of(name)
    if name == tap or tap not in taps:
        return name in taps
    heads = getattr(model.get_submodule(tap.rpartition(".")[0]), "heads", None)
    return not isinstance(heads, int) or name in {head_name(tap, head) for head in range(heads)}


def _with_scalars(model: nn.Module, values: Mapping[str, float]) -> nn.Module:
    """A twin of the network in which each of these parameters is set to its number; all other weights are shared."""
    shared = [parameter for name, parameter in model.named_parameters() if name not in values]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*shared, *model.buffers())})
    with torch.no_grad():
        for name, value in values.items():
            twin.get_parameter(name).fill_(value)
    return twin


def painted_weight(scale: MapScale, neutral: float | None) -> float:
    """The weight that painting gives, as `Intervention.target` takes it: high for its scale."""
    if scale is MapScale.SOFTMAX:
        return PAINTED_SOFTMAX
    return 1.0 if scale is MapScale.GATE else (neutral or 0.0) + FACTOR_REACH


def _centre(attention: AttentionMap) -> float:
    """From where a factor is counted."""
    return attention.neutral or 0.0


def _normalised(rows: Tensor) -> Tensor:
    """Rows that sum to 1; a row of zeros becomes uniform."""
    total = rows.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, rows / total.clamp_min(torch.finfo(rows.dtype).tiny), 1 / rows.shape[-1])
