"""Numbers as a person reads them, and text that people typed as it is."""

from __future__ import annotations

from attnlab.training.budget import duration as duration


def plain(text: str) -> str:
    """Text from people, kept from being read as Markdown."""
    return "".join(f"\\{letter}" if letter in r"\`*_{}[]()#+-.!|<>~$:" else letter for letter in text)
