"""Figures of maps and the baselines they are compared with: one map, and all maps of a network by depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from attnlab.viz.figures import layout, plain, wrapped
from attnlab.viz.palette import colour


@dataclass(frozen=True)
class Dot:
    """A mean with its interval; ``ours`` for the map itself, not a baseline."""

    label: str
    value: float
    low: float
    high: float
    ours: bool


def dot_plot(dots: Sequence[Dot], title: str) -> go.Figure:
    """The dots in their order from the top, intervals as bars; a dotted line marks the value of the map itself."""
    figure = go.Figure()
    for place, dot in enumerate(dots):
        figure.add_scatter(
            x=[dot.value],
            y=[place],
            mode="markers",
            showlegend=False,
            marker={"color": colour(0 if dot.ours else 6), "size": 12 if dot.ours else 9},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [dot.high - dot.value],
                "arrayminus": [dot.value - dot.low],
                "thickness": 1.5,
                "width": 4,
            },
            hovertemplate=f"{plain(dot.label)}: {dot.value:.3f} ({dot.low:.3f} to {dot.high:.3f})<extra></extra>",
        )
        if dot.ours:
            figure.add_vline(x=dot.value, line={"width": 1, "color": colour(0), "dash": "dot"})
    layout(figure, height=70 + 28 * max(1, len(dots)))
    figure.update_yaxes(
        tickvals=list(range(len(dots))),
        ticktext=[f"<b>{plain(dot.label)}</b>" if dot.ours else plain(dot.label) for dot in dots],
        range=[len(dots) - 0.5, -0.5],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title=title, zeroline=False)
    return figure


Mean = tuple[float, float, float]
"""A mean, and the low and high end of its interval."""


@dataclass(frozen=True)
class DepthLine:
    """One kind of map, measured for each map of a network.

    Attributes:
        label: in the legend.
        colour: index for `attnlab.viz.palette.colour`.
        dash: as Plotly calls it. means: in the order of the forward; `None` where there is none.
        ours: for the network's own maps, whose intervals are drawn.
    """

    label: str
    colour: int
    dash: str
    means: Sequence[Mean | None]
    ours: bool = False


def depth_plot(lines: Sequence[DepthLine], maps: Sequence[str], chosen: int, title: str, *, percent: bool) -> go.Figure:
    """The maps of a network from the first block to the last, and what each is read against, as lines.

    Args:
        maps: titles, in the order of the forward. chosen: which of them stands in bold.
        title: of the measure. percent: it is a share in [0, 1], to be shown in percent.
    """
    figure = go.Figure()
    places = list(range(len(maps)))
    number, scale = (".0%", ".0%") if percent else (".3f", ".1f")
    for line in sorted(lines, key=lambda line: line.ours):  # the network's own on top
        y = [None if mean is None else mean[0] for mean in line.means]
        text = ["" if mean is None else f"{mean[0]:{number}} ({mean[1]:{number}} to {mean[2]:{number}})" for mean in line.means]
        figure.add_scatter(
            x=places,
            y=y,
            name=plain(line.label),
            mode="lines+markers",
            line={"color": colour(line.colour), "width": 3 if line.ours else 1.5, "dash": line.dash},
            marker={"size": 9 if line.ours else 5},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [0 if mean is None else mean[2] - mean[0] for mean in line.means],
                "arrayminus": [0 if mean is None else mean[0] - mean[1] for mean in line.means],
                "thickness": 1.5,
                "width": 4,
            }
            if line.ours
            else None,
            customdata=text,
            hovertemplate="%{customdata}<extra>%{fullData.name}</extra>",
        )
    layout(figure, height=360, entries=len(lines))
    labels = [wrapped(name, 16) for name in maps]
    figure.update_xaxes(
        tickvals=places,
        ticktext=[f"<b>{label}</b>" if at == chosen else label for at, label in enumerate(labels)],
        range=[-0.4, len(maps) - 0.6],
        showgrid=False,
        zeroline=False,
    )
    figure.update_yaxes(title=title, tickformat=scale, rangemode="tozero")
    figure.update_layout(hovermode="x unified", legend_traceorder="reversed")
    return figure
