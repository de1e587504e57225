"""``attnlab list``: what a run can be made of."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from attnlab.cli.common import OK, Json, print_json, print_table

_SHOWN = (
    "name",
    "title",
    "summary",
    "paper",
    "source",
    "kinds",
    "placements",
    "options",
    "defaults",
    "identity",
    "why_no_identity",
    "class_names",
)


def list_(*, as_json: Json = False) -> int:
    """List the attention variants, networks and data sets to choose from, those of plug-ins included."""
    from attnlab.attention import list_attention
    from attnlab.data import list_datasets
    from attnlab.models import list_models
    from attnlab.plugins import failures

    kinds: dict[str, Mapping[str, Any]] = {"variants": list_attention(), "networks": list_models(), "datasets": list_datasets()}
    if as_json:
        tree: dict[str, Any] = {kind: [_tree(entry) for entry in entries.values()] for kind, entries in kinds.items()}
        return print_json(tree | {"broken_plugins": [asdict(failure) for failure in failures()]})
    for kind, entries in kinds.items():
        rows = [(name, entry.title, entry.summary, ", ".join(entry.options)) for name, entry in entries.items()]
        print_table((kind, "title", "", "options"), rows)
    able = [variant.name for variant in list_attention().values() if variant.identity]
    print(f"Variants that can start as the identity (--attention-start identity): {', '.join(able)}")
    for failure in failures():
        print(f"warning: {failure}", file=sys.stderr)
    return OK


def _tree(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in _SHOWN if hasattr(entry, name)}
