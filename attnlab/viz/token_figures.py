"""Figures of transformers: many small maps in one picture, and how far heads look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from attnlab.viz.colour import table
from attnlab.viz.figures import layout, plain
from attnlab.viz.palette import colour

_GAP = 1
"""Cells between two maps, which are empty."""
_BAR = 240
"""Length of the colour bar in pixels. It lies below the maps, so that it is near them however wide the page is."""


def tiles(
    maps: NDArray[np.floating],
    rows: Sequence[str],
    columns: Sequence[str],
    ends: tuple[float, float],
    *,
    title: str,
    colours: str = "viridis",
    pixels: int = 520,
) -> go.Figure:
    """Small maps in rows and columns, all on one colour scale, each with its values under the cursor.

    A click tells which map was meant: the selected point's ``customdata`` is its (row, column).

    Args:
        maps: (R, C, h, w). rows, columns: their names, R and C.
        ends: of the colour scale.
        title: of the colour scale.
        pixels: the longer side of the picture.
    """
    height, width = maps.shape[2:]
    tall, wide = height + _GAP, width + _GAP
    picture = np.full((len(rows) * tall - _GAP, len(columns) * wide - _GAP), np.nan, np.float32)
    names = np.full(picture.shape, "", dtype=object)
    for row, row_name in enumerate(rows):
        for column, column_name in enumerate(columns):
            where = slice(row * tall, row * tall + height), slice(column * wide, column * wide + width)
            picture[where] = maps[row, column]
            names[where] = plain(", ".join(filter(None, (row_name, column_name))))
    scale = [(at / 255, f"rgb{tuple(int(part) for part in rgb)}") for at, rgb in enumerate(table(colours)) if at % 15 == 0]
    figure = go.Figure(
        go.Heatmap(
            z=picture.round(4),
            customdata=names,
            zmin=ends[0],
            zmax=ends[1],
            colorscale=scale,
            colorbar={
                "title": {"text": title, "side": "top"},
                "orientation": "h",
                "thickness": 10,
                "lenmode": "pixels",
                "len": _BAR,
                "x": 0,
                "xanchor": "left",
                "y": 0,
                "yanchor": "top",
            },
            hovertemplate="%{customdata}: %{z:.2f}<extra></extra>",
            hoverongaps=False,
        )
    )
    places = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
    side = pixels / max(picture.shape)
    figure.add_scatter(
        x=[column * wide + (width - 1) / 2 for _, column in places],
        y=[row * tall + (height - 1) / 2 for row, _ in places],
        customdata=places,
        mode="markers",
        marker={"symbol": "square", "size": side * min(height, width), "opacity": 0},
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}},
        hoverinfo="none",
        showlegend=False,
    )
    layout(figure, height=round(side * picture.shape[0]) + 110)
    figure.update_xaxes(
        tickvals=[column * wide + (width - 1) / 2 for column in range(len(columns))],
        ticktext=[plain(name) for name in columns],
        range=[-0.5, picture.shape[1] - 0.5],  # else room is left around the large marks that catch clicks
        showgrid=False,
        zeroline=False,
        constrain="domain",
        constraintoward="left",
        ticks="",
        side="top",
    )
    figure.update_yaxes(
        tickvals=[row * tall + (height - 1) / 2 for row in range(len(rows))],
        ticktext=[plain(name) for name in rows],
        showgrid=False,
        zeroline=False,
        range=[picture.shape[0] - 0.5, -0.5],
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",
        ticks="",
    )
    figure.update_layout(clickmode="event+select", dragmode=False, hovermode="closest")
    return figure


def distance_plot(distances: NDArray[np.floating], uniform: float) -> go.Figure:
    """How far the heads of each layer look: a dot for each head, a line for the mean.

    Args:
        distances: (layers, heads) in pixels.
        uniform: the distance of a head that looks at all patches alike.
    """
    layers, heads = distances.shape
    places = list(range(1, layers + 1))
    figure = go.Figure()
    figure.add_scatter(
        x=np.repeat(places, heads),
        y=distances.ravel(),
        mode="markers",
        name="a head",
        marker={"size": 9, "color": colour(0), "opacity": 0.7},
        customdata=[head + 1 for _ in places for head in range(heads)],
        hovertemplate="block %{x}, head %{customdata}: %{y:.1f} pixels<extra></extra>",
    )
    figure.add_scatter(
        x=places, y=distances.mean(axis=1), mode="lines", name="mean of the heads", line={"color": colour(1), "width": 2}
    )
    figure.add_hline(y=uniform, line={"dash": "dot", "width": 1, "color": colour(6)}, annotation_text="all patches alike")
    layout(figure, height=320, entries=2)
    figure.update_xaxes(title="block", dtick=1, range=[0.5, layers + 0.5], zeroline=False)
    figure.update_yaxes(title="mean distance, pixels", rangemode="tozero")
    return figure
