"""Surgery on the Inspect page: test images whose prediction an operation changes, looked for behind the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import Tensor

from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import changed_predictions
from attnlab.explain.surgery.operations import Intervention
from attnlab.runs.records import RunRecord
from attnlab.ui.background import Job, show_progress
from attnlab.ui.format import plain
from attnlab.ui.inspect.images import ask_for_image, wanted_images
from attnlab.ui.inspect.network import strip_key
from attnlab.ui.inspect.predictions import predicting
from attnlab.ui.run_cache import network_stamp, opened_network, run_dataset, separate_network

OFFERED = 5
SECONDS = 20.0
"""A search ends after so long with what it has found."""

Moved = list[tuple[int, int]]
"""Index of a test image, and the class that is predicted for it after the operation."""
_one_at_a_time = threading.Lock()


def begin_with_a_change(record: RunRecord, intervention: Intervention) -> None:
    """Shows, once, a test image whose prediction the operation changes, so that surgery begins where something moves."""
    key = f"surgery.began.{record.run_id}"
    if (began := st.session_state.get(key)) is None:
        found = _looking(record, intervention)
        moved = found[0].result() if found else None
        if moved is None:
            if found:
                show_progress([found[0]], "Looking for a test image whose prediction changes")
            return
        st.session_state[key] = began = moved[0][0] if moved else -1
        if moved:
            ask_for_image(strip_key(record), began)
            st.rerun()
    if wanted_images(strip_key(record), "img") == [began]:
        st.caption(f"Image {began} is shown, because its prediction changes when this map is switched off.")


def offer_moved_images(record: RunRecord, intervention: Intervention, classes: Sequence[str]) -> None:
    """Buttons that show test images whose prediction the operation changes; they are looked for when this is first called."""
    found = _looking(record, intervention)
    if found is None:
        return  # the page is drawn again when the predictions are there
    job, predicted = found
    moved = job.result()
    if moved is None:
        show_progress([job], "Looking for a test image whose prediction changes")
        return
    if not moved:
        st.caption(f"No change of the prediction was found among the first {job.done:,} test images.")
        return
    st.caption("Test images whose prediction this operation changes (before → after):")
    with st.container(horizontal=True):
        for index, after in moved:
            label = plain(f"image {index}: {classes[predicted[index]]} → {classes[after]}")
            if st.button(label, key=f"surgery.moved.{index}", on_click=_show, args=(strip_key(record), index)):
                st.rerun()


def _looking(record: RunRecord, intervention: Intervention) -> tuple[Job[Moved], NDArray[np.int64]] | None:
    """The search, and what is predicted without the operation; `None` until that is known."""
    predictions = predicting(record).result(patience=0) if predicting(record).ended else None
    if predictions is None:
        return None
    predicted = predictions.probabilities.argmax(axis=1)
    taps = None if intervention.taps is None else tuple(intervention.taps)
    job = _search(
        str(record.folder),
        network_stamp(record),
        intervention.operation,
        intervention.amount,
        taps,
        intervention.seed,
        record,
        predicted,
    )
    return job, predicted


def _show(key: str, index: int) -> None:
    """The image is shown, and no filter hides it."""
    ask_for_image(key, index)
    st.session_state["class"] = "every class"
    st.session_state["outcome"] = "all"


@st.cache_resource(max_entries=64, show_spinner=False)
def _search(
    folder: str,
    stamp: int,
    operation: str,
    amount: float | None,
    taps: tuple[str, ...] | None,
    seed: int,
    _record: RunRecord,
    _predicted: NDArray[np.int64],
) -> Job[Moved]:
    opened, images = opened_network(_record), run_dataset(_record).test.images[: len(_predicted)]
    intervention = Intervention(operation, amount, taps, seed=seed)
    return Job(lambda tell: _find(opened, images, _predicted, intervention, tell))


def _find(
    opened: OpenRun,
    images: Tensor,
    predicted: NDArray[np.int64],
    intervention: Intervention,
    tell: Callable[[int, int], None],
) -> Moved:
    with _one_at_a_time:
        end = time.monotonic() + SECONDS
        return changed_predictions(
            separate_network(opened).model,
            images,
            predicted,
            opened.mean,
            opened.std,
            intervention,
            probabilities=opened.probabilities,
            most=OFFERED,
            on_progress=tell,
            should_stop=lambda: time.monotonic() > end,
        )
