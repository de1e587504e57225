"""The benchmarks of a variant, beside its options: the page of the documentation about it.

A variant has such a page when there is a docs/<variant>.md; figures are shown where they stand in it.
"""

from __future__ import annotations

import re

import streamlit as st

from attnlab import paths


def benchmark_page(variant: str, key: str) -> None:
    """An expander with the page; nothing where the variant has none.

    Args:
        key: prefix of the expander's key.
    """
    page = paths.DOCS / f"{variant}.md"
    if not page.exists():
        return
    with st.expander("Benchmarks: memory, time and the kernel used", icon=":material/speed:", key=f"{key}.measured.{variant}"):
        for part in re.split(r"(!\[.*?\]\(.*?\))", page.read_text()):
            if picture := re.fullmatch(r"!\[(.*?)\]\((.*?)\)", part):
                st.image(str(page.parent / picture[2]), caption=picture[1], width="stretch", alt=picture[1])
            else:
                st.markdown(_as_section(part))


def _as_section(text: str) -> str:
    """Headings as bold lines, and links to other files of the documentation as plain text, since they lead nowhere here."""
    text = re.sub(r"^# .*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^#+ (.*)$", r"**\1**", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)
