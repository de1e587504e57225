"""Figure of a map and the baselines it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from attnlab.viz.figures import layout, plain
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
