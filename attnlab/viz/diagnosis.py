"""Figures for the test of a binary classifier: ROC and precision-recall curves with the chosen threshold, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from attnlab.viz.figures import plain
from attnlab.viz.palette import colour

HEIGHT = 320
Curves = Mapping[str, Mapping[str, Sequence[float]]]
"""Run name -> columns of one curve, as `attnlab.training.metrics.ranking_curves` gives them."""


@dataclass(frozen=True)
class OperatingPoint:
    """How the classifier does at one decision threshold.

    Attributes:
        sensitivity: share of the positives that are predicted positive; `None` without positives.
        specificity: share of the negatives that are predicted negative; `None` without negatives.
        precision: share of the predicted positives that are positive; `None` without any.
        confusion: rows true (negative, positive), columns predicted (negative, positive).
    """

    threshold: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    confusion: tuple[tuple[int, int], tuple[int, int]]


def operating_point(labels: ArrayLike, scores: ArrayLike, threshold: float) -> OperatingPoint:
    """Counts at a threshold; scores of at least ``threshold`` are predicted positive.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) probability of class 1.
    """
    true, predicted = np.asarray(labels) == 1, np.asarray(scores) >= threshold
    tp, fn = int((true & predicted).sum()), int((true & ~predicted).sum())
    fp, tn = int((~true & predicted).sum()), int((~true & ~predicted).sum())
    return OperatingPoint(
        threshold,
        tp / (tp + fn) if tp + fn else None,
        tn / (tn + fp) if tn + fp else None,
        tp / (tp + fp) if tp + fp else None,
        ((tn, fp), (fn, tp)),
    )


def roc_figure(curves: Curves, chosen: OperatingPoint | None = None) -> go.Figure:
    """ROC curves of runs, the first one bold with a dot at the chosen threshold."""
    hover = "sensitivity %{y:.1%}<br>1 - specificity %{x:.1%}"
    figure = _curves_figure(curves, "false_positive_rate", "true_positive_rate", chance=(0, 1), hover=hover)
    if chosen is not None and chosen.specificity is not None and chosen.sensitivity is not None:
        _mark(figure, 1 - chosen.specificity, chosen.sensitivity)
    _finish(figure, "1 - specificity", "sensitivity")
    corner = {"x": 1, "y": 0.02, "xanchor": "right", "yanchor": "bottom"}  # where a ROC curve leaves room
    return figure.update_layout(legend={**corner, "title": None, "bgcolor": "rgba(0,0,0,0)", "font": {"size": 11}})


def precision_recall_figure(curves: Curves, prevalence: float, chosen: OperatingPoint | None = None) -> go.Figure:
    """Precision-recall curves of runs, the first one bold with a dot at the chosen threshold.

    Args:
        prevalence: share of the positives, which is the precision of guessing.
    """
    hover = "precision %{y:.1%}<br>recall %{x:.1%}"
    figure = _curves_figure(curves, "recall", "precision", chance=(prevalence, prevalence), hover=hover)
    if chosen is not None and chosen.precision is not None and chosen.sensitivity is not None:
        _mark(figure, chosen.sensitivity, chosen.precision)
    return _finish(figure, "recall", "precision").update_layout(showlegend=False)  # the ROC figure beside it has the legend


def _curves_figure(curves: Curves, x: str, y: str, *, chance: tuple[float, float], hover: str) -> go.Figure:
    """Curves with column ``x`` against column ``y``, over a dotted line from x = 0 to 1 for a classifier that guesses."""
    figure = go.Figure()
    dotted = {"dash": "dot", "color": "gray"}
    figure.add_scatter(x=[0, 1], y=list(chance), mode="lines", line=dotted, hoverinfo="skip", showlegend=False)
    for index, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=curve[x],
            y=curve[y],
            customdata=curve["threshold"],
            name=plain(name),
            mode="lines",
            line={"color": colour(index), "width": 1.25 if index else 3},
            hovertemplate=f"threshold %{{customdata:.3f}}<br>{hover}<extra></extra>",
        )
    return figure


def confusion_figure(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> go.Figure:
    """Counts, each with its share of the true class; rows true, columns predicted."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [plain(name) for name in class_names]
    text = [
        [f"{count}<br>{share:.0%}" for count, share in zip(*rows, strict=True)] for rows in zip(counts, shares, strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=shares,
            x=names,
            y=names,
            text=text,
            texttemplate="%{text}",
            colorscale="Blues",
            zmin=0,
            zmax=1,
            showscale=False,
            hovertemplate="true %{y}, predicted %{x}: %{text}<extra></extra>",
        )
    )
    figure.update_xaxes(type="category")  # "0" and "1" are names, not numbers
    figure.update_yaxes(type="category", autorange="reversed")
    return _finish(figure, "predicted", "true", shares=False)


def _mark(figure: go.Figure, x: float, y: float) -> None:
    """Adds the dot of the chosen threshold."""
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 14, "color": colour(0), "line": {"width": 3, "color": "white"}},
        name="threshold",
        hoverinfo="skip",
        showlegend=False,
    )


def _finish(figure: go.Figure, x: str, y: str, *, shares: bool = True) -> go.Figure:
    """Sets the layout and the axis titles.

    Args:
        shares: both axes are shares in [0, 1].
    """
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    if shares:
        figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
        figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    return figure
