"""Parameters, operations and memory as functions of the width and the options, counted anew at every setting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from attnlab.attention import Variant, get_attention
from attnlab.explain.anatomy import BlockCost, block_cost, cost_by_channels, network_cost
from attnlab.maps import MapKind
from attnlab.models import ImageShape, Network, get_model
from attnlab.ui.format import plain
from attnlab.viz.cost_figure import growth

CHANNELS = (16, 32, 64, 128, 256, 512)
SIDES = (8, 14, 16, 28, 32, 56)
BYTES = 4
"""Of a number."""


def block_costs(variant: Variant) -> None:
    """What a block costs, with a slider for the channels, the side of the map, and each option."""
    st.subheader("What it costs", anchor=False)
    with st.container(horizontal=True):
        channels = st.select_slider("Channels C", CHANNELS, value=64, key="anatomy.channels", width=210)
        side = st.select_slider("Side of the map", SIDES, value=16, key="anatomy.side", width=210)
        options = _options(variant.name, variant.options, {**variant.defaults, **variant.new_runs})
    try:
        now = block_cost(variant, channels, side, options)
    except ValueError as error:
        st.info(plain(str(error)), icon=":material/info:")
        return
    _numbers(now)
    by_channels = _by_channels(variant.name, side, tuple(options.items()))
    charts = st.columns(2, gap="large")
    with charts[0]:
        _chart("parameters", {count: cost.parameters for count, cost in by_channels.items()}, channels)
    with charts[1]:
        if MapKind.PAIRWISE in variant.kinds:
            _memory(now, channels, side)
        elif now.sizes and len({tuple(cost.sizes.values()) for cost in by_channels.values()}) > 1:
            name = next(name for name in now.sizes if len({cost.sizes.get(name) for cost in by_channels.values()}) > 1)
            _chart(name, {count: cost.sizes.get(name, 0) for count, cost in by_channels.items()}, channels)
        else:
            _chart("operations (FLOPs)", {count: cost.flops for count, cost in by_channels.items()}, channels)


def network_costs(network: Network) -> None:
    """As `block_costs`, of a whole network without a variant."""
    st.subheader("What it costs", anchor=False)
    least = max(network.min_size, network.multiple)
    sides = [side for side in (32, 64, 96, 128, 224) if side >= least and side % network.multiple == 0] or [least]
    widths = sorted({max(network.width // 2, 1), network.width, 2 * network.width})
    with st.container(horizontal=True):
        width = st.select_slider("Width", widths, value=network.width, key=f"anatomy.width.{network.name}", width=210)
        side = (
            st.select_slider("Side of the picture", sides, value=sides[0], key=f"anatomy.picture.{network.name}", width=210)
            if len(sides) > 1
            else sides[0]
        )
        options = _options(network.name, network.options, network.defaults)
    found: dict[int, BlockCost] = {}
    for each in widths:
        try:
            found[each] = _network(network.name, side, each, tuple(options.items()))
        except (ValueError, RuntimeError) as error:
            if each == width:
                st.info(plain(str(error)), icon=":material/info:")
    if width not in found:
        return
    _numbers(found[width])
    charts = st.columns(2, gap="large")
    with charts[0]:
        _chart("parameters", {each: cost.parameters for each, cost in found.items()}, width, of="width")
    with charts[1]:
        _chart("operations (FLOPs)", {each: cost.flops for each, cost in found.items()}, width, of="width")


@st.cache_data(max_entries=256, show_spinner=False)
def _by_channels(name: str, side: int, options: tuple[tuple[str, Any], ...]) -> dict[int, BlockCost]:
    return cost_by_channels(get_attention(name), CHANNELS, side, dict(options))


@st.cache_data(max_entries=256, show_spinner="Counting")
def _network(name: str, side: int, width: int, options: tuple[tuple[str, Any], ...]) -> BlockCost:
    return network_cost(get_model(name), ImageShape(3, side, side), width, dict(options))


def _options(owner: str, offered: Mapping[str, tuple[Any, ...]], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """A slider for each option, over the values it offers."""
    found = {}
    for name, values in offered.items():
        words = name.replace("_", " ")
        found[name] = st.select_slider(
            words, _ordered(values), value=chosen[name], format_func=_word, key=f"anatomy.{owner}.{name}", width=210
        )
    return found


def _ordered(values: tuple[Any, ...]) -> list[Any]:
    """Numbers by size, with words behind them; the way they are offered otherwise."""
    numbers = sorted(each for each in values if isinstance(each, int | float) and not isinstance(each, bool))
    return [*numbers, *(each for each in values if each not in numbers or isinstance(each, bool))]


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _numbers(cost: BlockCost) -> None:
    with st.container(horizontal=True):
        st.metric("Parameters", f"{cost.parameters:,}", width="content")
        st.metric(
            "Operations for one image",
            f"{cost.flops:,}",
            width="content",
            help="Of products and convolutions; a multiplication with an addition counts as two.",
        )
        for name, size in cost.sizes.items():
            st.metric(name, f"{size:,}", width="content")


def _chart(what: str, values: Mapping[int, int], now: int, of: str = "channels") -> None:
    grows = all(value > 0 for value in values.values())
    st.plotly_chart(
        growth(list(values), {what: list(values.values())}, of=of, unit=what, now=now, logarithmic=grows),
        key=f"anatomy.chart.{what}",
        alt=f"{what} by {of}: " + ", ".join(f"{x}: {y:,}" for x, y in values.items()),
    )


def _memory(now: BlockCost, channels: int, side: int) -> None:
    """The map of all pairs, if it were held, beside the features, which grow with the number of positions only."""
    pairs = {each: now.pairs * each**4 // side**4 * BYTES for each in SIDES}
    features = {each: channels * each * each * BYTES for each in SIDES}
    lines = {"map of all pairs, if it were held": list(pairs.values()), "features of the block": list(features.values())}
    st.plotly_chart(
        growth(SIDES, lines, of="side of the map", unit="bytes for one image", now=side),
        key="anatomy.chart.memory",
        alt="Bytes by side of the map: "
        + ", ".join(f"{each}: map {pairs[each]:,}, features {features[each]:,}" for each in SIDES),
    )
    st.caption(
        f"At {side} × {side} positions the map would take {pairs[side]:,} bytes, {pairs[side] / features[side]:,.1f} times the "
        "features. It grows with the square of the number of positions. The block never holds it whole unless it is looked at."
    )
