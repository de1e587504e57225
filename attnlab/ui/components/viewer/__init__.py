"""The attention viewer: a canvas that gets images and maps once and is scrubbed, hovered and compared without the server.

The same modules serve Streamlit and the page that works from a file without network (`offline_page`). A rerun with unchanged
panels sends no map again.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from attnlab.maps import derived
from attnlab.ui.components.modules import joined
from attnlab.ui.components.mount import HERE, mount, style
from attnlab.viz.panels import Layer, Panel, pack

TELLING_POSITIONS = 16
"""A map with fewer cells says little of where."""

_mount = mount("viewer")


def viewer(
    panels: Sequence[Panel],
    *,
    key: str,
    compact: bool = False,
    autoplay: bool = False,
    link: bool = False,
    sync: str = "",
    first: str | None = None,
    tells: bool = False,
    initial: Mapping[str, Any] | None = None,
) -> None:
    """Shows the panels side by side, with one cross-hair and one set of controls.

    Args:
        key: stays the same as long as a person would say it is the same viewer; sliders keep their place then.
        compact: only the pictures, their numbers and the time-lapse; for pages that explain something else.
        autoplay: plays the time-lapse at once, unless the browser is asked to reduce motion.
        link: the view is kept in the page's address and can be copied as a link. At most one viewer of a page.
        sync: a name shared with a chart of the same run; both follow each other's training step.
        first: name of the layer that is shown until a person chooses one; `first_layer` decides where it is `None` or absent.
        tells: the browser tells which layer is shown, at once and after each change, see `layers_in_view`.
        initial: the view at first, by the names in view.js (``opacity``, ``blend``, ``scope`` ...).

    Raises:
        ValueError: when a panel's arrays do not fit together.
    """
    meta, content = pack(panels)
    options = {"compact": compact, "autoplay": autoplay, "link": link, "sync": sync, "initial": dict(initial or {})}
    options["first"] = first_layer(panels, first)
    shown = {"id": _digest(meta, content.tobytes(), options), "meta": meta, "options": options, "bytes": content}
    _mount(key=key, data=shown | {"tells": tells}, default={"layers": None}, on_layers_change=lambda: None)


def layers_in_view(key: str) -> list[str]:
    """Names of the layers that the viewer with this key has told are shown, one per panel; none before it told."""
    told = (st.session_state.get(key) or {}).get("layers")
    return [str(name) for name in told] if isinstance(told, list) else []


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


def first_layer(panels: Sequence[Panel], wanted: str | None = None) -> int:
    """Place of the layer that the viewer begins with, in the list of the panel with the most layers.

    The wanted one; else the deepest that can be laid over the picture and has enough positions to show a place; else the
    deepest that can be laid over it at all. Of weights that act together the product, sum or mean counts as the deepest.
    """
    layers: Sequence[Layer] = max((panel.layers for panel in panels), key=len, default=())
    made = [derived(each.name) for each in layers]
    over = [at for at, each in enumerate(layers) if each.kind.placed and ((one := made[at]) is None or one.weights)]
    telling = [at for at in over if math.prod(layers[at].grid) >= TELLING_POSITIONS]
    named = [at for at, each in enumerate(layers) if each.name == wanted]
    return (named or telling or over or [0])[-1]


def _digest(meta: Mapping[str, Any], content: bytes, options: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(json.dumps([meta, options], sort_keys=True).encode())
    return digest.hexdigest()


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
