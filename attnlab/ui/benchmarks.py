"""What was measured of a variant, and what it needs to be fast: its page of the documentation, beside its options.

A variant has such a page when it has docs/<variant>.md; a figure that stands in it is shown in its place.
"""

from __future__ import annotations

import re

import streamlit as st

from attnlab import paths


def measured(variant: str, key: str) -> None:
    """An expander with the page; nothing where there is none.

    Args:
        key: prefix of the expander's key.
    """
    page = paths.FIGURES.parent / f"{variant}.md"
    if not page.exists():
        return
    with st.expander(
        "Measured: memory, time, and the kernel that runs", icon=":material/speed:", key=f"{key}.measured.{variant}"
    ):
        for part in re.split(r"(!\[.*?\]\(.*?\))", page.read_text()):
            if picture := re.fullmatch(r"!\[(.*?)\]\((.*?)\)", part):
                st.image(str(page.parent / picture[2]), caption=picture[1], width="stretch")
            else:
                st.markdown(_in_place(part))


def _in_place(text: str) -> str:
    """Headings as bold lines, and links to other files of the documentation as text: they lead nowhere on a page."""
    text = re.sub(r"^# .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^#+ (.*)$", r"**\1**", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
