"""Figures of a search: its history, the importance of its options, and the results by the values of an option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

import plotly.graph_objects as go

from attnlab.viz.figures import layout, plain
from attnlab.viz.palette import colour

FINISHED = {"size": 9, "color": colour(0), "opacity": 0.7}
STOPPED = {"size": 9, "color": colour(1), "symbol": "x-thin-open"}


def history_figure(finished: Mapping[int, float], stopped: Mapping[int, float], hover: Mapping[int, str]) -> go.Figure:
    """Validation accuracy of each trial, and the best finished trial so far as a line.

    Args:
        finished: number -> validation accuracy.
        stopped: number -> the validation accuracy a trial had when it was stopped early.
        hover: number -> text under the cursor.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=list(finished),
        y=list(accumulate(finished.values(), max)),
        mode="lines",
        line={"shape": "hv", "color": colour(0)},
        name="best so far",
        hoverinfo="skip",
    )
    for name, results, marker in (("finished", finished, FINISHED), ("stopped early", stopped, STOPPED)):
        if results:
            figure.add_scatter(
                x=list(results),
                y=list(results.values()),
                mode="markers",
                marker=marker,
                text=[plain(hover[number]) for number in results],
                hovertemplate=f"trial %{{x}}, {name}: %{{y:.1%}}<br>%{{text}}<extra></extra>",
                name=name,
            )
    figure.update_xaxes(title="trial", dtick=1 if len(finished) + len(stopped) <= 20 else None)
    figure.update_yaxes(title="validation accuracy", tickformat=".0%", rangemode="nonnegative")
    layout(figure, 300)
    return figure


def importance_figure(shares: Mapping[str, float]) -> go.Figure:
    """One bar per option, the most important on top."""
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
    figure.update_xaxes(title="importance (share of all options)", tickformat=".0%", range=[0, 1])
    layout(figure, 120 + 34 * len(names))
    return figure


def slice_figure(
    name: str, values: Sequence[object], finished: Sequence[tuple[object, float]], stopped: Sequence[tuple[object, float]]
) -> go.Figure:
    """Validation accuracy of each trial against its value of one option.

    Args:
        values: the option's values in their order.
        finished, stopped: (value, validation accuracy) of each trial, as in `history_figure`.
    """
    figure = go.Figure()
    for label, trials, marker in (("finished", finished, FINISHED), ("stopped early", stopped, STOPPED)):
        figure.add_scatter(
            x=[str(choice) for choice, _ in trials],
            y=[accuracy for _, accuracy in trials],
            mode="markers",
            marker=marker,
            hovertemplate=f"%{{x}}, {label}: %{{y:.1%}}<extra></extra>",
            showlegend=False,
        )
    order = [str(value) for value in values]
    figure.update_xaxes(
        title=plain(name), type="category", categoryorder="array", categoryarray=order, range=[-0.5, len(order) - 0.5]
    )
    figure.update_yaxes(tickformat=".0%", rangemode="nonnegative")
    layout(figure, 240)
    return figure
