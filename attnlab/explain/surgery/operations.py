"""Operations on attention weights: is the prediction moved by them at all, and by which part?

    with operated(model, Intervention("uniform")) as edited:
        logits = edited(x)

`OPERATIONS` is the closed list of what can be done; an `Intervention` is one of them with its amount, the taps it acts on
and, for painting, what was painted. All act through `edit_attention` on the weights of one forward. The one exception is
gamma, the learned number that weighs a whole map: it is set in a twin of the network that shares all other weights, so
nothing that another thread runs is touched.

What "off" means depends on the map. A gate becomes 1: every channel, position or element passes as it is. PAIRWISE
becomes 0: the attended values count for nothing and the block passes its input, which is self-attention with gamma 0. A
softmax over positions that reads a local map into one vector cannot be left out, since nothing would be read; it becomes
uniform, the plain mean.

All other operations keep what a map is: a GATE stays in [0, 1], a SOFTMAX still sums to 1 over what it attends to: the
positions of SPATIAL and of each channel of ELEMENT, the channels of CHANNEL, the keys of each query of PAIRWISE.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import AttentionMap, MapKind, MapScale, attention_scalars, attention_taps, edit_attention
from attnlab.attention._tap import Edit
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
        amount: what the operation's `Amount` says; its default when `None`.
        taps: paths of the taps it acts on; all of them when `None`. Both heads of a tap used twice are meant.
        target: for ``paint`` only: the weight to put at each position, float (H, W) of any size and brought to each
            map's grid by the nearest position, or at each channel, (C,). NaN leaves the weight. Gates are in [0, 1],
            softmax weights in units of the uniform one.
        seed: for ``shuffle``.
    """

    operation: str
    amount: float | None = None
    taps: Sequence[str] | None = None
    target: Tensor | None = None
    seed: int = 0


@dataclass(frozen=True)
class Amount:
    """The number that an operation takes: its name for people, its range, and the value when none is given."""

    label: str
    low: float
    high: float
    default: float


_SHARE = Amount("Strength", 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Operation:
    """Something that can be done to attention weights.

    Attributes:
        name: as in a link. title: as on a button. meaning: in one sentence.
        amount: what its number means. A strength s goes this far of the way: (1 - s) a + s edited(a).
        kinds: the maps it acts on; it leaves the others.
        needs: kinds that a network must have for it to make sense.
        edit: makes the edit; `None` for gamma, which is no weight of a map.
    """

    name: str
    title: str
    meaning: str
    amount: Amount
    kinds: frozenset[MapKind] = _ALL
    needs: frozenset[MapKind] = frozenset()
    edit: Callable[[Intervention], Edit] | None = None


def off(seen: AttentionMap) -> Tensor:
    """As if the attention were not there: gates 1, pairwise weights 0, a softmax over positions uniform."""
    if seen.kind is MapKind.PAIRWISE:
        return torch.zeros_like(seen.values)
    return uniform(seen) if seen.scale is MapScale.SOFTMAX else torch.ones_like(seen.values)


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
    if not t > 0:
        raise ValueError(f"temperature must be positive, got {t:g}")

    def edit(seen: AttentionMap) -> Tensor:
        if t == 1:
            return seen.values
        if seen.scale is MapScale.GATE:
            return (seen.values.float().logit(eps=_EDGE) / t).sigmoid()
        rows = _rows(seen.values, seen.kind).float()
        return (rows.log() / t).softmax(dim=-1).reshape(seen.values.shape)

    return edit


def paint(target: Tensor) -> Edit:
    """Puts weights at chosen positions, or at chosen channels; see `Intervention.target`.

    A target of positions leaves CHANNEL maps, one of channels leaves all others and those of another length. Of a
    PAIRWISE map the keys are painted: what every position may look at.

    Raises:
        ValueError: when a weight is negative or infinite; inside the forward, when it is above 1 at a gate.
    """
    given = target[~target.isnan()]
    if target.ndim not in (1, 2) or not (given.isfinite() & (given >= 0)).all():
        raise ValueError("painted weights must be (H, W) or (C,), at least 0 and finite, NaN where nothing is painted")

    def edit(seen: AttentionMap) -> Tensor | None:
        rows = _rows(seen.values, seen.kind)
        if (target.ndim == 1) != (seen.kind is MapKind.CHANNEL) or (target.ndim == 1 and len(target) != rows.shape[-1]):
            return None
        if seen.scale is MapScale.GATE and (given > 1).any():
            raise ValueError(f"the gate {seen.name!r} takes weights in [0, 1], got {given.max().item():g}")
        wanted = target.to(rows)
        if target.ndim == 2:
            wanted = F.interpolate(wanted[None, None], size=seen.grid, mode="nearest-exact").flatten()
        softmax = seen.scale is MapScale.SOFTMAX
        painted = torch.where(wanted.isnan(), rows, wanted / rows.shape[-1] if softmax else wanted)
        return (_normalised(painted) if softmax else painted).reshape(seen.values.shape)

    return edit


def alone(kind: MapKind) -> Edit:
    """Only maps of this kind are left as they are, all others are off: CBAM's channel or spatial half alone."""

    def edit(seen: AttentionMap) -> Tensor | None:
        return None if seen.kind is kind else off(seen)

    return edit


def at(taps: Collection[str], edit: Edit) -> Edit:
    """``edit`` at the named taps only; the others are left."""

    def edit_some(seen: AttentionMap) -> Tensor | None:
        return edit(seen) if seen.name in taps else None

    return edit_some


def blend(share: float, edit: Edit) -> Edit:
    """Goes ``share`` of the way to what ``edit`` gives: 0 changes nothing, 1 is the edit."""

    def edit_partly(seen: AttentionMap) -> Tensor | None:
        edited = edit(seen) if share else None
        return edited if edited is None or share == 1 else torch.lerp(seen.values, edited.to(seen.values), share)

    return edit_partly


def _painted(given: Intervention) -> Edit:
    if given.target is None:
        raise ValueError("paint needs a target: the weights to put, NaN where nothing is painted")
    return paint(given.target)


_BOTH = frozenset({MapKind.CHANNEL, MapKind.SPATIAL})
OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "off",
            "Off",
            "As if there were no attention: gates become 1, self-attention adds nothing, and a weighted sum over positions "
            "becomes the plain mean.",
            _SHARE,
            edit=lambda given: off,
        ),
        Operation(
            "uniform",
            "Uniform",
            "The same weight everywhere, so that no place counts more than another.",
            _SHARE,
            edit=lambda given: uniform,
        ),
        Operation(
            "shuffle",
            "Shuffled",
            "The same weights in other places: their strengths are kept, their places are shuffled at random.",
            _SHARE,
            edit=lambda given: shuffled(given.seed),
        ),
        Operation(
            "temperature",
            "Sharper or flatter",
            "The logits of the weights are divided by a temperature: below 1, large weights win; above 1, all become alike.",
            Amount("Temperature", 0.1, 10.0, 0.5),
            edit=lambda given: temperature(given.amount or 0.0),
        ),
        Operation(
            "invert",
            "Inverted",
            "Strong weights become weak, and weak weights become strong.",
            _SHARE,
            edit=lambda given: inverted,
        ),
        Operation(
            "paint", "Painted", "What you paint gets a high weight, what you erase gets weight 0.", _SHARE, edit=_painted
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
            edit=lambda given: alone(MapKind.CHANNEL),
        ),
        Operation(
            "spatial_alone",
            "Spatial attention only",
            "Only the spatial gates are left; the other maps are off.",
            _SHARE,
            kinds=_ALL - {MapKind.SPATIAL},
            needs=_BOTH,
            edit=lambda given: alone(MapKind.SPATIAL),
        ),
    )
}
"""What can be done to the attention of a network, by name."""


