"""Figures of a binary classifier's test: ROC and precision-recall curves with the chosen threshold, confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from attnlab.viz.palette import colour

HEIGHT = 320


@dataclass(frozen=True)
class Operating:
    """What a threshold does.

    Attributes:
        sensitivity: share of the positives that are called positive; `None` without positives.
        specificity: share of the negatives that are called negative; `None` without negatives.
        precision: share of those called positive that are; `None` when none is called.
        confusion: rows true (negative, positive), columns called (negative, positive).
    """

    threshold: float
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    confusion: tuple[tuple[int, int], tuple[int, int]]


def operate(labels: ArrayLike, scores: ArrayLike, threshold: float) -> Operating:
    """Counts at a threshold: positive is a score of at least ``threshold``.

    Args:
        labels: (n,) 0 or 1.
        scores: (n,) probability of class 1.
    """
    truth, called = np.asarray(labels) == 1, np.asarray(scores) >= threshold
    tp, fn = int((truth & called).sum()), int((truth & ~called).sum())
    fp, tn = int((~truth & called).sum()), int((~truth & ~called).sum())
    return Operating(
        threshold,
        tp / (tp + fn) if tp + fn else None,
        tn / (tn + fp) if tn + fp else None,
        tp / (tp + fp) if tp + fp else None,
        ((tn, fp), (fn, tp)),
    )


def roc_figure(curves: Mapping[str, Mapping[str, Sequence[float]]], chosen: Operating | None = None) -> go.Figure:
    """ROC curves by run name, the first one bold; the chosen threshold is a ring on it."""
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "color": "gray"}, hoverinfo="skip", showlegend=False
    )
    for index, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=curve["false_positive_rate"],
            y=curve["true_positive_rate"],
            customdata=curve["threshold"],
            name=name,
            mode="lines",
            line={"color": colour(index), "width": 1.25 if index else 3},
            hovertemplate="threshold %{customdata:.3f}<br>sensitivity %{y:.1%}<br>1 - specificity %{x:.1%}<extra></extra>",
        )
    if chosen is not None and chosen.specificity is not None and chosen.sensitivity is not None:
        _ring(figure, 1 - chosen.specificity, chosen.sensitivity)
    _finish(figure, "1 - specificity", "sensitivity")
    corner = {"x": 1, "y": 0.02, "xanchor": "right", "yanchor": "bottom"}  # where a ROC curve leaves room
    return figure.update_layout(legend={**corner, "title": None, "bgcolor": "rgba(0,0,0,0)", "font": {"size": 11}})


def precision_recall_figure(
    curves: Mapping[str, Mapping[str, Sequence[float]]], prevalence: float, chosen: Operating | None = None
) -> go.Figure:
    """Precision-recall curves by run name, the first one bold, over the line of the positives' share; the chosen threshold is a
    ring on the first.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1],
        y=[prevalence, prevalence],
        mode="lines",
        line={"dash": "dot", "color": "gray"},
        hoverinfo="skip",
        showlegend=False,
    )
    for index, (name, curve) in enumerate(curves.items()):
        figure.add_scatter(
            x=curve["recall"],
            y=curve["precision"],
            customdata=curve["threshold"],
            name=name,
            mode="lines",
            line={"color": colour(index), "width": 1.25 if index else 3},
            hovertemplate="threshold %{customdata:.3f}<br>precision %{y:.1%}<br>recall %{x:.1%}<extra></extra>",
        )
    if chosen is not None and chosen.precision is not None and chosen.sensitivity is not None:
        _ring(figure, chosen.sensitivity, chosen.precision)
    return _finish(figure, "recall", "precision").update_layout(showlegend=False)  # the colours are those of the ROC curves


def confusion_figure(matrix: Sequence[Sequence[int]], class_names: Sequence[str]) -> go.Figure:
    """Counts with the share of each true class; rows true, columns called."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = list(class_names)
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
    return _finish(figure, "predicted", "true", ranged=False)


def _ring(figure: go.Figure, x: float, y: float) -> None:
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker={"size": 14, "color": colour(0), "line": {"width": 3, "color": "white"}},
        name="threshold",
        hoverinfo="skip",
        showlegend=False,
    )


def _finish(figure: go.Figure, x: str, y: str, *, ranged: bool = True) -> go.Figure:
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    figure.update_xaxes(title=x, automargin=True)
    figure.update_yaxes(title=y, automargin=True)
    if ranged:
        figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
        figure.update_yaxes(range=[-0.02, 1.02], tickformat=".0%")
    return figure
