"""What people read instead of the path of a tap: ``blocks.0.attention1.eca.tap`` -> ``block 1 · conv 1 · eca``."""

from __future__ import annotations

import re
from collections.abc import Sequence

_CONTAINERS = {"tap", "readout", "head", "gates", "attend", "attention", "features"}


def tap_titles(names: Sequence[str]) -> dict[str, str]:
    """A title for each tap of one network. Words that all of them share (the variant, where there is one) are left out.

    Args:
        names: paths of taps, as in `attnlab.attention.AttentionMap.name`; a tap used twice (two heads) ends in ``#2``.
    """
    parts = {name: _parts(name) for name in names}
    shared = set.intersection(*(set(words) for words in parts.values())) if len(parts) > 1 else set()
    told = {name: [word for word in words if word not in shared] for name, words in parts.items()}
    return {name: " · ".join(told[name] or parts[name]) or name for name in parts}


def scalar_titles(names: Sequence[str]) -> dict[str, str]:
    """A title for each learned number of one network: ``blocks.0.attention1.gamma`` -> ``gamma · block 1 · conv 1``."""
    places = tap_titles([f"{name.rpartition('.')[0]}.tap" for name in names])
    return {name: f"{name.rpartition('.')[2]} · {places[name.rpartition('.')[0] + '.tap']}" for name in names}


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
