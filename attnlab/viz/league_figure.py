"""The figure of a league: accuracy against cost, with the front of those that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import plotly.graph_objects as go

from attnlab.viz.figures import layout, plain
from attnlab.viz.palette import CATEGORICAL


class Outcome(StrEnum):
    """What a variant's comparison with the plain network says; also the entries of the legend."""

    PLAIN = "the plain network"
    BETTER = "better than it"
    WORSE = "worse than it"
    NONE = "no difference seen"


_MARKS = {
    Outcome.PLAIN: ("star", CATEGORICAL[5], 16),
    Outcome.BETTER: ("triangle-up", CATEGORICAL[2], 13),
    Outcome.WORSE: ("triangle-down", CATEGORICAL[1], 13),
    Outcome.NONE: ("circle", CATEGORICAL[0], 11),
}


@dataclass(frozen=True)
class Point:
    """One row of a league.

    Attributes:
        cost: in the unit of the axis. accuracy: mean, in percent.
        interval: 95% interval of the mean, in percent; `None` where too few runs are known.
        front: whether no other row beats it.
        hover: text under the cursor.
    """

    name: str
    cost: float
    accuracy: float
    interval: tuple[float, float] | None
    outcome: Outcome
    front: bool
    hover: str


_STEPS = (1, 1.5, 2, 3, 5, 7)
"""Where a logarithmic axis has its ticks, in each decade; Plotly's own say only their last digit."""


def _ticks(points: Sequence[Point]) -> list[float]:
    low, high = min(point.cost for point in points), max(point.cost for point in points)
    decades = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    steps = _STEPS if high < 30 * low else (1, 2, 5)
    return [step * 10**decade for decade in decades for step in steps if 0.9 * low <= step * 10**decade <= 1.1 * high]


def accuracy_against_cost(points: Sequence[Point], unit: str, *, logarithmic: bool = False) -> go.Figure:
    """One mark per row with its interval, and the front as a line. Names are written at the front and at the plain network.

    Rows without a difference are drawn as large and as bold as the others; shapes tell them apart as colours do.

    Args:
        unit: of the cost, as the axis is called.
    """
    figure = go.Figure()
    line = sorted((point for point in points if point.front), key=lambda point: point.cost)
    if len(line) > 1:
        figure.add_scatter(
            x=[point.cost for point in line],
            y=[point.accuracy for point in line],
            mode="lines",
            line={"color": CATEGORICAL[6], "width": 2, "shape": "hv", "dash": "dot"},
            name="front",
            hoverinfo="skip",
        )
    for outcome, (symbol, colour, size) in _MARKS.items():
        chosen = [point for point in points if point.outcome is outcome]
        if not chosen:
            continue
        spans = [point.interval or (point.accuracy, point.accuracy) for point in chosen]
        figure.add_scatter(
            x=[point.cost for point in chosen],
            y=[point.accuracy for point in chosen],
            mode="markers+text",
            text=[plain(point.name) if point.front or outcome is Outcome.PLAIN else "" for point in chosen],
            textposition="bottom center" if outcome is Outcome.PLAIN else "top center",
            name=outcome,
            marker={"symbol": symbol, "color": colour, "size": size},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - point.accuracy for (_, high), point in zip(spans, chosen, strict=True)],
                "arrayminus": [point.accuracy - low for (low, _), point in zip(spans, chosen, strict=True)],
                "thickness": 1,
                "width": 3,
            },
            customdata=[plain(point.hover) for point in chosen],
            hovertemplate="%{customdata}<extra></extra>",
        )
    layout(figure, height=460, entries=len(figure.data))
    figure.update_xaxes(title=unit, zeroline=False)
    if logarithmic:
        ticks = _ticks(points)
        figure.update_xaxes(
            type="log", tickvals=ticks, ticktext=[f"{tick:,.4g}" if tick < 1000 else f"{tick:,.0f}" for tick in ticks]
        )
    figure.update_yaxes(title="test accuracy", ticksuffix="%", zeroline=False)
    return figure
