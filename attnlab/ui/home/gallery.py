"""The registered variants as cards. They need torch, so on the first page they appear once it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from attnlab.maps import MapKind
from attnlab.ui import warmup

if TYPE_CHECKING:
    from attnlab.attention import Variant

KIND_BADGES = {
    MapKind.CHANNEL: ":blue-badge[one weight per channel]",
    MapKind.SPATIAL: ":green-badge[one weight per position]",
    MapKind.ELEMENT: ":violet-badge[one weight per value]",
    MapKind.PAIRWISE: ":orange-badge[each position attends to all positions]",
    MapKind.BRANCH: ":red-badge[each channel chooses between branches]",
}

KIND_WORDS = {
    MapKind.CHANNEL: "channels",
    MapKind.SPATIAL: "positions",
    MapKind.ELEMENT: "single values",
    MapKind.PAIRWISE: "pairs of positions",
    MapKind.BRANCH: "branches",
}


def variant_gallery() -> None:
    """Shows the cards, now or as soon as the registry can be read."""
    if warmup.ready():
        _cards()
    else:
        st.fragment(_when_ready, run_every=0.5)()


def _when_ready() -> None:
    if warmup.ready():
        st.rerun()
    with st.grid(3, min_column_width=260):
        for _ in range(3):
            st.skeleton(height=190)


def _cards() -> None:
    from attnlab.attention import list_attention

    variants = list_attention()
    of_kind = {kind: [name for name, variant in variants.items() if kind in variant.kinds] for kind in KIND_WORDS}
    chosen = st.segmented_control(
        "Variants that weigh",
        list(KIND_WORDS),
        default=MapKind.CHANNEL,
        required=True,
        format_func=lambda kind: f"{KIND_WORDS[kind]} ({len(of_kind[kind])})",
        key="home.kind",
    )
    with st.grid(3, min_column_width=280, border=True) as grid:
        for name in of_kind[chosen]:
            with grid.cell():
                variant_card(variants[name])


def variant_card(variant: Variant) -> None:
    """What a variant is, with links to train it, to take it apart, and to its paper."""
    badges = " ".join(KIND_BADGES[kind] for kind in dict.fromkeys(variant.kinds))
    st.markdown(f"**{variant.title}** &nbsp; {badges}")
    st.markdown(variant.summary)
    st.markdown(f"${variant.formula}$")
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.page_link(
            "pages/train.py", label="Train it", icon=":material/play_circle:", query_params={"attention": variant.name}
        )
        st.page_link(
            "pages/anatomy.py", label="Take it apart", icon=":material/account_tree:", query_params={"variant": variant.name}
        )
        if variant.paper.startswith("http"):
            st.link_button("Paper", variant.paper, type="tertiary", icon=":material/open_in_new:")
