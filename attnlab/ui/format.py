"""Numbers as a person reads them, and text that people typed as it is."""

from __future__ import annotations

import re

from attnlab.readable import readable
from attnlab.training.budget import duration as duration

_JOINER = "\u2060"
"""Has no width, and parts what Streamlit would replace after it has read the Markdown, where a backslash does not help."""

_REPLACED = re.compile(
    r"""
    (?<=http)(s?:)(?=//)            # addresses become links
    | (?<=\bwww)()(?=\.)
    | (?<=[-.\w+])(@)(?=[-\w])
    | (:)(?=[-+\w]+:|material/)     # emoji, the logo, symbols
    | (?<!\S)(<(?=->)|[-<>=~](?=[->=]))(?=\S{1,2}(?!\S))  # arrows, dashes and signs of comparison
    """,
    re.IGNORECASE | re.VERBOSE,
)
_MARKS = frozenset(r"\`*_{}[]()#+-.!|<>~$:=&")


def plain(text: str) -> str:
    """Text from people, kept from being read as Markdown, HTML or an address, and made `readable`. Line breaks stay."""
    parted = _REPLACED.sub(lambda found: found[0] + _JOINER, readable(text))
    lines = (line.lstrip(" \t") for line in parted.split("\n"))  # indented text would be a block of code
    return "\n".join("".join(f"\\{letter}" if letter in _MARKS else letter for letter in line) for line in lines)
