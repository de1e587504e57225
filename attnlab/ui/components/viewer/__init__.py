"""The attention viewer: a canvas that gets images and maps once and is scrubbed, hovered and compared without the server.

The JavaScript lies in several text files that are joined here into one module, the same for Streamlit and for the page
that works from a file without network (`hand_out`). A rerun with unchanged panels sends no map again.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from attnlab.viz.colour import SOFTMAX_TOP, TITLES, table
from attnlab.viz.panels import Panel, pack

_HERE = Path(__file__).parent
_PARTS = (
    *("maths", "field", "gif", "card", "numbers", "channel_strip", "controls"),
    *("viewer", "bars", "gestures", "save", "viewer_mount"),
)


def colour_constants() -> str:
    """The colour maps and the top of the absolute scale, as the first lines of a module that draws weights."""
    tables = {name: {"title": title, "rgb": base64.b64encode(table(name).tobytes()).decode()} for name, title in TITLES.items()}
    return f"const COLOUR_TABLES = {json.dumps(tables)};\nconst SOFTMAX_TOP = {SOFTMAX_TOP};\n"


def module_text() -> str:
    """The viewer as the text of one ES module, with the colour tables in it."""
    return colour_constants() + "\n".join((_HERE / f"{part}.js").read_text(encoding="utf-8") for part in _PARTS)


_CSS = "\n".join((_HERE / f"{part}.css").read_text(encoding="utf-8") for part in ("viewer", "viewer_controls"))
_mount = st.components.v2.component(
    "attnlab_viewer", html=(_HERE / "viewer.html").read_text(encoding="utf-8"), css=_CSS, js=module_text()
)


def viewer(
    panels: Sequence[Panel],
    *,
    key: str,
    compact: bool = False,
    autoplay: bool = False,
    link: bool = False,
    report: bool = False,
    sync: str = "",
    initial: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Shows the panels side by side, with one cross-hair and one set of controls.

    Args:
        key: stays the same as long as a person would say it is the same viewer; sliders keep their place then.
        compact: only the pictures, their numbers and the time-lapse; for pages that explain something else.
        autoplay: plays the time-lapse at once, unless the browser is asked to reduce motion.
        link: the view is kept in the page's address and can be copied as a link. At most one viewer of a page.
        report: returns the view after each gesture, at the price of a rerun each time.
        sync: a name shared with a chart of the same run; both follow each other's training step.
        initial: the view at first, by the names in viewer_controls.js (``opacity``, ``blend``, ``scope`` ...).

    Raises:
        ValueError: when a panel's arrays do not fit together.
    """
    meta, content = pack(panels)
    options = {
        "compact": compact,
        "autoplay": autoplay,
        "link": link,
        "report": report,
        "sync": sync,
        "initial": dict(initial or {}),
    }
    data = {"id": _digest(meta, content.tobytes(), options), "meta": meta, "options": options, "bytes": content}
    result = _mount(key=key, data=data, default={"view": None}, on_view_change=_ignore)
    return result.get("view")


def hand_out(panels: Sequence[Panel], *, title: str, note: str = "", initial: Mapping[str, Any] | None = None) -> str:
    """One HTML page with the panels and the working viewer in it; it needs no server and no network.

    Raises:
        ValueError: when a panel's arrays do not fit together.
    """
    meta, content = pack(panels)
    payload = {"id": "hand-out", "meta": meta, "options": {"initial": dict(initial or {})}}
    # "<" cannot end the script element when it is written as an escape
    written = json.dumps(payload).replace("<", "\\u003c")
    return _PAGE.format(
        title=html.escape(title),
        note=html.escape(note),
        css=_CSS,
        module=module_text(),
        payload=written,
        bytes=base64.b64encode(content.tobytes()).decode(),
    )


def _digest(meta: Mapping[str, Any], content: bytes, options: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(json.dumps([meta, options], sort_keys=True).encode())
    return digest.hexdigest()


def _ignore() -> None:
    """Streamlit wants a callback for each state; the page reads the returned view instead."""


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{
  color-scheme: light dark;
  --st-font: system-ui, sans-serif; --st-heading-font: Georgia, serif; --st-code-font: monospace;
  --st-base-radius: 6px; --st-button-radius: 6px; --st-primary-color: #1f6f80;
  --st-text-color: #1c2733; --st-background-color: #fdfdfb; --st-secondary-background-color: #f2f3ef;
  --st-border-color: #dcdfd9; --st-green-color: #00805e; --st-orange-color: #b45300; --st-gray-color: #6b7681;
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --st-primary-color: #2c8596; --st-text-color: #e4e9ec; --st-background-color: #0f151b;
    --st-secondary-background-color: #18212a; --st-border-color: #2b3640;
    --st-green-color: #3fc79a; --st-orange-color: #f0944d; --st-gray-color: #93a0ab;
  }}
}}
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem; font: 15px/1.5 var(--st-font);
  color: var(--st-text-color); background: var(--st-background-color); }}
h1 {{ font: 600 1.7rem/1.2 var(--st-heading-font); }}
{css}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
<section id="viewer" aria-label="Attention viewer"></section>
<script type="module">
{module}
const bytes = Uint8Array.from(atob("{bytes}"), (letter) => letter.charCodeAt(0));
mountViewer(document.getElementById("viewer"), {{ ...{payload}, bytes }});
</script>
</body>
</html>
"""
