"""Figures of grids: the matrix of cells, differences with their intervals, accuracy against time.

Names and numbers in, a figure out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from attnlab.viz.figures import Series, layout, plain, wrapped
from attnlab.viz.palette import colour

STATES = ("waiting", "queued", "starting", "running", "paused", "stopped", "interrupted", "failed", "finished")
_COLOURS = ("#c9ced3", "#a5b4c4", "#7fb4dd", "#1f83c4", "#e0b64a", "#b58900", "#c1689a", "#d55e00", "#009e73")


MOST_WRITTEN = 8
"""Columns up to which there is room to write in the squares."""


def progress_matrix(
    rows: Sequence[str],
    seeds: Sequence[int],
    states: Mapping[tuple[str, int], str],
    told: Mapping[tuple[str, int], str],
    written: Mapping[tuple[str, int], str],
) -> go.Figure:
    """A square for each cell of a grid, coloured by its state.

    Args:
        states: (row, seed) -> one of `STATES`.
        told: (row, seed) -> what is said under the cursor.
        written: (row, seed) -> what stands in the square, up to `MOST_WRITTEN` seeds.
    """
    numbers = [[STATES.index(states[row, seed]) for seed in seeds] for row in rows]
    count = len(STATES)
    scale = [(edge / count, _COLOURS[min(i, count - 1)]) for i in range(count) for edge in (i, i + 1)]
    figure = go.Figure(
        go.Heatmap(
            z=numbers,
            x=[str(seed) for seed in seeds],
            y=[plain(row) for row in rows],
            customdata=[[plain(told[row, seed]) for seed in seeds] for row in rows],
            text=[[plain(written.get((row, seed), "")) for seed in seeds] for row in rows],
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
    figure.update_layout(showlegend=True)  # one state alone would go unnamed
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, type="category")
    figure.update_xaxes(title="seed", showgrid=False, zeroline=False, type="category")
    return figure


@dataclass(frozen=True)
class Difference:
    """What a row gains over the one it is compared with, in points.

    Attributes:
        interval: 95%, `None` where it is not known.
        sure: significant after the correction for the number of rows.
        words: said under the cursor.
    """

    label: str
    points: float
    interval: tuple[float, float] | None
    sure: bool
    words: str


def difference_plot(rows: Sequence[Difference]) -> go.Figure:
    """A dot for each row on a line through zero, its interval as a bar; grey where it may be nothing."""
    figure = go.Figure()
    for sure, name, index in ((True, "significant", 0), (False, "not significant", 6)):
        chosen = [(place, row) for place, row in enumerate(rows) if row.sure is sure]
        if not chosen:
            continue
        spans = [row.interval or (row.points, row.points) for _, row in chosen]
        figure.add_scatter(
            x=[row.points for _, row in chosen],
            y=[place for place, _ in chosen],
            name=name,
            mode="markers",
            marker={"color": colour(index), "size": 11, "symbol": "circle" if sure else "circle-open", "line": {"width": 2}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [high - row.points for (_, high), (_, row) in zip(spans, chosen, strict=True)],
                "arrayminus": [row.points - low for (low, _), (_, row) in zip(spans, chosen, strict=True)],
                "thickness": 1.5,
                "width": 5,
            },
            customdata=[plain(row.words) for _, row in chosen],
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
    figure.update_xaxes(title="difference of test accuracy, points", zeroline=False)
    return figure


def accuracy_against_milliseconds(groups: Sequence[Series], milliseconds: Mapping[str, float]) -> go.Figure:
    """Mean test accuracy over the time of a forward of one image, one standard deviation as a bar.

    Args:
        milliseconds: name of the group -> time; groups without one are left out.
    """
    figure = go.Figure()
    for group in groups:
        if not group.accuracies or group.name not in milliseconds:
            continue
        values = np.array([100 * value for value in group.accuracies.values()])
        figure.add_scatter(
            x=[milliseconds[group.name]],
            y=[values.mean()],
            name=f"{plain(group.name)} (n={len(values)})",
            mode="markers",
            marker={"color": colour(group.colour), "size": 11, "symbol": "circle" if group.dash == "solid" else "diamond"},
            error_y={"array": [values.std(ddof=1)], "thickness": 1.5, "width": 5} if len(values) > 1 else None,
            hovertemplate="%{y:.2f}%, %{x:.3f} ms<extra>%{fullData.name}</extra>",
        )
    layout(figure, height=360, entries=len(figure.data))
    figure.update_xaxes(title="milliseconds per image", rangemode="tozero")
    figure.update_yaxes(title="test accuracy", ticksuffix="%")
    return figure
