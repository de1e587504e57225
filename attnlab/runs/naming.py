"""Short names for groups of runs: the attention, and whatever else tells the groups at hand apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attnlab.config import RunConfig
from attnlab.runs.records import RunRecord

PLAIN = "plain"
"""How a network without attention is called."""

OWN_ATTENTION = {"attention_vgg16": "gates", "gated_cnn": "gates", "pay_attention_vgg": "attention of its own"}
"""Networks that attend without a variant; here by name, since the registry needs torch."""


def attention_name(config: RunConfig) -> str:
    """``"eca+cbam_spatial"`` -> ``"eca + cbam_spatial"``; gates of the network itself -> ``"gates"``; none -> ``"plain"``."""
    own = OWN_ATTENTION.get(config.model.backbone) if config.model.options.get("depths") != 0 else None
    variant = None if config.model.attention == "none" else config.model.attention.replace("+", " + ")
    return " + ".join(filter(None, (own, variant))) or PLAIN


def dataset_name(config: RunConfig) -> str:
    """The data set's name, or the last part of its path."""
    return config.dataset.name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def run_name(record: RunRecord) -> str:
    """What a person called the run, else its attention, data, network and seed."""
    if record.title and record.title != record.run_id:
        return record.title
    config = record.config
    return f"{attention_name(config)} · {dataset_name(config)} · {config.model.backbone} · seed {config.seed}"


def group_names(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Group key -> name. Settings on which all the groups agree are left out.

    Two groups never share a name: where a setting was left to its default in one and given in another, its value is
    shown in both.
    """
    flat = {key: _flat(config) for key, config in configs.items()}
    differing = [name for name in _union(flat.values()) if len({repr(tree.get(name)) for tree in flat.values()}) > 1]
    names = {}
    for key, config in configs.items():
        parts = [attention_name(config)]
        parts += [_part(name, flat[key].get(name), config) for name in differing if name != "model.attention"]
        names[key] = " · ".join(part for part in parts if part)
    return names


def _flat(config: RunConfig) -> dict[str, Any]:
    leaves: dict[str, Any] = {}

    def walk(path: str, node: Any) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                walk(f"{path}.{name}" if path else name, value)
        else:
            leaves[path] = node

    walk("", config.model_dump(mode="json", exclude={"seed"}))
    return leaves


def _union(trees: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for tree in trees for name in tree))


def _part(name: str, value: Any, config: RunConfig) -> str:
    if name == "dataset.name":
        return dataset_name(config)
    if name == "model.backbone":
        return str(value)
    if name.startswith("model.attention_options.") and value is None:
        return ""
    leaf = name.rsplit(".", 1)[-1].replace("_", " ")
    return f"{leaf} {'default' if value is None else value}"
