"""Writes lib/colour_tables.js, so that the browser draws with the very colours of `attnlab.viz.colour`.

python -m attnlab.ui.components.colour_tables
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

from attnlab.maps import FACTOR_REACH, SOFTMAX_TOP
from attnlab.viz.colour import DIVERGING, TITLES, table

PATH = Path(__file__).parent / "lib" / "colour_tables.js"


def text() -> str:
    """The module: the title and the 256 RGB colours of each map, those of factors, and where the fixed scales end."""
    tables = {name: {"title": title, "rgb": _rgb(name)} for name, title in TITLES.items()}
    return (
        "// @ts-check\n"
        "// Written by attnlab/ui/components/colour_tables.py from attnlab/viz/colour.py; edit those.\n\n"
        "/** @type {Record<string, { title: string, rgb: string }>} 256 RGB colours in base64 */\n"
        f"export const COLOUR_TABLES = {json.dumps(tables, indent=2)};\n\n"
        "/** On the fixed scale, softmax weights reach from 0 to this many times the uniform weight. */\n"
        f"export const SOFTMAX_TOP = {SOFTMAX_TOP:g};\n\n"
        "/** On the fixed scale, factors reach this far to both sides of the value that changes nothing. */\n"
        f"export const FACTOR_REACH = {FACTOR_REACH:g};\n\n"
        "/** The colours of factors: one side below the value that changes nothing, the other above it. */\n"
        f"export const DIVERGING = {json.dumps({'title': 'blue to orange', 'rgb': _rgb(DIVERGING)}, indent=2)};\n"
    )


def _rgb(name: str) -> str:
    return base64.b64encode(table(name).tobytes()).decode()


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
