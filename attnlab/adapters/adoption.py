"""Attention of a foreign network, without a change to its code.

`adopt` makes a twin of the network that shares its weights, finds in one forward where it multiplies features by gates and
where it attends, and puts taps there. So recording, editing, measuring and drawing work as with the blocks of attnlab:

>>> import torch
>>> from torch import nn
>>> from torchvision.ops import SqueezeExcitation
>>> import attnlab
>>> net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), SqueezeExcitation(16, 4), nn.Flatten(), nn.Linear(16 * 64, 10))
>>> with attnlab.adopt(net, torch.randn(1, 3, 8, 8)) as adopted:
...     with attnlab.record_attention(adopted.model) as maps:
...         logits = adopted.model(torch.randn(2, 3, 8, 8))
>>> [(each.name, each.kind.value, tuple(each.values.shape)) for each in maps]
[('1.tap', 'channel', (2, 16, 1, 1))]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from attnlab.adapters._calls import Key
from attnlab.adapters._replay import Replay
from attnlab.adapters._trace import SAMPLES, Site, Trace
from attnlab.adapters._twin import twin_of
from attnlab.adapters.preprocessing import preprocessing_of
from attnlab.attention import (
    ASIDE,
    AttentionMap,
    AttentionTap,
    MapKind,
    MapScale,
    edit_attention,
    evaluating,
    record_attention,
    walk_cells,
)
from attnlab.geometry import Cells

LARGEST_DIFFERENCE = 1e-4
"""How far weights that are put back unchanged may move the logits, as a share of the largest: rounding moves them less."""


class Untapped(NamedTuple):
    """What looks like attention and has no tap.

    Attributes:
        path: of the module, as in ``named_modules``.
        reason: why, in a sentence.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class TapProof:
    """What was checked of one tap on the example.

    Attributes:
        name: path of the tap, as in `attnlab.attention.AttentionMap.name`.
        kind, scale: of its maps.
        heads: how many maps it makes in one forward.
        shape: of one of its maps, for one image.
        difference: how far the logits move when its weights are put back as they are, relative to the largest.
        row_error: how far from 1 the sum of a row is, at most; `None` for weights that do not sum to 1.
        cells: where the positions lie in the picture, of the keys of a PAIRWISE map; `None` where that is not known.
    """

    name: str
    kind: MapKind
    scale: MapScale
    heads: int
    shape: tuple[int, ...]
    difference: float
    row_error: float | None
    cells: Cells | None


@dataclass(eq=False)
class Adopted:
    """A foreign network with taps. It is a context manager, whose end is `release`.

    Attributes:
        model: the twin of the network, to be recorded and edited; after `release` the network itself.
        taps: what was proven of each tap, by name, in the order of the forward.
        untapped: what looks like attention and could not be tapped.
        difference: the largest difference between the logits of the network and those of the recorded twin, on the example.
    """

    model: nn.Module
    taps: dict[str, TapProof]
    untapped: tuple[Untapped, ...]
    difference: float
    _original: nn.Module = field(repr=False)

    def only_logits(self) -> nn.Module:
        """The twin, which from now on returns its logits alone, and not what its code wraps them in."""
        if isinstance(self.model, _Watched):
            self.model.adoption.only_logits = True
        return self.model

    def release(self) -> None:
        """Lets the twin go. The network itself was never touched; a twin that somebody still holds has no taps any more."""
        twin, self.model = self.model, self._original
        if isinstance(twin, _Watched):
            twin.adoption.let_go(twin)

    def __enter__(self) -> Adopted:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.release()


def adopt(model: nn.Module, example: Tensor | None = None) -> Adopted:
    """Finds the attention of a network that was not written for attnlab, and proves on an example that it was found.

    The network itself stays as it is: `Adopted.model` is a twin with the same weights. Only calls of the twin are recorded.

    Args:
        example: images (B, C, H, W) as the network takes them; zeros of the size that the network names when left out.

    Raises:
        ValueError: for a network that cannot be copied, an example that it does not take, or no way to know what it takes.
    """
    twin = twin_of(model)
    images = _example(model) if example is None else example
    if images.ndim != 4 or not len(images):
        raise ValueError(f"the example is images (B, C, H, W), got a tensor of shape {tuple(images.shape)}")
    weight = next(twin.parameters(), None)
    images = images.detach().to("cpu" if weight is None else weight.device)
    if not images.dtype.is_floating_point:
        raise ValueError(f"the example is images as the network takes them, in floating point; these are {images.dtype}")
    with evaluating(twin), torch.no_grad():
        trace = _traced(twin, images)
        plain = logits_of(twin(images))
        adoption = _Adoption(twin, trace)
        _watch(twin, adoption)
        proofs, refused, difference = _proven(twin, adoption, images, plain)
    adoption.untapped = _unseen(twin, adoption, {**trace.refused, **refused})
    return Adopted(twin, proofs, adoption.untapped, difference, model)


