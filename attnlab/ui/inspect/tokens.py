"""A transformer as a whole on the Inspect page: all heads of all blocks, rollout, and what each token has become.

Nothing is computed while the section is folded. It is there for every network whose maps are attention of several layers over
the same tokens, see `attnlab.explain.transformers.layers`.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from attnlab.explain.token_maps import TOKEN_MAPS
from attnlab.explain.token_view import TokenView, view_tokens
from attnlab.maps import SOFTMAX_TOP
from attnlab.runs.records import RunRecord
from attnlab.ui.components.viewer import viewer
from attnlab.ui.format import plain
from attnlab.ui.inspect.network import Selection
from attnlab.ui.inspect.section import open_section
from attnlab.ui.run_cache import network_stamp, opened_network
from attnlab.viz.colour import DIVERGING
from attnlab.viz.overlay import own_range_overlay
from attnlab.viz.panels import Panel
from attnlab.viz.token_figures import distance_plot, tiles

GRID = "tokens.grid"
HEAD = "tokens.head"
MOST_SIMILAR = 10
"""Of grids with more patches along a side, the similarities of some positions are left out."""
CONFIG = {"displayModeBar": False}


def tokens_section(selection: Selection) -> None:
    """The section for one run; nothing when its network is no transformer."""
    record, panel = selection.records[0], selection.panels[0]
    if not any(item.name == "rollout" for item in panel.layers):
        return
    box = open_section("All blocks: heads, rollout and tokens", key="tokens", icon=":material/grid_view:")
    if box is None:
        return
    with box:
        view = _view(record, selection.images[0])
        if view is None:
            st.info("The blocks of this network have different numbers of heads, so they cannot be put into one grid.")
            return
        reads = "the class token looks" if view.class_token else "the patches that are classified look, on average"
        with _part("heads"):
            left, right = st.columns([3, 2], gap="large")
            with left:
                _heads(view, reads)
            with right:
                _enlarged(view, panel, record)
        with _part("together"):
            _all_layers(view, panel, selection.images[0])
        with _part("distances"):
            _distances(view)
        if view.patches is not None:
            with _part("patches"):
                _patches(view, panel)
        if view.lengths is not None:
            with _part("lengths"):
                _lengths(view)
        if view.similarity is not None:
            with _part("positions"):
                _positions(view)


def _part(name: str) -> DeltaGenerator:
    """A place of its own for one part of the section."""
    return st.container(key=f"tokens-part-{name}")


def _heads(view: TokenView, reads: str) -> None:
    st.markdown("#### Every head of every block")
    layers, heads = view.rows.shape[:2]
    st.plotly_chart(
        tiles(
            view.rows,
            [f"block {at + 1}" for at in range(layers)],
            [f"head {at + 1}" for at in range(heads)],
            (0.0, SOFTMAX_TOP),
            title="× uniform",
        ),
        key=GRID,
        on_select=_choose_clicked,
        selection_mode="points",
        config=CONFIG,
        alt="What each head of each block attends to",
    )
    st.caption(
        f"Each small map shows where {reads}: 1 is the weight of uniform attention over the patches, and the colours end "
        f"at {SOFTMAX_TOP:g}. All heads are shown, none is picked. Click a map to enlarge it."
    )


def _choose_clicked() -> None:
    """The map that was clicked becomes the enlarged one."""
    points = (st.session_state.get(GRID) or {}).get("selection", {}).get("points", [])
    places = [point["customdata"] for point in points if len(point.get("customdata") or ()) == 2]
    if places:
        st.session_state[HEAD] = (int(places[-1][0]), int(places[-1][1]))


def _enlarged(view: TokenView, panel: Panel, record: RunRecord) -> None:
    layers, heads = view.rows.shape[:2]
    offered = [(layer, head) for layer in range(layers) for head in range(heads)]
    if st.session_state.get(HEAD) not in offered:
        st.session_state[HEAD] = offered[-1]
    layer, head = st.selectbox(
        "Enlarged", offered, format_func=lambda place: f"block {place[0] + 1} · head {place[1] + 1}", key=HEAD
    )
    name = view.map_name(layer, head)
    shown = [item for item in panel.layers if item.name == name]
    viewer(
        [replace(panel, layers=shown, probabilities=None, title=f"block {layer + 1} · head {head + 1}", subtitle="")],
        key="tokens.enlarged",
        compact=True,
        initial={"pair": "token" if view.class_token else "row"},
    )
    st.caption(
        "To see what a single patch attends to, choose this head in the viewer above and point at the patch; *class token* "
        "there shows the row that is drawn here."
        if view.class_token
        else "Point at a patch to see what it attends to."
    )


def _all_layers(view: TokenView, panel: Panel, image: Tensor) -> None:
    st.markdown("#### All blocks put together")
    picture = image.permute(1, 2, 0).numpy()
    with st.container(horizontal=True, gap="small"):
        for name, placed in view.maps.items():
            with st.container(width=190):
                st.markdown(f"**{TOKEN_MAPS[name].title}**")
                drawn = own_range_overlay(picture, placed.on(image[None])[0].numpy(), side=176)
                st.image(drawn, width=184, alt=f"{TOKEN_MAPS[name].title} over the picture")
                st.caption(f"{TOKEN_MAPS[name].meaning[0].upper()}{TOKEN_MAPS[name].meaning[1:]}.")
    predicted = int(np.atleast_2d(np.asarray(panel.probabilities))[-1].argmax())
    st.caption(
        f"Each map is stretched to its own range. The class is the predicted one, {plain(panel.classes[predicted])}. None of "
        "these maps is an explanation by itself: *Honesty* below measures them against simple baselines, "
        "a random one among them."
    )


def _distances(view: TokenView) -> None:
    st.markdown("#### How far heads look")
    st.plotly_chart(distance_plot(view.distances, view.uniform), key="tokens.distances", config=CONFIG)
    st.caption(
        "The mean distance between a patch and what it attends to, on this image, weighted by the attention. Heads of first "
        "blocks that look near work as convolutions do. Weight on tokens without a place counts as distance 0."
    )


def _patches(view: TokenView, panel: Panel) -> None:
    assert view.patches is not None
    st.markdown("#### What each patch would be classified as")
    predicted = int(np.atleast_2d(np.asarray(panel.probabilities))[-1].argmax())
    chosen = st.selectbox(
        "Class",
        range(len(panel.classes)),
        index=predicted,
        format_func=lambda at: plain(panel.classes[at]),
        key=f"tokens.class.{predicted}",
    )
    st.plotly_chart(
        tiles(
            view.patches[None, ..., chosen],
            [""],
            [f"block {at + 1}" for at in range(len(view.patches))],
            (0.0, 1.0),
            title="probability",
        ),
        key="tokens.patches",
        config=CONFIG,
    )
    st.caption(
        "The last norm and the classifier of the network, applied to each patch after each block. They were trained for what "
        "is classified at the end only, so this is a way to read the patches, and not what the network decides."
    )


def _lengths(view: TokenView) -> None:
    assert view.lengths is not None and view.others is not None
    st.markdown("#### How long the tokens are")
    st.plotly_chart(
        tiles(
            view.lengths[None],
            [""],
            [f"block {at + 1}" for at in range(len(view.lengths))],
            (0.0, float(view.lengths.max())),
            title="length",
        ),
        key="tokens.lengths",
        config=CONFIG,
    )
    ratio = view.lengths[-1].max() / np.median(view.lengths[-1])
    without = ", ".join(f"{value:.1f}" for value in view.others[-1])
    st.caption(
        f"After the last block the longest patch is {ratio:.1f} times as long as the median patch"
        + (f"; tokens without a place have lengths of {without}. " if without else ". ")
        + "Large vision transformers use a few patches, much longer than the others, to keep what concerns the whole picture "
        "([Darcet et al. 2024](https://arxiv.org/abs/2309.16588)); small ones mostly do not."
    )


def _positions(view: TokenView) -> None:
    assert view.similarity is not None
    st.markdown("#### Which positions the network takes to be alike")
    height, width = view.grid
    rows, columns = (range(0, count, max(1, -(-count // MOST_SIMILAR))) for count in (height, width))
    st.plotly_chart(
        tiles(
            view.similarity[np.ix_(list(rows), list(columns))],
            [f"row {at + 1}" for at in rows],
            [f"col {at + 1}" for at in columns],
            (-1.0, 1.0),
            title="cosine",
            colours=DIVERGING,
        ),
        key="tokens.positions",
        config=CONFIG,
    )
    st.caption(
        "Each small map belongs to one position and shows how similar its position embedding is to those of all others: 1 "
        "the same, 0 unrelated. A transformer without convolutions knows by this table alone where a patch lies."
    )


def _view(record: RunRecord, image: Tensor) -> TokenView | None:
    digest = hashlib.blake2b(image.numpy().tobytes(), digest_size=16).hexdigest()
    return _computed(str(record.folder), network_stamp(record), digest, record, image)


@st.cache_resource(max_entries=8, show_spinner=False)
def _computed(folder: str, stamp: int, digest: str, _record: RunRecord, _image: Tensor) -> TokenView | None:
    return view_tokens(opened_network(_record), _image[None])
