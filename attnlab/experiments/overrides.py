"""One table of all settings of a `RunConfig`, made from its fields, to offer them by name.

A setting goes by the last part of its path, ``lr`` for ``training.lr``; where several sections have the same field, the name
of the section comes first. A field that is added to the configuration appears here, and so on the command line, by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from attnlab.config import RunConfig

_CALLED = {"dataset.name": "dataset", "model.options": "option"}
"""Settings whose short name would say too little."""


@dataclass(frozen=True)
class Setting:
    """One field of the configuration.

    Attributes:
        path: dotted, ``"training.lr"``.
        name: short, with hyphens: ``"lr"``, ``"image-size"``.
        annotation: the field's type.
        help: its description, and its default.
        mapping: takes ``name=value`` any number of times.
        nested: of a mapping of mappings, ``"eca.kernel_size=5"``.
        syntax: of the texts that a mapping takes; empty for other settings.
    """

    path: str
    name: str
    annotation: Any
    help: str
    mapping: bool
    nested: bool

    @property
    def syntax(self) -> str:
        return "" if not self.mapping else "variant.option=value" if self.nested else "option=value"

    @property
    def keyword(self) -> str:
        """As `RunConfig.changed` takes it: ``"training__lr"``."""
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
        name = _CALLED.get(path) or (leaf if count[leaf] == 1 else path.replace(".", "_"))
        name = (name.removesuffix("s") if mapping else name).replace("_", "-")
        nested = mapping and get_origin(get_args(field.annotation)[1]) is dict
        help_text = field.description or ""
        default = field.get_default(call_default_factory=True)
        if not mapping and default is not None:
            help_text = f"{help_text} (default: {default})".strip()
        table.append(Setting(path, name, field.annotation, help_text, mapping, nested))
    return table


def change(tree: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Puts settings, path -> value, into the tree of a configuration. A mapping takes texts, which are added to it.

    Raises:
        ValueError: for a text that does not have the `syntax` of its setting.
    """
    known = {setting.path: setting for setting in settings()}
    for path, value in values.items():
        *parents, leaf = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        setting = known[path]
        if setting.mapping:
            into = node.setdefault(leaf, {})
            for text in value:
                _put(into, text, setting)
        else:
            node[leaf] = value
    return tree


def _put(into: dict[str, Any], text: str, setting: Setting) -> None:
    key, equals, value = text.partition("=")
    outer, dot, inner = key.partition(".")
    if not equals or not key or (setting.nested and not (dot and inner)):
        raise ValueError(f"--{setting.name} {text}: expected {setting.syntax}")
    if setting.nested:
        into.setdefault(outer, {})[inner] = parse_value(value)
    else:
        into[key] = parse_value(value)


def parse_value(text: str) -> Any:
    """The value if the text is JSON (``5``, ``true``, ``[64, 12]``), otherwise the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _leaves(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field
