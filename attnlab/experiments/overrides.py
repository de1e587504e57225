"""Every setting of a `RunConfig` by a short name, for command lines; derived from the fields of the configuration.

The name of a setting is the last part of its path, ``lr`` for ``training.lr``; where several sections have the same, the
section stands in front. A field that is added to the configuration appears here, and so on the command line, by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from attnlab.config import RunConfig
from attnlab.readable import json_kind

_NAMES = {"dataset.name": "dataset", "model.options": "option"}
"""Settings whose last name alone would say too little."""


@dataclass(frozen=True)
class Setting:
    """One field of the configuration.

    Attributes:
        path: dotted, ``"training.lr"``.
        name: short, with hyphens: ``"lr"``, ``"image-size"``.
        annotation: the field's type.
        help: the field's description.
        default: of the configuration; `None` where there is none, or where it says nothing.
        mapping: whether it takes ``name=value``, any number of times.
        nested: whether it is a mapping of mappings, ``"eca.kernel_size=5"``.
        syntax: of the texts that a mapping takes; empty for other settings.
    """

    path: str
    name: str
    annotation: Any
    help: str
    mapping: bool
    nested: bool
    default: Any = None

    @property
    def syntax(self) -> str:
        return "" if not self.mapping else "variant.option=value" if self.nested else "option=value"

    @property
    def keyword(self) -> str:
        """Name of the argument of `RunConfig.changed`: ``"training__lr"``."""
        return self.path.replace(".", "__")

    @property
    def section(self) -> str:
        return self.path.split(".")[0]


def settings() -> list[Setting]:
    """Every setting, in the order of the configuration."""
    leaves = list(_leaves(RunConfig, ""))
    count = Counter(path.rsplit(".", 1)[-1] for path, _ in leaves)
    table = []
    for path, field in leaves:
        leaf = path.rsplit(".", 1)[-1]
        mapping = get_origin(field.annotation) is dict
        name = _NAMES.get(path) or (leaf if count[leaf] == 1 else path.replace(".", "_"))
        name = (name.removesuffix("s") if mapping else name).replace("_", "-")
        nested = mapping and get_origin(get_args(field.annotation)[1]) is dict
        default = None if mapping else field.get_default(call_default_factory=True)
        table.append(Setting(path, name, field.annotation, field.description or "", mapping, nested, default))
    return table


def change(tree: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Puts settings into the tree of a configuration, and returns the tree.

    Args:
        tree: as `RunConfig.model_dump` gives it; it is changed.
        values: path -> value; for a mapping a list of texts, which are added to its entries.

    Raises:
        ValueError: for a text that does not have the `syntax` of its setting.
    """
    known = {setting.path: setting for setting in settings()}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = _inside(node, parent)
        setting = known[path]
        if setting.mapping:
            entries = _inside(node, leaf)
            for text in value:
                _put(entries, text, setting)
        else:
            node[leaf] = value
    return tree


def _put(entries: dict[str, Any], text: str, setting: Setting) -> None:
    """Adds the entry of a ``name=value`` text."""
    key, equals, value = text.partition("=")
    outer, dot, inner = key.partition(".")
    if not equals or not key or (setting.nested and not (dot and inner)):
        raise ValueError(f"--{setting.name} {text}: expected {setting.syntax}")
    if setting.nested:
        _inside(entries, outer)[inner] = parse_value(value)
    else:
        entries[key] = parse_value(value)


def _inside(node: dict[str, Any], name: str) -> dict[str, Any]:
    """The mapping under a name, made if there is none.

    Raises:
        ValueError: where the tree has something else.
    """
    inner = node.setdefault(name, {})
    if not isinstance(inner, dict):
        raise ValueError(f"{name} must hold settings by name, but the configuration file has {json_kind(inner)} there")
    return inner


def parse_value(text: str) -> Any:
    """The value if the text is JSON (``5``, ``true``, ``[64, 12]``), otherwise the text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _leaves(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, Any]]:
    """(path, field) of every setting below a model."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field
