"""What people read instead of the path of a tap: ``blocks.0.attention1.eca.tap`` -> ``block 1 · conv 1 · eca``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CONTAINERS = {"tap", "readout", "head", "gates", "attend", "attention", "features"}


def tap_titles(names: Sequence[str]) -> dict[str, str]:
    """A title for each tap of one network. What all of them share at the end (the variant) is left out.

    Args:
        names: paths of taps, as in `attnlab.attention.AttentionMap.name`; a tap used twice (two heads) ends in ``#2``.
    """
    parts = {name: _parts(name) for name in names}
    while len(parts) > 1 and all(len(each) > 1 for each in parts.values()) and len({each[-1] for each in parts.values()}) == 1:
        parts = {name: each[:-1] for name, each in parts.items()}
    return {name: " · ".join(each) or name for name, each in parts.items()}


def _parts(name: str) -> list[str]:
    path, _, use = name.partition("#")
    words: list[str] = []
    previous = ""
    for step in path.split("."):
        if step.isdigit():
            words.append(f"block {int(step) + 1}")
        elif place := re.fullmatch(r"attention(\d+)", step):
            words.append(f"conv {place[1]}")
        elif step == "attention_end":
            words.append("end")
        elif numbered := re.fullmatch(r"([a-z]+)(\d+)", step):
            words.append(f"{numbered[1]} {numbered[2]}")
        elif step not in _CONTAINERS and step != "blocks":
            words.append(f"{words.pop()} {step}" if previous == "variant" else step.replace("_", " "))
            previous = "variant"
    if use and words:
        words[-1] += f" ({use})"
    return words
