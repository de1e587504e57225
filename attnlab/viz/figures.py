"""Plotly figures of finished runs. Arrays and names in, a figure out; nothing here runs a model.

A group is drawn in one colour everywhere: single runs faint, their mean bold, one standard deviation as a band or bar.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from attnlab.viz.palette import CATEGORICAL, colour, faint

_MARGIN = {"l": 8, "r": 8, "t": 8, "b": 8}
_LEGEND_LINE = 16


@dataclass(frozen=True)
class Series:
    """The runs of one group.

    Attributes:
        name: as shown.
        colour: index into the palette.
        accuracies: seed -> test accuracy in [0, 1].
        histories: seed -> the epoch records of that run, in order.
        parameters: of the network; `None` when unknown.
    """

    name: str
    colour: int
    accuracies: Mapping[int, float]
    histories: Mapping[int, Sequence[Mapping[str, Any]]]
    parameters: int | None = None

    @property
    def dash(self) -> str:
        return "dash" if self.colour >= len(CATEGORICAL) else "solid"


def epoch_curves(groups: Sequence[Series], field: str, *, percent: bool) -> go.Figure:
    """One metric over the epochs: single runs, their mean, and a band of one standard deviation (n - 1).

    The mean goes as far as every run of the group has come, so that it never jumps when one run ends early.

    Args:
        field: of the epoch records, as ``validation_accuracy``.
        percent: show as per cent.
    """
    figure = go.Figure()
    scale, unit = (100.0, "%") if percent else (1.0, "")
    for group in groups:
        rows = {
            seed: [scale * row[field] if row.get(field) is not None else np.nan for row in history]
            for seed, history in group.histories.items()
            if history
        }
        if not rows:
            continue
        common = {"legendgroup": group.name, "hoverinfo": "skip"}
        common_length = min(len(values) for values in rows.values())
        stack = np.array([values[:common_length] for values in rows.values()])  # (runs, epochs)
        epochs = np.arange(1, common_length + 1)
        mean = stack.mean(axis=0)
        several = len(rows) > 1
        if several:
            std = stack.std(axis=0, ddof=1)
            figure.add_scatter(
                x=np.concatenate([epochs, epochs[::-1]]),
                y=np.concatenate([mean + std, (mean - std)[::-1]]),
                fill="toself",
                fillcolor=faint(group.colour, 0.15),
                line={"width": 0},
                mode="lines",
                showlegend=False,
                **common,
            )
            for values in rows.values():
                figure.add_scatter(
                    x=np.arange(1, len(values) + 1),
                    y=values,
                    mode="lines",
                    line={"color": faint(group.colour, 0.45), "width": 1, "dash": group.dash},
                    showlegend=False,
                    **common,
                )
        figure.add_scatter(
            x=epochs,
            y=mean,
            name=f"{plain(group.name)} (n={len(rows)})",
            legendgroup=group.name,
            mode="lines+markers" if common_length < 30 else "lines",
            line={"color": colour(group.colour), "width": 2.5, "dash": group.dash},
            marker={"size": 5},
            customdata=stack.std(axis=0, ddof=1) if several else np.zeros_like(mean),
            hovertemplate="%{y:.3~f}" + unit + (" ± %{customdata:.2f}" if several else "") + "<extra>%{fullData.name}</extra>",
        )
    layout(figure, height=360, entries=len(groups))
    figure.update_layout(hovermode="x unified", xaxis_title="epoch")
    longest = max((len(history) for group in groups for history in group.histories.values()), default=0)
    if longest <= 12:
        figure.update_xaxes(dtick=1)
    figure.update_yaxes(ticksuffix=unit)
    return figure


def strip_plot(groups: Sequence[Series]) -> go.Figure:
    """Every run's test accuracy as a dot, with the mean and one standard deviation beside it."""
    figure = go.Figure()
    for row, group in enumerate(groups):
        seeds = sorted(group.accuracies)
        values = np.array([100 * group.accuracies[seed] for seed in seeds])
        if not len(values):
            continue
        spread = np.linspace(-0.14, 0.14, len(values)) if len(values) > 1 else np.zeros(1)
        figure.add_scatter(
            x=values,
            y=row + spread,
            mode="markers",
            marker={"color": faint(group.colour, 0.6), "size": 9},
            customdata=seeds,
            hovertemplate="%{x:.2f}%, seed %{customdata}<extra>" + plain(group.name) + "</extra>",
            showlegend=False,
        )
        figure.add_scatter(
            x=[values.mean()],
            y=[row + 0.3],
            mode="markers",
            marker={"color": colour(group.colour), "size": 10, "symbol": "diamond"},
            error_x={"array": [values.std(ddof=1)], "thickness": 2, "width": 5} if len(values) > 1 else None,
            hovertemplate=f"mean %{{x:.2f}}%, n={len(values)}<extra>{plain(group.name)}</extra>",
            showlegend=False,
        )
    layout(figure, height=90 + 56 * max(1, len(groups)))
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=[wrapped(group.name) for group in groups],
        range=[len(groups) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
    )
    figure.update_xaxes(title="test accuracy", ticksuffix="%")
    return figure


def accuracy_against_parameters(groups: Sequence[Series]) -> go.Figure:
    """Mean test accuracy over the number of parameters (logarithmic), one standard deviation as a bar."""
    figure = go.Figure()
    shown = [group for group in groups if group.parameters and group.accuracies]
    for group in shown:
        values = np.array([100 * value for value in group.accuracies.values()])
        figure.add_scatter(
            x=[group.parameters],
            y=[values.mean()],
            name=f"{plain(group.name)} (n={len(values)})",
            mode="markers",
            marker={"color": colour(group.colour), "size": 11, "symbol": "circle" if group.dash == "solid" else "diamond"},
            error_y={"array": [values.std(ddof=1)], "thickness": 1.5, "width": 5} if len(values) > 1 else None,
            hovertemplate="%{y:.2f}%, %{x:,} parameters<extra>%{fullData.name}</extra>",
        )
    layout(figure, height=360, entries=len(shown))
    figure.update_xaxes(title="parameters", type="log")
    if shown:
        low, high = min(group.parameters or 1 for group in shown), max(group.parameters or 1 for group in shown)
        if high < 3 * low:  # a logarithmic axis over less than half a decade has no readable ticks
            figure.update_xaxes(type="linear", tickformat=",")
    figure.update_yaxes(title="test accuracy", ticksuffix="%")
    return figure


def layout(figure: go.Figure, height: int, *, entries: int = 0) -> None:
    """Margins, legend and ground that all figures share.

    Args:
        entries: of the legend. On a phone each takes a line, for which there is room, so that the plot is not squeezed.
    """
    figure.update_layout(
        height=height + _LEGEND_LINE * max(0, entries - 3),
        margin=_MARGIN,
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "title": None, "maxheight": 1},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(automargin=True)


def plain(text: str) -> str:
    """Plotly reads a small HTML subset in hover texts and labels; names are text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def wrapped(text: str, width: int = 30) -> str:
    """A label on several lines, so that long names leave room for the chart."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return "<br>".join(plain(line) for line in lines)
