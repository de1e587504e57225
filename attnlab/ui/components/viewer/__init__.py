"""The attention viewer: a canvas that gets images and maps once and is scrubbed, hovered and compared without the server.

The same modules serve Streamlit and the page that works from a file without network (`attnlab.ui.components.offline`). A
rerun with unchanged panels sends no map again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from attnlab.ui.components.mount import mount
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Panel, pack

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


def _digest(meta: Mapping[str, Any], content: bytes, options: Mapping[str, Any]) -> str:
    digest = hashlib.blake2b(content, digest_size=16)
    digest.update(json.dumps([meta, options], sort_keys=True).encode())
    return digest.hexdigest()
