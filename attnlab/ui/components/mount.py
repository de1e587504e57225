"""A folder of this package as a Streamlit component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import streamlit as st

from attnlab.ui.components.modules import HERE, buttons, joined, style


class Mount(Protocol):
    """Puts the component on the page, see `st.components.v2.component`; returns what the browser has sent."""

    def __call__(self, *, key: str, data: Any, **options: Any) -> Any: ...


def mount(folder: str, entry: str = "", *, parts: Sequence[str] = ()) -> Mount:
    """The component whose entry module is ``<folder>/<entry>.js``, with markup and style of the same name where there are any.

    Args:
        entry: the name of the folder unless said otherwise.
        parts: other components that are parts of this one, whose style it has too.

    Raises:
        ModuleError: when its modules cannot be joined.
    """
    entry = entry or folder
    markup = HERE / folder / f"{entry}.html"
    html = markup.read_text(encoding="utf-8") if markup.exists() else "<div></div>"
    css = "\n".join([buttons(), *map(style, parts), style(folder, entry)]).strip()
    return st.components.v2.component(f"attnlab_{entry}", html=html, css=css, js=joined(HERE / folder / f"{entry}.js"))
