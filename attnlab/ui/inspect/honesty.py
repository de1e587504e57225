"""Honesty on the Inspect page: a map beside its baselines, and how it fares against them over many test pictures.

The strip is drawn while the section is open; the measurement runs in a process of its own (`attnlab.explain.honesty.process`)
and is found again when the page is opened anew.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.explain.baselines import BASELINES, Scene, attention_map, spatial_taps, untrained_twin
from attnlab.explain.honesty.measure import MAP, MEASURES, Honesty, p_words
from attnlab.explain.honesty.process import Measurement, MeasurementState, kept_measurements
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.runs.folder import RunFolder
from attnlab.runs.imported import NO_PICTURES
from attnlab.runs.records import RunRecord
from attnlab.ui.inspect.network import Shown
from attnlab.viz.honesty_figures import Dot, dot_plot
from attnlab.viz.overlay import overlay
from attnlab.viz.titles import tap_titles

COUNTS = (50, 100, 200, 500)
DEFAULT_COUNT = 200
LOOK_SECONDS = 1.0
SLOW = "honesty.slow"


@dataclass(frozen=True, eq=False)
class _Private:
    """Networks of this section alone: captum hangs hooks on them, so one session at a time."""

    run: OpenRun
    twin: OpenRun
    taps: list[str]
    lock: threading.Lock = field(default_factory=threading.Lock)


def honesty_section(shown: Shown) -> None:
    """The section for one run; nothing where its network has no attention."""
    record = shown.records[0]
    if not shown.panels[0].layers:
        return
    box = st.expander(
        "Honesty: is this map better than maps that need no attention?",
        key="honesty",
        on_change="rerun",
        bind="query-params",
        icon=":material/balance:",
    )
    if not box.open:
        return
    with box:
        folder = RunFolder(record.folder)
        weights = Measurement(folder, "any", 1).weights
        private = _private(str(record.folder), weights)
        if not private.taps:
            st.info(
                "This network makes channel gates only: one weight for a whole channel, none for a place. There is no map "
                "to lay beside Grad-CAM.",
                icon=":material/info:",
            )
            return
        titles = tap_titles([item.name for item in shown.panels[0].layers])
        tap = st.selectbox(
            "Map",
            private.taps,
            index=len(private.taps) - 1,
            format_func=lambda name: titles.get(name, name),
            key=f"honesty.tap.{record.run_id}",
            help="Element-wise maps are the mean over their channels, pairwise ones the attention each position receives.",
        )
        _strip(private, tap, shown.images[0])
        if record.config.dataset.name != NO_PICTURES:
            _measured(record, folder, tap)
        st.caption(
            "Deletion and insertion show the network pictures it never saw, so part of what they measure is its surprise. "
            "Attention is not explanation by itself: [Jain and Wallace 2019](https://arxiv.org/abs/1902.10186) and, against "
            "them, [Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626)."
        )


def _strip(private: _Private, tap: str, image: Tensor) -> None:
    """The map and its baselines on this picture; the slow ones when asked for."""
    slow = st.toggle("Slow baselines too", key=SLOW, help="Occlusion and integrated gradients: many passes for a picture.")
    wanted = [each for each in BASELINES.values() if slow or not each.slow]
    with private.lock:
        scene = Scene(private.run, private.twin, tap)
        seen = private.run.inspect(image[None]).probabilities[0]
        classes = torch.tensor([int(seen.argmax())])
        maps = [("This map", "the attention the network computed", attention_map(private.run, image[None], tap)[0].numpy())]
        for each in wanted:
            maps.append((each.title, each.meaning, each.make(scene, image[None], classes)[0].numpy()))
    picture = image.permute(1, 2, 0).numpy()
    with st.container(horizontal=True, gap="small"):
        for title, meaning, values in maps:
            with st.container(width=150):
                st.markdown(f"**{title}**")
                st.image(_drawn(picture, values), width=144)
                st.caption(meaning[0].upper() + meaning[1:] + ("; the same everywhere here." if np.ptp(values) == 0 else "."))
    st.caption(
        f"Each stretched to its own range, since only their shapes can be compared; the class is the predicted one, "
        f"{private.run.class_names[int(classes)]}."
    )


def _drawn(picture: NDArray[np.uint8], values: NDArray[np.floating]) -> NDArray[np.uint8]:
    low, span = float(values.min()), float(np.ptp(values))
    grown = max(1, -(-144 // max(picture.shape[:2])))
    large = picture.repeat(grown, axis=0).repeat(grown, axis=1)
    return overlay(large, (values - low) / span if span else np.zeros_like(values), opacity=0.7)


def _measured(record: RunRecord, folder: RunFolder, tap: str) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.markdown("#### Over many test pictures")
    kept = [each.count for each in kept_measurements(folder) if each.tap == tap and each.seed == 0 and each.count in COUNTS]
    first = COUNTS.index(max(kept, default=DEFAULT_COUNT))
    count = right.selectbox("Test pictures", COUNTS, index=first, key=f"honesty.count.{record.run_id}.{tap}")
    asked = Measurement(folder, tap, count)
    running = asked.see().state is MeasurementState.RUNNING
    st.fragment(_progress, run_every=LOOK_SECONDS if running else None)(asked)


def _progress(asked: Measurement) -> None:
    """Start, stop, how far it is, or what came out."""
    seen = asked.see()
    if seen.state is MeasurementState.RUNNING:
        share = seen.done / seen.total if seen.total else 0.0
        said = f"{seen.done} of {seen.total} pictures" if seen.total else seen.phase.capitalize()
        st.progress(share, f"{said}. It goes on when this page is closed.")
        if st.button("Stop", key="honesty.stop", icon=":material/stop:", disabled=asked.stopping()):
            asked.stop()
        st.session_state["honesty.watched"] = str(asked.path)
        return
    if st.session_state.pop("honesty.watched", None) == str(asked.path):
        st.rerun()  # ends the ticking
    if seen.state is MeasurementState.DONE:
        tree = asked.result()
        if tree is not None:
            _result(Honesty.from_tree(tree))
        return
    if seen.state is MeasurementState.FAILED:
        st.error(f"The last measurement failed: {seen.reason}", icon=":material/error:")
    elif seen.state is MeasurementState.STOPPED:
        st.info("The last measurement was stopped.", icon=":material/stop_circle:")
    if st.button(f"Measure on {asked.count} test pictures", key="honesty.start", icon=":material/play_arrow:"):
        try:
            asked.start()
        except OSError as error:
            st.error(f"No process can be started: {error}", icon=":material/error:")
            return
        st.rerun()
    st.caption("In the background, about a quarter of a second a picture of 32 × 32; the result is kept with the run.")


def _result(found: Honesty) -> None:
    for measure, title in (("overlap", "Does it find the object?"), ("deletion", "Does the prediction depend on it?")):
        if measure in found.values:
            st.markdown(f"**{title}**")
            st.markdown("\n".join(f"- {each.sentence()}" for each in found.comparisons(measure)))
    st.markdown(f"**Was it there before learning?**\n- {found.twin_sentence()}")
    names = [name for name in MEASURES if name in found.values]
    measure = st.segmented_control(
        "Measure",
        names,
        default="overlap" if "overlap" in names else names[0],
        required=True,
        format_func=lambda name: MEASURES[name].title,
        key=f"honesty.measure.{len(names)}",
        help="  \n".join(f"**{MEASURES[name].title}**: {MEASURES[name].meaning}." for name in names),
    )
    about = MEASURES[measure]
    st.plotly_chart(dot_plot(dots(found, measure), about.title), key="honesty.dots", config={"displayModeBar": False})
    st.caption(f"{about.meaning[0].upper()}{about.meaning[1:]}. Bars: 95 % intervals over {len(found.images)} pictures.")
    st.dataframe(rows(found, measure), hide_index=True)


def dots(found: Honesty, measure: str) -> list[Dot]:
    """The map first, then its baselines; those without any figure are left out."""
    means = {name: found.summary(measure, name) for name in found.values[measure]}
    return [Dot(_title(name), mean.value, mean.low, mean.high, name == MAP) for name, mean in means.items() if mean is not None]


def rows(found: Honesty, measure: str) -> Sequence[dict[str, str]]:
    """The paired comparisons, as a person reads them."""
    words = {True: "better", False: "worse", None: "cannot be told"}
    return [
        {
            "Map against": _title(each.baseline),
            "Better on": f"{100 * each.share.value:.0f} % of {each.share.count}",
            "95 % interval": f"{100 * each.share.low:.0f} to {100 * each.share.high:.0f} %",
            "Mean difference": f"{each.difference.value:+.3f} ({each.difference.low:+.3f} to {each.difference.high:+.3f})",
            "Sign test (Holm)": p_words(each.p_holm),
            "Wilcoxon": p_words(each.p_wilcoxon),
            "The map is": words[each.verdict],
        }
        for each in found.comparisons(measure)
    ]


def _title(name: str) -> str:
    return "This map" if name == MAP else BASELINES[name].title


@st.cache_resource(max_entries=2, show_spinner="Opening the network and its untrained twin")
def _private(folder: str, weights: int) -> _Private:
    path = Path(folder)
    run = open_run(path, RunFolder(path).best_or_last)
    return _Private(run, untrained_twin(run), spatial_taps(run))