def untapped_of(model: nn.Module) -> tuple[Untapped, ...]:
    """What looks like attention in an adopted network and has no tap; nothing for a network of attnlab's."""
    return model.adoption.untapped if isinstance(model, _Watched) else ()


def logits_of(output: Any) -> Tensor:
    """The logits in what a network returned: itself, its ``logits``, or the first tensor.

    Raises:
        ValueError: when there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    named = getattr(output, "logits", None)
    if isinstance(named, Tensor):
        return named
    parts = output.values() if isinstance(output, Mapping) else output if isinstance(output, list | tuple) else ()
    for part in parts:
        if isinstance(part, Tensor):
            return part
        if isinstance(part, list | tuple | Mapping) and part:
            return logits_of(part)
    raise ValueError(f"the network returned {type(output).__name__}, in which there are no logits")


class _Watched(nn.Module):
    """What a twin is besides its own class: a forward during which its taps are there."""

    adoption: _Adoption

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        with self.adoption.watching(self, args, kwargs):
            output = super().forward(*args, **kwargs)
        return logits_of(output) if self.adoption.only_logits else output

    def located_maps(self, shape: tuple[int, int, int]) -> dict[str, Cells]:
        """Where the maps of pictures (C, H, W) lie; `attnlab.attention.locate_maps` asks for it."""
        return self.adoption.cells(self, shape)


class _Adoption:
    """The places of attention of a twin, and their taps.

    Attributes:
        only_logits: whether the twin returns its logits alone, and not what its code wraps them in.
        untapped: see `Adopted.untapped`.
    """

    def __init__(self, twin: nn.Module, trace: Trace) -> None:
        self.only_logits = False
        self.untapped: tuple[Untapped, ...] = ()
        self.taps: dict[Key, AttentionTap] = {}
        self.names: dict[Key, str] = {}
        self._sites: dict[tuple[int, int], dict[Key, Site]] = {trace.size: dict(trace.sites)}
        for key, site in trace.sites.items():
            self._put(twin, key, site)

    def _put(self, twin: nn.Module, key: Key, site: Site) -> None:
        module = twin.get_submodule(key.path)
        aside = vars(module).setdefault(ASIDE, {})
        word = "tap"
        if site.kind is MapKind.ELEMENT:
            height, width = site.size
            word = "rows.tap" if height > 1 == width else "columns.tap" if width > 1 == height else word
        same = sum(re.sub(r"\d+$", "", each) == word for each in aside)
        name = word if not same else f"{word}{same + 1}"
        aside[name] = AttentionTap(site.kind, site.scale, neutral=site.neutral, settles=False)
        self.taps[key] = aside[name]
        self.names[key] = f"{key.path}.{name}" if key.path else name

    def drop(self, twin: nn.Module, key: Key) -> None:
        aside = vars(twin.get_submodule(key.path))[ASIDE]
        self.names.pop(key)
        tap = self.taps.pop(key)
        for name in [name for name, each in aside.items() if each is tap]:
            del aside[name]

    def let_go(self, twin: nn.Module) -> None:
        for key in list(self.taps):
            self.drop(twin, key)

    def sites(self, twin: nn.Module, images: Tensor) -> dict[Key, Site]:
        """The places of attention for pictures of this size; another size takes one forward more."""
        size = (images.shape[2], images.shape[3])
        if size not in self._sites:
            with evaluating(twin), torch.no_grad():
                self._sites[size] = dict(_traced(twin, images[:1].detach()).sites)
        return self._sites[size]

    def cells(self, twin: nn.Module, shape: tuple[int, int, int]) -> dict[str, Cells]:
        weight = next(twin.parameters(), None)
        sites = self.sites(twin, torch.zeros(1, *shape, device=None if weight is None else weight.device))
        return {
            name: cells
            for key, name in self.names.items()
            if (site := sites.get(key)) is not None and (cells := site.map_cells) is not None
        }

    @contextmanager
    def watching(self, twin: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Iterator[None]:
        images = next((each for each in (*args, *kwargs.values()) if isinstance(each, Tensor) and each.ndim == 4), None)
        if images is None or not any(tap.active for tap in self.taps.values()):
            yield
            return
        replay = Replay(self.sites(twin, images), self.taps)
        with replay.watching(twin):
            yield


def _watch(twin: nn.Module, adoption: _Adoption) -> None:
    cls = type(twin)
    twin.adoption = adoption  # type: ignore[assignment]
    twin.__class__ = type(cls.__name__, (_Watched, cls), {"__module__": cls.__module__})


def _traced(twin: nn.Module, images: Tensor) -> Trace:
    """Follows one forward of the first image, twice in a batch."""
    picture = images[:1].expand(SAMPLES, -1, -1, -1).clone()
    cls = type(twin)
    own = cls.__mro__[2] if issubclass(cls, _Watched) else cls
    forward: Callable[..., Any] = getattr(own, "forward").__get__(twin)  # noqa: B009 - not every class of the order has one
    with walk_cells(picture) as walk:
        trace = Trace(picture, walk)
        try:
            with trace.watching(twin):
                forward(picture)
        except Exception as error:  # whatever a foreign network raises
            raise ValueError(
                f"{cls.__name__} does not take images of shape {tuple(picture.shape)}: {type(error).__name__}: {error}"
            ) from error
    return trace


def _proven(
    twin: nn.Module, adoption: _Adoption, images: Tensor, plain: Tensor
) -> tuple[dict[str, TapProof], dict[Key, str], float]:
    """Checks every tap on the example; taps that fail are dropped, with the reason."""
    largest = max(float(plain.abs().max()), 1e-12)
    seen: dict[str, list[AttentionMap]] = {}

    def put_back(attention: AttentionMap) -> Tensor:
        seen.setdefault(attention.name.partition("#")[0], []).append(attention)
        return attention.values.clone()

    def moved(only: str | None) -> float:
        def edit(attention: AttentionMap) -> Tensor | None:
            return put_back(attention) if only in (None, attention.name.partition("#")[0]) else None

        with edit_attention(twin, edit):
            return float((logits_of(twin(images)) - plain).abs().max()) / largest

    all_at_once = moved(None) if adoption.taps else 0.0
    refused: dict[Key, str] = {}
    differences = dict.fromkeys(adoption.names.values(), all_at_once)
    if not all_at_once <= LARGEST_DIFFERENCE:
        differences = {name: moved(name) for name in adoption.names.values()}
    for key, name in list(adoption.names.items()):
        if name not in seen:
            refused[key] = "its weights are not used in every forward"
        elif not differences[name] <= LARGEST_DIFFERENCE:
            refused[key] = f"its weights, put back as they are, move the logits by {differences[name]:.1g} of the largest"
    for key in refused:
        adoption.drop(twin, key)
    with record_attention(twin, required=False):
        difference = float((logits_of(twin(images)) - plain).abs().max())
    sites = adoption.sites(twin, images)
    return (
        {name: _proof(name, sites[key], seen[name], differences[name]) for key, name in adoption.names.items()},
        refused,
        difference,
    )


def _proof(name: str, site: Site, maps: list[AttentionMap], difference: float) -> TapProof:
    first = maps[0]
    error = None
    if first.scale is MapScale.SOFTMAX:
        dims = {MapKind.PAIRWISE: (2,), MapKind.BRANCH: (1,)}.get(first.kind, (2, 3))
        error = max(float((each.values.float().sum(dim=dims) - 1).abs().max()) for each in maps)
    heads = len({each.head for each in maps})
    return TapProof(name, first.kind, first.scale, heads, tuple(first.values.shape[1:]), difference, error, site.map_cells)


_CALLED = re.compile(r"(attn|attention)", re.IGNORECASE)


def _unseen(twin: nn.Module, adoption: _Adoption, refused: Mapping[Key, str]) -> tuple[Untapped, ...]:
    """What could not be tapped: weights without a form, and modules that are called attention and hold no tap."""
    found = {Untapped(key.path, f"{reason[0].upper()}{reason[1:]}.") for key, reason in refused.items()}
    tapped = {key.path for key in adoption.names}
    for path, module in twin.named_modules():
        named = path and _CALLED.search(type(module).__name__)
        inside = {other for other in {*tapped, *(each.path for each in found)} if other == path or other.startswith(f"{path}.")}
        outside = any(path.startswith(f"{each.path}.") for each in found)
        if named and not inside and not outside and not any(path.startswith(f"{each}.") for each in tapped):
            found.add(
                Untapped(path, f"{type(module).__name__} neither multiplies by a sigmoid nor attends by a softmax in sight.")
            )
    return tuple(sorted(found))


def _example(model: nn.Module) -> Tensor:
    return torch.zeros(1, *preprocessing_of(model).shape)
