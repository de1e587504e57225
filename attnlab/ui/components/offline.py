"""The page with the working viewer in it: one file, which needs no server, no network and no Streamlit."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

from attnlab.ui.components.modules import HERE, joined, style
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Panel, pack


def offline_page(
    panels: Sequence[Panel],
    *,
    title: str,
    note: str = "",
    first: str | None = None,
    initial: Mapping[str, Any] | None = None,
) -> str:
    """One HTML page with the panels and the working viewer in it; it needs no server and no network.

    Raises:
        ValueError: when a panel's arrays do not fit together.
    """
    meta, content = pack(panels)
    payload = {"id": "offline", "meta": meta, "options": {"first": first_layer(panels, first), "initial": dict(initial or {})}}
    # "<" cannot end the script element when it is written as an escape
    written = json.dumps(payload).replace("<", "\\u003c")
    return _PAGE.format(
        title=html.escape(title),
        note=html.escape(note),
        css=style("viewer"),
        module=joined(HERE / "viewer" / "viewer.js"),
        payload=written,
        bytes=base64.b64encode(content.tobytes()).decode(),
    )


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
mountViewer(document.getElementById("viewer"), {payload}, fromBase64("{bytes}"));
</script>
</body>
</html>
"""
