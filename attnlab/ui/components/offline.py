"""The page with the working viewer in it: one file, which needs no server, no network and no Streamlit."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from attnlab.ui.components.modules import HERE, buttons, joined, style
from attnlab.ui.components.patient import Patient, surgery_data
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Panel, pack


@dataclass(frozen=True, eq=False)
class Laboratory:
    """A network in the page, to be operated on.

    Attributes:
        patient: what surgery works on; it names no file.
        network: the file of `attnlab.explain.in_browser.exported`.
        title: of the panel it belongs to.
    """

    patient: Patient
    network: bytes
    title: str


def offline_page(
    panels: Sequence[Panel],
    *,
    title: str,
    note: str = "",
    first: str | None = None,
    initial: Mapping[str, Any] | None = None,
    laboratory: Laboratory | None = None,
) -> str:
    """One HTML page with the panels and the working viewer in it; it needs no server and no network.

    Args:
        laboratory: the page has the network too, and a section in which its attention is changed.

    Raises:
        ValueError: when a panel's arrays do not fit together.
    """
    meta, content = pack(panels)
    payload = {"id": "offline", "meta": meta, "options": {"first": first_layer(panels, first), "initial": dict(initial or {})}}
    given = ['document.getElementById("viewer")', _literal(payload), _base64(content.tobytes())]
    folder, entry, call, section, sheets = "viewer", "viewer", "mountViewer", "", ["viewer"]
    if laboratory is not None:
        data = surgery_data(laboratory.patient, link=False, finds=False)
        picture = np.ascontiguousarray(laboratory.patient.image).tobytes()
        given += ['document.getElementById("surgery")', _literal(data), _base64(picture), _base64(laboratory.network)]
        folder, entry, call, section = (
            "surgery",
            "laboratory",
            "mountLaboratory",
            _SECTION.format(html.escape(laboratory.title)),
        )
        sheets += ["mask_editor", "before_after", "surgery"]
    return _PAGE.format(
        title=html.escape(title),
        note=html.escape(note),
        css="\n".join([buttons(), *map(style, sheets)]),
        module=joined(HERE / folder / f"{entry}.js"),
        section=section,
        call=f"{call}({', '.join(given)});",
    )


def _literal(tree: Mapping[str, Any]) -> str:
    """JSON in a script; "<" cannot end the script element when it is written as an escape."""
    return json.dumps(tree).replace("<", "\\u003c")


def _base64(content: bytes) -> str:
    return f'"{base64.b64encode(content).decode()}"'


_SECTION = """<h2>Surgery</h2>
<p>The network {} is in this file and runs in your browser. Change its attention, paint on a map, or let it look at a picture of
your own. Nothing is sent anywhere.</p>
<section id="surgery" aria-label="Surgery"></section>
"""
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
h2 {{ margin-top: 2.5rem; font: 600 1.3rem/1.2 var(--st-heading-font); }}
{css}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
<section id="viewer" aria-label="Attention viewer"></section>
{section}<script type="module">
{module}
{call}
</script>
</body>
</html>
"""