def applicable(model: nn.Module) -> list[Operation]:
    """The operations that make sense for this network; none where it has no attention."""
    kinds = {tap.kind for tap in attention_taps(model).values()}
    scalars = attention_scalars(model)
    return [
        operation
        for operation in OPERATIONS.values()
        if kinds & operation.kinds and operation.needs <= kinds and (operation.edit is not None or scalars)
    ]


@contextmanager
def operated(model: nn.Module, given: Intervention) -> Iterator[nn.Module]:
    """The network with changed attention, for the forwards inside the ``with``. ``model`` itself is left as it is.

    Raises:
        ValueError: for an unknown operation or tap, an amount outside the operation's range, or a target that is missing
            or not one; inside the forward, when a painted gate is above 1.
    """
    operation = OPERATIONS.get(given.operation)
    if operation is None:
        raise ValueError(f"unknown operation {given.operation!r}; known: {', '.join(OPERATIONS)}")
    known = attention_taps(model)
    if missing := sorted(set(given.taps or ()) - set(known)):
        raise ValueError(f"the network has no tap {', '.join(map(repr, missing))}; it has {', '.join(known) or 'none'}")
    limits = operation.amount
    amount = limits.default if given.amount is None else given.amount
    if not limits.low <= amount <= limits.high:
        raise ValueError(f"{limits.label.lower()} must be in [{limits.low:g}, {limits.high:g}], got {amount:g}")
    taps = frozenset(known if given.taps is None else given.taps)
    if operation.edit is None:
        holders = {tap.rpartition(".")[0] for tap in taps}
        yield _with_scalars(model, {name: amount for name in attention_scalars(model) if name.rpartition(".")[0] in holders})
        return
    edit = operation.edit(Intervention(given.operation, amount, given.taps, given.target, given.seed))
    with edit_attention(model, at(taps, blend(amount, edit) if limits is _SHARE else edit)):
        yield model


def _with_scalars(model: nn.Module, values: Mapping[str, float]) -> nn.Module:
    """A twin of the network with these parameters filled with a number; it shares every other weight."""
    shared = [parameter for name, parameter in model.named_parameters() if name not in values]
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in (*shared, *model.buffers())})
    with torch.no_grad():
        for name, value in values.items():
            twin.get_parameter(name).fill_(value)
    return twin


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
