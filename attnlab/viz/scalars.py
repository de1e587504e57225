"""Learned numbers that weigh whole maps, such as the gamma of self-attention, over the course of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from attnlab.viz.palette import colour

HEIGHT = 220


def scalar_curves(steps: Sequence[int], values: Mapping[str, Sequence[float]]) -> go.Figure:
    """One line per number over the steps of the snapshots.

    Args:
        values: title -> one value for each of ``steps``.
    """
    figure = go.Figure()
    for index, (title, line) in enumerate(values.items()):
        figure.add_scatter(
            x=list(steps),
            y=list(line),
            name=title,
            mode="lines+markers",
            line={"color": colour(index), "width": 2.5},
            marker={"size": 5},
            hovertemplate="%{y:.4~f}<extra>%{fullData.name}</extra>",
        )
    figure.add_hline(y=0, line={"dash": "dot", "color": "gray", "width": 1})
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        hovermode="x unified",
        showlegend=True,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "title": None},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title="step", automargin=True)
    figure.update_yaxes(automargin=True)
    return figure
