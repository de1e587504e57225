"""Short names for runs and groups of runs: the attention, and whatever else distinguishes them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from attnlab.config import OWN_ATTENTION, RECORDED, ModelConfig, RunConfig
from attnlab.runs.records import RunRecord

_NAMED = ("model.attention", "model.control")
"""Settings that `attention_name` tells."""

SPELT_OUT = 2
"""Up to this many differing settings are written out in a name; more are replaced by a letter."""

PLAIN = "plain"
"""The name of a network without attention."""


def attention_name(config: RunConfig) -> str:
    """``"eca+cbam_spatial"`` -> ``"eca + cbam_spatial"``; gates of the network itself -> ``"gates"``; none -> ``"plain"``.

    A control says so: ``"eca (weights fixed)"``.
    """
    variant = "" if config.model.attention == "none" else config.model.attention.replace("+", " + ")
    fixed = " (weights fixed)" if config.model.control == "neutral" else ""
    return (" + ".join(filter(None, (_own_attention(config.model), variant))) or PLAIN) + fixed


def _own_attention(model: ModelConfig) -> str:
    """What the network's attention is called that needs no variant; empty where it has none."""
    if model.backbone == RECORDED:
        return str(model.options.get("network", RECORDED))
    if model.foreign:
        return re.split("[/:]", model.backbone)[-1]
    if model.options.get("depths") == 0:
        return ""
    if model.backbone in OWN_ATTENTION:
        return OWN_ATTENTION[model.backbone]
    from attnlab.models import list_models  # loads torch, so only for a network that is not built in

    network = list_models().get(model.backbone)
    return network.own_attention if network else ""


def dataset_name(config: RunConfig) -> str:
    """The data set's name, or the last part of its path."""
    return config.dataset.name.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]


def run_name(record: RunRecord) -> str:
    """The title that a person gave the run, or else its attention, data set, network and seed."""
    return record.title if record.title and record.title != record.run_id else short_name(record.config)


def short_name(config: RunConfig) -> str:
    """Attention, data set, network and seed."""
    return f"{attention_name(config)} · {dataset_name(config)} · {config.model.backbone} · seed {config.seed}"


def run_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """Run id -> unique name: `run_name`, followed by the end of the run id where several runs share it."""
    return _unique_names(records, lambda record: run_name(record) + (" (shipped)" if record.demo else ""))


def short_names(records: Sequence[RunRecord]) -> dict[str, str]:
    """Run id -> unique name: the attention, where needed with the seed or the end of the run id."""
    return _unique_names(
        records,
        lambda record: attention_name(record.config),
        lambda record: f"{attention_name(record.config)} · seed {record.config.seed}",
    )


def _unique_names(records: Sequence[RunRecord], *names: Callable[[RunRecord], str]) -> dict[str, str]:
    """Run id -> the first of these names that no other run has."""
    counts = [(name, Counter(map(name, records))) for name in names]
    unique = {}
    for record in records:
        candidates = (name(record) for name, count in counts if count[name(record)] == 1)
        unique[record.run_id] = next(candidates, f"{names[-1](record)} · {record.run_id[-6:]}")
    return unique


def group_names(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Group key -> unique name: the attention, and the settings in which the groups differ.

    Where more than `SPELT_OUT` settings differ, each combination of them gets a letter instead: ``"eca · setup B"``.
    `group_setups` explains the letters.
    """
    own, setups = _differences(configs)
    if not setups:
        return {}
    letters = _letters(setups.values())
    count = len(next(iter(setups.values())))
    names = {}
    for key, config in configs.items():
        parts = [attention_name(config), *own[key]]
        parts += setups[key] if count <= SPELT_OUT else [f"setup {letters[setups[key]]}"]
        names[key] = " · ".join(part for part in parts if part)
    return names


def group_setups(configs: Mapping[str, RunConfig]) -> dict[str, str]:
    """Group key -> the settings besides the attention in which the groups differ; empty where they agree.

    With more than `SPELT_OUT` settings it begins with the letter of `group_names`.
    """
    _, setups = _differences(configs)
    letters = _letters(setups.values())
    texts = {}
    for key, parts in setups.items():
        text = " · ".join(parts)
        texts[key] = f"{letters[parts]}: {text}" if len(parts) > SPELT_OUT else text
    return texts


def lettered_setups(configs: Mapping[str, RunConfig]) -> list[str]:
    """A line for each letter of `group_names`, ``"Setup A: block_end · lr 0.1"``; none where no letters are used."""
    texts = list(dict.fromkeys(group_setups(configs).values()))
    return [f"Setup {text}" for text in texts if re.match(r"[A-Z]\d*: ", text)]


def _differences(configs: Mapping[str, RunConfig]) -> tuple[dict[str, list[str]], dict[str, tuple[str, ...]]]:
    """The settings that differ between the groups, in words: for each group those of its attention, and the others."""
    flat = {key: _flat(config) for key, config in configs.items()}
    differing = [name for name in _union(flat.values()) if len({repr(tree.get(name)) for tree in flat.values()}) > 1]
    own: dict[str, list[str]] = {}
    setups: dict[str, tuple[str, ...]] = {}
    for key, config in configs.items():
        values = {name: _part(name, flat[key].get(name), config) for name in differing if name not in _NAMED}
        own[key] = [part for name, part in values.items() if name.startswith("model.attention_options.") and part]
        setups[key] = tuple(part for name, part in values.items() if not name.startswith("model.attention_options."))
    return own, setups


def _letters(setups: Iterable[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """A, B, ... Z, A2, B2, ... for each distinct setup, in order of first appearance."""
    distinct = dict.fromkeys(setups)
    return {
        setup: ascii_uppercase[index % 26] + (str(index // 26 + 1) if index >= 26 else "")
        for index, setup in enumerate(distinct)
    }


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
