"""What is said of a run whose maps are shown over its training, and the numbers that weigh whole maps. Drawn without torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from attnlab.maps import scalar_titles
from attnlab.runs import history
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import run_name
from attnlab.runs.records import RunRecord
from attnlab.ui.format import plain
from attnlab.viz.scalars import scalar_curves


def tested_step(record: RunRecord) -> int | None:
    """The step at the end of the epoch that was tested; `None` before the test."""
    return history.tested_step(record.result, record.total_steps, record.config)


def tested_epoch(record: RunRecord) -> str:
    """``of epoch 3 of 4, which had the best validation result and was tested``; empty before the test."""
    best, epochs = record.result.get("best_epoch"), record.config.training.epochs
    return f"of epoch {best} of {epochs}, which had the best validation result and was tested" if best else ""


def marked_epoch(record: RunRecord) -> str:
    """A sentence for the views over time, which go on after the epoch that was tested; empty before the test."""
    best, step = record.result.get("best_epoch"), tested_step(record)
    if best is None or step is None:
        return ""
    return f"{plain(run_name(record))}: epoch {best}, which ends with step {step:,} and is marked, is the one that was tested."


def weights_of_maps(records: Sequence[RunRecord], key: str) -> None:
    """How the learned numbers that weigh whole maps grow during training, for the networks that have such numbers.

    Args:
        key: prefix of the charts' keys.
    """
    for record in records:
        folder = RunFolder(record.folder)
        steps, scalars = _scalars(str(folder.path), tuple(folder.snapshot_steps()))
        if not scalars:
            continue
        name = f" of {plain(run_name(record))}" if len(records) > 1 else ""
        now = ", ".join(f"{title} {values[-1]:+.3f}" for title, values in scalars.items())
        st.markdown(f"**How much the maps count{name}**")
        st.caption(
            "The block adds gamma times the attended values to its input. Gamma starts at 0, where the map has no effect; the "
            f"further it is from 0, the more the map counts. At step {steps[-1]:,}: {now}."
        )
        st.plotly_chart(scalar_curves(steps, scalars), key=f"{key}.scalars.{record.run_id}", alt="Gamma over the steps")


@st.cache_data(max_entries=32, show_spinner=False)
def _scalars(path: str, steps: tuple[int, ...]) -> tuple[list[int], dict[str, list[float]]]:
    """(steps, title -> value at each step); empty where the network has no such number, or an old run did not store it."""
    try:
        snapshots, _ = RunFolder(Path(path)).readable_snapshots()
    except FolderError:  # of the probe images; where the maps are shown, the page says so
        snapshots = []
    read, by_step = [snapshot.step for snapshot in snapshots], [snapshot.scalars for snapshot in snapshots]
    names = [name for name in (by_step[-1] if by_step else {}) if all(name in scalars for scalars in by_step)]
    titles = scalar_titles(names)
    return read, {titles[name]: [scalars[name] for scalars in by_step] for name in names}
