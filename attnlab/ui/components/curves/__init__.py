"""The live chart: loss and accuracy of several runs, appended to while they grow, so that zoom and smoothing stay.

Each session remembers how many rows its browser has; only new rows travel. The browser asks for all of them when it
finds a gap (after a page switch, or when two updates were drawn at once).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from attnlab.ui.components.mount import mount
from attnlab.viz.palette import CATEGORICAL

_mount = mount("curves")

EPOCH_FIELDS = ("step", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


@dataclass(frozen=True)
class Curve:
    """One run in the chart.

    Attributes:
        run_id: tells runs apart.
        label: as shown.
        colour: index of the run's group, see `attnlab.viz.palette`.
        attempt: rises when a run is started again; its rows are then sent anew.
        steps, losses: one entry for each optimizer step.
        epochs: the epoch records, with at least `EPOCH_FIELDS`.
        steps_per_epoch: 0 while unknown.
        tested: step at the end of the epoch that was tested; `None` before the test.
        sibling: counts the runs of one group in the chart; they share a colour and differ in their dashes.
    """

    run_id: str
    label: str
    colour: int
    attempt: int
    steps: Sequence[int]
    losses: Sequence[float]
    epochs: Sequence[Mapping[str, Any]]
    steps_per_epoch: int = 0
    sibling: int = 0
    tested: int | None = None


def curves(runs: Sequence[Curve], *, key: str, sync: str = "") -> None:
    """Shows the runs; called again with longer ones, the chart grows.

    Args:
        key: stays the same as long as it is the same chart; zoom, smoothing and hidden runs stay with it.
        sync: a name shared with a `viewer` of the same run; the two follow each other's training step.
    """
    sent_key = f"{key}.sent"
    sent: dict[str, tuple[int, int, int]] = st.session_state.setdefault(sent_key, {})

    def resend() -> None:
        sent.clear()

    rows = []
    for run in runs:
        attempt, steps, epochs = sent.get(run.run_id, (run.attempt, 0, 0))
        if attempt != run.attempt or steps > len(run.steps) or epochs > len(run.epochs):
            steps = epochs = 0
        rows.append(
            {
                "id": run.run_id,
                "label": run.label,
                "colour": run.colour,
                "sibling": run.sibling,
                "attempt": run.attempt,
                "steps_per_epoch": run.steps_per_epoch,
                "tested": run.tested,
                "since": steps,
                "step": list(run.steps[steps:]),
                "loss": [_number(loss) for loss in run.losses[steps:]],
                "epochs_since": epochs,
                "epochs": [{name: _number(row.get(name)) for name in EPOCH_FIELDS} for row in run.epochs[epochs:]],
            }
        )
    _mount(key=key, data={"palette": list(CATEGORICAL), "sync": sync, "runs": rows}, on_resync_change=resend)
    sent.clear()
    sent.update({run.run_id: (run.attempt, len(run.steps), len(run.epochs)) for run in runs})


def _number(value: float | None) -> float | None:
    """What JSON can carry: a gap in the line where the value is missing or not finite."""
    return value if value is not None and math.isfinite(value) else None
