"""Finds the attention of a foreign network in one forward of an example.

    gate       y = f * g           g comes from a sigmoid (or a hard one, or a softmax), f are features that g spreads to
    attention  y = A v             A comes from a softmax over what it is contracted with, or from products of queries and keys

Where the elements of f, A and v lie in the picture is followed through the forward (`_positions`), and says what kind of map
the weights are. x * sigmoid(x) is an activation and no gate. What looks like attention and cannot be shown is kept with the
reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from attnlab.adapters._calls import CallsMode, Key, names, tensors_of
from attnlab.adapters._contractions import FusedCall, key_ids_of, operands_of
from attnlab.adapters._layout import GateLayout, PairLayout, Turned, Unusual, coarse_cells, gate_layout, pair_layout
from attnlab.adapters._positions import KEEPS_WHOLE, MAPS, MOVES, SAMPLE, Operation, Positions, constant, followed, fresh
from attnlab.attention import CellWalk, MapKind, MapScale
from attnlab.geometry import Cells, Size, picture_cells

SAMPLES = 2
"""Images of the example that go through the network: two, to tell the images of a batch from windows and heads."""

_RESHAPES = names("view reshape permute transpose flatten unflatten view_as reshape_as")
_SQUASHES = {"sigmoid": "gate", "sigmoid_": "gate", "expit": "gate", "hardsigmoid": "gate", "hardsigmoid_": "gate"}
_SIX = names("relu6 relu6_ hardtanh hardtanh_ clamp clamp_ clip clip_")
_SPREADS = MOVES | KEEPS_WHOLE | names("interpolate upsample dropout dropout_ alpha_dropout feature_dropout")
_ARITHMETIC = names(
    "add add_ __add__ __radd__ __iadd__ sub sub_ __sub__ __rsub__ __isub__ mul mul_ __mul__ __rmul__ __imul__ "
    "multiply div div_ true_divide __truediv__ __rtruediv__ __itruediv__ __div__ divide neg"
)
_ELEMENTWISE = _ARITHMETIC | names(
    "where masked_fill masked_fill_ clamp clamp_ clamp_min nan_to_num pow sqrt maximum minimum mean stack cat"
)


@dataclass(frozen=True, eq=False)
class Origin:
    """What weights come from.

    Attributes:
        kind: "gate", "softmax", "tanh" or "six", which becomes a gate when it is divided by 6.
        source: the tensor that was squashed, see `Facts.root`.
        pure: whether nothing was computed with them since.
    """

    kind: str
    source: int
    pure: bool = True


@dataclass(frozen=True, eq=False)
class Facts:
    """What is known of a tensor.

    Attributes:
        positions: where its elements lie.
        origin: what its values come from, if they are weights.
        root: names the tensor that it equals but for an order, a factor or a constant.
        gated: the gate and the root of the features, if it is their product.
    """

    positions: Positions | None = None
    origin: Origin | None = None
    root: int = 0
    gated: tuple[Key, int] | None = None


_NOTHING = Facts()
_CHANNELS = "it attends to channels, which have no position in the picture"


@dataclass(frozen=True, eq=False)
class Site:
    """Where weights are used.

    Attributes:
        operand: which argument they are.
        layout: of a gate or of attention.
        turned: how an operand of `einsum` or a right one of `matmul` is turned; `None` where that is not needed.
        neutral: the weight with which nothing is done.
        cells: where the features lie that a gate multiplies, or the keys that are attended to.
        size: (H, W) of a gate's map; (1, 1) where it has no positions.
    """

    key: Key
    operand: int
    layout: GateLayout | PairLayout
    turned: Turned | None
    neutral: float | None
    cells: Cells | None
    size: Size = (1, 1)

    @property
    def map_cells(self) -> Cells | None:
        """Where the cells of its maps lie; a margin has one cell along its short side."""
        if self.cells is None or not self.kind.placed:
            return None
        if isinstance(self.layout, GateLayout):
            whole = self.layout.grid
            return self.cells.merged(whole[0] // self.size[0], whole[1] // self.size[1])
        return self.cells

    @property
    def kind(self) -> MapKind:
        if isinstance(self.layout, GateLayout):
            return self.layout.kind
        return MapKind.SPATIAL if self.layout.pooled else MapKind.PAIRWISE

    @property
    def scale(self) -> MapScale:
        return self.layout.scale


class Trace(CallsMode):
    """One forward of `SAMPLES` equal pictures.

    Attributes:
        sites: what was found, in the order of the forward.
        refused: where weights are used that cannot be shown: key -> reason.
        size: (H, W) of the pictures.
    """

    def __init__(self, picture: Tensor, walk: CellWalk) -> None:
        super().__init__()
        self.sites: dict[Key, Site] = {}
        self.refused: dict[Key, str] = {}
        self._walk = walk
        self._known: dict[int, tuple[Tensor, Facts]] = {}
        self._roots = 0
        self.size: Size = (picture.shape[2], picture.shape[3])
        self._grid = self.size
        self._put(picture, Facts(fresh(picture, picture_cells()), root=self._new_root()))

    def handle(self, key: Key | None, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = getattr(func, "__name__", "")
        before = [self.facts(each) for each in args]
        if name in MAPS and args:
            self._remind(args[0])
        if key is not None and key.family == "sdpa":
            self._fused(key, args, kwargs)
        elif key is not None and key.family in ("matmul", "einsum"):
            self._contraction(key, name, args, kwargs)
        output = func(*args, **kwargs)
        made = tensors_of(output)
        if not made or not made[0].dtype.is_floating_point:
            return output
        if key is not None and key.family == "mul":
            self._gate(key, args, made[0])
        self._follow(name, func, args, kwargs, made, before)
        if key is not None and key.family == "mul" and key in self.sites:
            features = args[1 - self.sites[key].operand]
            facts = self.facts(made[0])
            self._put(made[0], replace(facts, origin=None, gated=(key, self.facts(features).root), root=self._new_root()))
        return output

    def facts(self, tensor: object) -> Facts:
        return self._known.get(id(tensor), (None, _NOTHING))[1] if isinstance(tensor, Tensor) else _NOTHING

    def _put(self, tensor: Tensor, facts: Facts) -> None:
        self._known[id(tensor)] = (tensor, facts)

    def _new_root(self) -> int:
        self._roots += 1
        return self._roots

    def _root(self, tensor: Tensor) -> int:
        facts = self.facts(tensor)
        if not facts.root:
            facts = replace(facts, root=self._new_root())
            self._put(tensor, facts)
        return facts.root

    # What is followed

    def _remind(self, features: Tensor) -> None:
        """Tells the walk where features lie, which it loses where tokens are made of them and become a map again."""
        where = self.facts(features).positions
        if where is None or features.ndim != 4 or self._walk.get(features) is not None:
            return
        try:
            index = (where.ids[0][0, 0] - 1) % SAMPLE
            if bool((where.ids[0] > 0).all()) and bool((index.flatten().diff() > 0).all()):
                cells = coarse_cells(where, where.ids[0])
                if cells is not None:
                    self._walk.put(features, cells)
        except Unusual:
            return

    def _follow(
        self,
        name: str,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        made: Sequence[Tensor],
        before: Sequence[Facts],
    ) -> None:
        if name == "__setitem__":
            return
        operation = Operation({"__matmul__": "matmul"}.get(name, name), func, args, kwargs, made)
        where = followed(operation, lambda each: self.facts(each).positions, self._walk.get, SAMPLES)
        inputs = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        first = inputs[0] if inputs else None
        root = self._root(first) if first is not None and self._same(name, args, inputs) else 0
        origin = self._origin(name, args, kwargs, inputs, before)
        if name in ("add", "add_", "__add__", "__radd__", "__iadd__"):
            self._residual(args)
        for output, positions in zip(made, where, strict=True):
            if positions is not None and name.endswith(("2d", "interpolate")):
                self._grid = positions.grid
            self._put(output, Facts(positions, origin, root or self._new_root()))

    def _same(self, name: str, args: tuple[Any, ...], inputs: Sequence[Tensor]) -> bool:
        """Whether the output has the values of its input, but for their order, a factor or a constant."""
        if name in KEEPS_WHOLE or name in _RESHAPES:
            return True
        return name in _ARITHMETIC and len(inputs) == 1

    def _origin(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Sequence[Tensor], before: Sequence[Facts]
    ) -> Origin | None:
        if not inputs:
            parts = args[0] if args and isinstance(args[0], list | tuple) else ()
            origins = [self.facts(each).origin for each in parts]
            return origins[0] if origins and all(origins) else None
        first = inputs[0]
        source = before[0].root if before and before[0].root else self._root(first)
        if name in _SQUASHES:
            return Origin("gate", source)
        if name in ("softmax", "_softmax"):
            return Origin("softmax", source)
        if name in ("tanh", "tanh_"):
            return Origin("tanh", source)
        if name in _SIX and (name.startswith("relu6") or [*args[1:], *kwargs.values()][:2] in ([0, 6], [0.0, 6.0])):
            return Origin("six", source)
        known = [self.facts(each).origin for each in inputs]
        origin = next((each for each in known if each is not None), None)
        if origin is None:
            return None
        if name in _SPREADS:
            return known[0]
        if origin.kind == "six":
            divides = "div" in name and 6 in args[1:]
            return Origin("gate", origin.source) if divides and len(inputs) == 1 else None
        if origin.kind == "softmax":  # whatever is computed, its rows are looked at when they are used
            return replace(origin, pure=False) if name in _ELEMENTWISE else None
        if name in _ELEMENTWISE and all(each is not None for each in known):
            products = name in _ARITHMETIC and "mul" in name and len(known) > 1
            averaged = name == "mean"
            return replace(origin, pure=origin.pure and (products or averaged))
        return None

    def _residual(self, args: tuple[Any, ...]) -> None:
        """Corrects what is neutral for a gate whose product is added to its own features, or to another gate's product."""
        pair = [self.facts(each) for each in args[:2]]
        if len(pair) < 2:
            return
        for one, other in (pair, pair[::-1]):
            if one.gated is None:
                continue
            key, features = one.gated
            site = self.sites.get(key)
            if site is None or site.neutral != 1.0:
                continue
            if other.root == features:
                self.sites[key] = replace(site, neutral=0.0)
            elif other.gated is not None and other.gated[1] == features and other.gated[0] in self.sites:
                for each in (key, other.gated[0]):
                    self.sites[each] = replace(self.sites[each], neutral=0.5)
                return

    # What is found

    def _gate(self, key: Key, args: tuple[Any, ...], output: Tensor) -> None:
        if len(args) < 2 or not all(isinstance(each, Tensor) for each in args[:2]):
            return
        origins = [self.facts(each).origin for each in args[:2]]
        gates = [at for at, each in enumerate(origins) if each is not None and each.kind != "six"]
        if len(gates) != 1:
            return
        operand = gates[0]
        weights, features, origin = args[operand], args[1 - operand], origins[operand]
        assert origin is not None
        if features.shape != output.shape or features.ndim < 3 or origin.source == self._root(features):
            return
        if origin.kind == "tanh" and origin.pure:
            return  # one of the gates of a recurrent network, which lets no features pass
        try:
            where = self.facts(features).positions
            layout = gate_layout(
                weights, features, where, within=origin.kind == "softmax" or origin.pure, softmax=origin.kind == "softmax"
            )
            neutral = None if layout.scale is MapScale.SOFTMAX else 1.0
            cells = self._walk.get(features) if layout.tokens < 0 and (layout.rows, layout.columns) == (2, 3) else None
            if cells is None and where is not None and layout.kind.placed:
                cells = coarse_cells(where, where.ids[0])
            size = layout.to_map(weights).shape[-2:]
            self.sites[key] = Site(key, operand, layout, None, neutral, cells, (size[0], size[1]))
        except Unusual as error:
            self.refused[key] = str(error)

    def _fused(self, key: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = FusedCall.of(args, kwargs)
        query, keys, value = (self.facts(each).positions for each in (call.query, call.key, call.value))
        along = value or keys
        if along is not None and not constant(along.ids[0], -1):
            self.refused[key] = _CHANNELS
            return
        self._attention(
            key,
            0,
            None,
            call.weights(),
            None if query is None or not constant(query.ids[0], -1) else query.ids[0][..., 0],
            None if along is None else call.spread(along.ids[0][..., 0]),
            query,
            along,
        )

    def _contraction(self, key: Key, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        operands, forms = operands_of(name, args)
        if operands is None:
            return
        for at, form in enumerate(forms):
            weights, value = operands[at], operands[1 - at]
            facts, other = self.facts(weights), self.facts(value)
            softmax = facts.origin is not None and facts.origin.kind == "softmax"
            scores = facts.positions is not None and len(facts.positions.ids) > 1
            if form is None or not (softmax or scores):
                continue
            turned, value_dim = form
            rows = turned.turn(weights)
            if softmax and not scores:
                sums = rows.float().sum(dim=-1)
                if not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
                    continue
            key_ids = None
            if other.positions is not None:
                key_ids = key_ids_of(other.positions.ids[0], value_dim, rows, value.ndim)
                if key_ids is None and softmax and constant(other.positions.ids[0], value_dim):
                    self.refused[key] = _CHANNELS
                    return
            if key_ids is None and scores and not softmax:
                continue
            query_ids = None
            if facts.positions is not None:
                turned_ids = [turned.turn(ids) for ids in facts.positions.ids]
                of_rows = [ids for ids in turned_ids if constant(ids, -1)]
                varying = [ids for ids in of_rows if not constant(ids, -2)]
                query_ids = next((ids[..., 0] for ids in varying or of_rows), None)
            self._attention(key, at, turned, rows, query_ids, key_ids, facts.positions, other.positions)
            return

    def _attention(
        self,
        key: Key,
        operand: int,
        turned: Turned | None,
        rows: Tensor,
        query_ids: Tensor | None,
        key_ids: Tensor | None,
        query: Positions | None,
        along: Positions | None,
    ) -> None:
        try:
            if key_ids is None or along is None:
                key_ids, along = self._counted(rows)
                if query_ids is None and rows.shape[-2] == rows.shape[-1]:
                    query_ids, query = key_ids, along
            if key_ids is None or along is None:
                raise Unusual("what it attends to has no known position in the picture")
            grid = along.grid if query is None else query.grid
            layout = pair_layout(rows.detach(), SAMPLES, query_ids, key_ids, grid, along.grid)
            neutral = None if layout.pooled else 0.0
            self.sites[key] = Site(key, operand, layout, turned, neutral, coarse_cells(along, key_ids))
        except Unusual as error:
            self.refused[key] = str(error)

    def _counted(self, rows: Tensor) -> tuple[Tensor | None, Positions | None]:
        """The positions of keys of which nothing is known: those of the last map, where the number fits, a few in front."""
        count, (height, width) = rows.shape[-1], self._grid
        front = count - height * width
        maps = math.prod(rows.shape[:-2])
        if not 0 <= front <= 8 or maps % SAMPLES:
            return None, None
        empty = torch.zeros(SAMPLES, 1, height, width)
        where = fresh(empty, None)
        ids = torch.cat([torch.zeros(SAMPLES, front, dtype=torch.int64), where.ids[0].reshape(SAMPLES, -1)], dim=1)
        each = ids.repeat_interleave(maps // SAMPLES, dim=0)
        return each.reshape(*rows.shape[:-2], count), where
