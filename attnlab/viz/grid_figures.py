"""Figures of grids: the state of every cell, differences with their intervals, accuracy against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from attnlab.viz.figures import Series, add_mean, layout, plain, wrapped
from attnlab.viz.palette import colour

STATES = ("waiting", "queued", "starting", "running", "paused", "stopped", "interrupted", "failed", "finished")
_COLOURS = ("#c9ced3", "#a5b4c4", "#7fb4dd", "#1f83c4", "#e0b64a", "#b58900", "#c1689a", "#d55e00", "#009e73")

MOST_WRITTEN = 8
"""With more seeds than this there is no room for text in the squares."""


def progress_matrix(
    rows: Sequence[str],
    seeds: Sequence[int],
    states: Mapping[tuple[str, int], str],
    hover: Mapping[tuple[str, int], str],
    text: Mapping[tuple[str, int], str],
) -> go.Figure:
    """One square per cell of a grid, coloured by its state.

    Args:
        states: (row, seed) -> one of `STATES`.
        hover: (row, seed) -> text under the cursor.
        text: (row, seed) -> text in the square, for up to `MOST_WRITTEN` seeds; cells may be missing.
    """
    numbers = [[STATES.index(states[row, seed]) for seed in seeds] for row in rows]
    count = len(STATES)
    scale = [(edge / count, _COLOURS[min(i, count - 1)]) for i in range(count) for edge in (i, i + 1)]
    figure = go.Figure(
        go.Heatmap(
            z=numbers,
            x=[str(seed) for seed in seeds],
            y=[plain(row) for row in rows],
            customdata=[[plain(hover[row, seed]) for seed in seeds] for row in rows],
            text=[[plain(text.get((row, seed), "")) for seed in seeds] for row in rows],
            texttemplate="%{text}" if len(seeds) <= MOST_WRITTEN else None,
            hovertemplate="%{y}<br>seed %{x}: %{customdata}<extra></extra>",
            colorscale=scale,
            zmin=-0.5,
            zmax=count - 0.5,
            showscale=False,
            xgap=2,
            ygap=2,
        )
    )
    for number, state in enumerate(STATES):
        if any(number in line for line in numbers):
            marker = {"color": _COLOURS[number], "size": 12, "symbol": "square"}
            figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=state)
    layout(figure, height=110 + 26 * len(rows))
    figure.update_layout(showlegend=True)  # also with a single entry
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, type="category")
    figure.update_xaxes(title="seed", showgrid=False, zeroline=False, type="category")
    return figure


@dataclass(frozen=True)
class Difference:
    """What a row gains over the one it is compared with, in points.

    Attributes:
        interval: 95% confidence interval; `None` when unknown.
        significant: after the correction for the number of rows.
        hover: text under the cursor.
    """

    label: str
    points: float
    interval: tuple[float, float] | None
    significant: bool
    hover: str


def difference_plot(rows: Sequence[Difference]) -> go.Figure:
    """One dot per row with its interval as a bar, beside a line at zero; grey where the difference is not significant."""
    figure = go.Figure()
    for significant, name, index in ((True, "significant", 0), (False, "not significant", 6)):
        chosen = [(place, row) for place, row in enumerate(rows) if row.significant is significant]
        if not chosen:
            continue
        spans = [row.interval or (row.points, row.points) for _, row in chosen]
        figure.add_scatter(
            x=[row.points for _, row in chosen],
            y=[place for place, _ in chosen],
            name=name,
            mode="markers",
            marker={
                "color": colour(index),
                "size": 11,
                "symbol": "circle" if significant else "circle-open",
                "line": {"width": 2},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - row.points for (_, high), (_, row) in zip(spans, chosen, strict=True)],
                "arrayminus": [row.points - low for (low, _), (_, row) in zip(spans, chosen, strict=True)],
                "thickness": 1.5,
                "width": 5,
            },
            customdata=[plain(row.hover) for _, row in chosen],
            hovertemplate="%{customdata}<extra></extra>",
        )
    layout(figure, height=110 + 44 * max(1, len(rows)))
    figure.add_vline(x=0, line={"width": 1.5, "color": "#808b96"})
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[wrapped(row.label, 34) for row in rows],
        range=[len(rows) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title="difference in test accuracy (points)", zeroline=False)
    return figure


def accuracy_against_milliseconds(groups: Sequence[Series], milliseconds: Mapping[str, float]) -> go.Figure:
    """Mean test accuracy against the inference time per image, one standard deviation as a bar.

    Args:
        milliseconds: name of the group -> time per image; groups without one are left out.
    """
    figure = go.Figure()
    for group in groups:
        if group.accuracies and group.name in milliseconds:
            add_mean(figure, group, milliseconds[group.name], hover="%{x:.3f} ms")
    layout(figure, height=360, entries=len(figure.data))
    figure.update_xaxes(title="milliseconds per image", rangemode="tozero")
    figure.update_yaxes(title="test accuracy", ticksuffix="%")
    return figure
