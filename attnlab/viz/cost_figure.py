"""How a cost grows, as lines over the number of channels or the side of the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from attnlab.viz.figures import layout
from attnlab.viz.palette import colour


def growth(
    x: Sequence[float], lines: Mapping[str, Sequence[float]], *, of: str, unit: str, now: float, logarithmic: bool = True
) -> go.Figure:
    """Lines over ``x``, with a mark where the settings stand now.

    Args:
        lines: name -> one value for each of ``x``.
        of: what ``x`` is. unit: what the values are.
        logarithmic: both axes; a line of zeros is not drawn on them.
    """
    figure = go.Figure()
    for number, (name, values) in enumerate(lines.items()):
        dash = "solid" if number == 0 else "dash"
        figure.add_scatter(
            x=list(x),
            y=list(values),
            name=name,
            mode="lines+markers",
            line={"color": colour(number), "dash": dash},
            hovertemplate=f"%{{x}} {of}: %{{y:,}} {unit}<extra>{name}</extra>",
        )
    figure.add_vline(x=now, line_dash="dot", line_width=1)
    axis = {"type": "log"} if logarithmic else {}
    figure.update_xaxes(title=of, tickvals=list(x), **axis)
    figure.update_yaxes(title=unit, rangemode="tozero", **axis, **({"dtick": 1} if logarithmic else {}))
    layout(figure, 280, entries=len(lines) if len(lines) > 1 else 0)
    figure.update_layout(showlegend=len(lines) > 1)
    return figure
