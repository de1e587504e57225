"""Finds the weights of a network among all tensors of a file: below which names, and what lies beside them.

Training scripts save weights under a key (``state_dict``, ``model``, ``ema``), and wrappers put a prefix before each name
(``module.``, ``model.``, ``net.``). Both are prefixes here, and any prefix is accepted: the names of a known reference
implementation tell where it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from attnlab.interop._reference import Reference, UnknownReference
from attnlab.interop.references import REFERENCES, recognise

SEPARATOR = "\x1f"
"""Between the levels of nested dictionaries in the names that `attnlab.interop._unpickle` writes."""

TOP = "top level"
"""What weights are called that lie in no inner dictionary and have no prefix, where others have one."""

_INSERTED = re.compile(rf"(?<![^.{SEPARATOR}])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
"""Parts that torch.compile and other wrappers put anywhere into names, also before a module in the middle."""

_AVERAGED = {"ema", "average", "averaged", "avg", "swa", "shadow", "teacher", "momentum"}


@dataclass(frozen=True, eq=False)
class WeightSet:
    """Weights of one network in a file.

    Attributes:
        label: where they lie, as people would write it: "state_dict.model"; "" at the top.
        prefix: what their names begin with in the file.
    """

    label: str
    prefix: str
    weights: dict[str, Tensor]

    @property
    def averaged(self) -> bool:
        """Whether the label says that they are an average over the training, kept beside the weights."""
        return not _AVERAGED.isdisjoint(re.split(r"[._]", self.label.lower()))


def plain_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the parts that wrappers put into their names."""
    plain = {_INSERTED.sub("", name): value for name, value in tensors.items()}
    return plain if len(plain) == len(tensors) else dict(tensors)


def weight_sets(tensors: Mapping[str, Tensor]) -> list[WeightSet]:
    """All sets of weights among ``tensors``, the one to take by default first.

    Those of known networks are found below any prefix. Where there are none, the set is the dictionary with the most tensors:
    the weights of an unknown network.
    """
    found = {prefix: reference for prefix in _prefixes(tensors) if (reference := _reference(tensors, prefix))}
    if found:
        sets = [_set(tensors, prefix, reference, found) for prefix, reference in found.items()]
        return sorted(sets, key=lambda one: one.averaged)
    levels = dict.fromkeys(_level(name) for name in tensors)
    start = max(levels, key=lambda level: sum("." in name for name in below(tensors, level)))
    weights = below(tensors, start)
    while all(name.startswith("module.") for name in weights):
        weights, start = below(weights, "module."), start + "module."
    return [WeightSet(label(start), start, weights)]


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors in one dictionary whose names begin with ``prefix``, without it."""
    inside = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    return {name: value for name, value in inside.items() if SEPARATOR not in name}


def label(path: str) -> str:
    """A path or prefix in a file, as people would write it."""
    return "".join(letter if letter.isprintable() else "?" for letter in path.replace(SEPARATOR, ".")).strip(".")


def beside(tensors: Iterable[str], taken: WeightSet, others: list[WeightSet]) -> Iterator[tuple[str, str]]:
    """Which of all tensors are not taken: where, and what they are."""
    for other in others:
        yield other.label or TOP, "another set of weights"
    kept = {one.prefix + name for one in (taken, *others) for name in one.weights}
    groups: dict[str, list[str]] = {}
    for name in tensors:
        if name not in kept:
            groups.setdefault(re.split(rf"[.{SEPARATOR}]", name.removeprefix(_level(taken.prefix)))[0], []).append(name)
    for first, names in groups.items():
        yield (label(names[0]), "array") if len(names) == 1 else (label(first), f"{len(names)} arrays")


def _prefixes(tensors: Mapping[str, Tensor]) -> list[str]:
    """What may stand before the names of a known reference: whatever stands before one of them."""
    markers = dict.fromkeys(reference.markers[0] for reference in REFERENCES)
    ends = re.compile(rf"((?:.*[.{SEPARATOR}])?)(?:{'|'.join(map(re.escape, markers))})", re.DOTALL)
    return list(dict.fromkeys(match[1] for name in tensors if (match := ends.fullmatch(name))))


def _reference(tensors: Mapping[str, Tensor], prefix: str) -> Reference | None:
    """The reference whose names are those below ``prefix``; a block only if nothing else is in the same dictionary."""
    names = below(tensors, prefix)
    try:
        reference = recognise(names)
    except UnknownReference:
        return None
    return reference if reference.network or len(names) == len(below(tensors, _level(prefix))) else None


def _set(tensors: Mapping[str, Tensor], prefix: str, reference: Reference, prefixes: Iterable[str]) -> WeightSet:
    """The weights below ``prefix`` and below no longer one.

    Parameters of a network lie in layers, so others are none, but for those that its reference names.
    """
    inner = tuple(longer[len(prefix) :] for longer in prefixes if longer.startswith(prefix) and longer != prefix)
    weights = {name: value for name, value in below(tensors, prefix).items() if not name.startswith(inner)}
    if reference.network:
        weights = {name: value for name, value in weights.items() if "." in name or name in reference.outside}
    return WeightSet(label(prefix), prefix, weights)


def _level(name: str) -> str:
    """The part of a name that leads to its dictionary, with the separator."""
    return name[: name.rfind(SEPARATOR) + 1]
