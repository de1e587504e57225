"""Figures of a search: its history, what its options explain, and the results by each option's values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import plotly.graph_objects as go

from attnlab.viz.figures import layout, plain
from attnlab.viz.palette import colour


def history_figure(numbers: Sequence[int], values: Sequence[float], told: Sequence[str], stopped: Sequence[int]) -> go.Figure:
    """Validation accuracy of each finished trial, the best so far as a line, and the stopped ones as ticks below.

    Args:
        numbers, values, told: of the finished trials; what is said under the cursor.
        stopped: numbers of the trials that were stopped early.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=list(numbers),
        y=list(accumulate(values, max)),
        mode="lines",
        line={"shape": "hv", "color": colour(0)},
        name="best so far",
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=list(numbers),
        y=list(values),
        mode="markers",
        marker={"size": 9, "color": colour(0)},
        text=[plain(text) for text in told],
        hovertemplate="trial %{x}: %{y:.1%}<br>%{text}<extra></extra>",
        name="finished",
    )
    if stopped:
        low = min(values, default=0.0)
        figure.add_scatter(
            x=list(stopped),
            y=[low] * len(stopped),
            mode="markers",
            marker={"symbol": "x-thin-open", "size": 9, "color": colour(1)},
            hovertemplate="trial %{x}: stopped early<extra></extra>",
            name="stopped early",
        )
    figure.update_xaxes(title="trial", dtick=1 if len(numbers) + len(stopped) <= 20 else None)
    figure.update_yaxes(title="validation accuracy", tickformat=".0%", rangemode="nonnegative")
    layout(figure, 300)
    return figure


def importance_figure(shares: Mapping[str, float]) -> go.Figure:
    """A bar for each option, the largest on top."""
    names = sorted(shares, key=lambda name: shares[name])
    figure = go.Figure(
        go.Bar(
            x=[shares[name] for name in names],
            y=[plain(name) for name in names],
            orientation="h",
            marker={"color": colour(0)},
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(title="share of what the options explain", tickformat=".0%", range=[0, 1])
    layout(figure, 120 + 34 * len(names))
    return figure


def slice_figure(name: str, values: Sequence[object], choices: Sequence[object], results: Sequence[float]) -> go.Figure:
    """The result of each finished trial above the value it had of one option.

    Args:
        values: the option's values in their order; choices, results: of the trials.
    """
    figure = go.Figure(
        go.Scatter(
            x=[str(choice) for choice in choices],
            y=list(results),
            mode="markers",
            marker={"size": 9, "color": colour(0), "opacity": 0.7},
            hovertemplate="%{x}: %{y:.1%}<extra></extra>",
        )
    )
    order = [str(value) for value in values]
    figure.update_xaxes(
        title=plain(name), type="category", categoryorder="array", categoryarray=order, range=[-0.5, len(order) - 0.5]
    )
    figure.update_yaxes(tickformat=".0%", rangemode="nonnegative")
    layout(figure, 240)
    return figure
