"""The columns of a table of groups, for Compare and Reproduce."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import streamlit as st

PINNED = 265
"""Pixels of the column that names the rows."""


def column_config(
    titles: Mapping[str, str],
    formats: Mapping[str, str],
    *,
    pinned: str,
    help: Mapping[str, str] | None = None,
    verdict: Literal["medium", "large"] | int = "large",
) -> dict[str, Any]:
    """Streamlit's description of each column: numbers where there is a format, text elsewhere.

    Args:
        titles: column -> heading.
        formats: column -> how its numbers are written.
        pinned: the column that stays in view when the table is scrolled.
        help: column -> what its heading explains.
        verdict: width of the column ``verdict``.
    """
    helps = help or {}
    config: dict[str, Any] = {}
    for name, title in titles.items():
        if name in formats:
            config[name] = st.column_config.NumberColumn(title, format=formats[name], help=helps.get(name))
        else:
            width: Literal["medium", "large"] | int = verdict if name == "verdict" else PINNED if name == pinned else "medium"
            config[name] = st.column_config.TextColumn(title, width=width, pinned=name == pinned, help=helps.get(name))
    return config
