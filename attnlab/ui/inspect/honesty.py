"""Honesty on the Inspect page: a map beside its baselines, and how all maps of the network compare with them over many images.

The strip is drawn while the section is open. The measurement runs in a process of its own (`attnlab.explain.honesty.process`)
and is found again when the page is reopened.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from attnlab.desk.permissions import Action
from attnlab.explain.baselines import BASELINES, BaselineContext, attention_map, baselines_of, measured_maps, untrained_twin
from attnlab.explain.honesty.comparison import CEILING, CEILING_MEANING, MAP, MEASURES, title_of
from attnlab.explain.honesty.depth import by_depth, measures_shown
from attnlab.explain.honesty.measure import Honesty
from attnlab.explain.honesty.process import Measurement, MeasurementState, finished_measurements
from attnlab.explain.open_run import OpenRun
from attnlab.maps import tap_behind, tap_titles
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord
from attnlab.stats.significance import p_words
from attnlab.ui.finder import pointing, tested
from attnlab.ui.format import plain
from attnlab.ui.glossary import CENTRE_PRIOR, HOLM
from attnlab.ui.inspect.network import Selection
from attnlab.ui.inspect.section import open_section
from attnlab.ui.reading import has_pictures
from attnlab.ui.run_cache import network_stamp, opened_network, separate_network
from attnlab.ui.state import manager
from attnlab.viz.first_layer import first_layer
from attnlab.viz.honesty_figures import DepthLine, Dot, depth_plot, dot_plot
from attnlab.viz.overlay import own_range_overlay

COUNTS = (50, 100, 200, 500)
DEFAULT_COUNT = 200
LOOK_SECONDS = 1.0
SLOW = "honesty.slow"
HELP = {BASELINES["centre_prior"].title: CENTRE_PRIOR}
LINES = {
    MAP: (0, "solid"),
    "untrained": (1, "dash"),
    "random": (6, "dot"),
    CEILING: (2, "dashdot"),
    "centre_prior": (5, "dash"),
    "grad_cam": (3, "dash"),
}
"""Colour and dashes of the lines of the figure by depth."""


@dataclass(frozen=True, eq=False)
class _Networks:
    """A run's network for this section alone, with its untrained twin. Captum puts hooks on it: one session at a time."""

    run: OpenRun
    twin: OpenRun
    taps: list[str]
    lock: threading.Lock = field(default_factory=threading.Lock)


def honesty_section(selection: Selection) -> None:
    """The section for one run; nothing when its network has no attention."""
    record = selection.records[0]
    if not selection.panels[0].layers:
        return
    box = open_section("Honesty: do these maps beat simple baselines?", key="honesty", icon=":material/balance:")
    if box is None:
        return
    with box:
        folder = RunFolder(record.folder)
        networks = _networks(str(record.folder), network_stamp(record), record)
        if not networks.taps:
            st.info(
                "This network has channel gates only: one weight per channel, none per position. There is no map to compare "
                "with Grad-CAM.",
                icon=":material/info:",
            )
            return
        titles = tap_titles(list(dict.fromkeys([*(item.name for item in selection.panels[0].layers), *networks.taps])))
        first, why = _first_map(folder, networks.taps, selection)
        tap = st.selectbox(
            "Map",
            networks.taps,
            index=networks.taps.index(first),
            format_func=lambda name: titles.get(name, name),
            key=f"honesty.tap.{record.run_id}",
            help="Element-wise maps are averaged over their channels; pairwise maps show the attention each position receives.",
        )
        if tap == first:
            st.caption(why)
        _strip(networks, tap, selection.images[0])
        if has_pictures(record):
            _measurement(record, folder, tap, titles)
        st.caption(
            "Deletion and insertion show the network images unlike any in training, so part of what they measure is its "
            "reaction to strange input. Attention alone is not an explanation: see "
            "[Jain and Wallace 2019](https://arxiv.org/abs/1902.10186) and the reply by "
            "[Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626)."
        )


def _first_map(folder: RunFolder, taps: Sequence[str], selection: Selection) -> tuple[str, str]:
    """The map that the section begins with, and a sentence on why it is this one."""
    confirmed = tested(folder)
    if confirmed is not None and confirmed.tap in taps:
        return confirmed.tap, (
            "This map was chosen on validation images in other trainings with these settings, and tested on test "
            f"images. {confirmed.sentence()} {confirmed.verdict()}"
        )
    best = next((each for each in pointing(folder) if each.tap in taps), None)
    if best is None:
        layers = selection.panels[0].layers
        shown = tap_behind(layers[first_layer(selection.panels[:1])].name, taps)
        why = "This run kept no images with outlined objects, so the section begins with the deepest map that can show a place."
        return (shown if shown in taps else taps[0]), why
    where = f"{best.hits} of the {best.images} images that the run kept maps of"
    if best.finds:
        return best.tap, f"This map comes first because it points at the object most often: in {where}."
    return best.tap, f"No map of this run clearly points at the object. This one does so most often: in {where}."


def _strip(networks: _Networks, tap: str, image: Tensor) -> None:
    """The map and its baselines on this image; the slow ones on demand."""
    slow = st.toggle(
        "Show slow baselines too", key=SLOW, help="Occlusion and integrated gradients, which take many passes per image."
    )
    baselines = [each for each in baselines_of(networks.run).values() if (slow or not each.slow) and each.name != tap]
    with networks.lock:
        context = BaselineContext(networks.run, networks.twin, tap)
        probabilities = networks.run.inspect(image[None]).probabilities[0]
        classes = torch.tensor([int(probabilities.argmax())])
        maps = [("This map", "the attention the network computed", attention_map(networks.run, image[None], tap, classes))]
        for baseline in baselines:
            maps.append((baseline.title, baseline.meaning, baseline.make(context, image[None], classes)))
    picture = image.permute(1, 2, 0).numpy()
    with st.container(horizontal=True, gap="small"):
        for title, meaning, placed in maps:
            values = placed.on(image[None])[0].numpy()
            with st.container(width=150):
                st.markdown(f"**{title}**", help=HELP.get(title))
                st.image(own_range_overlay(picture, values), width=144, alt=f"{title} over the picture")
                st.caption(meaning[0].upper() + meaning[1:] + ("; the same everywhere here." if np.ptp(values) == 0 else "."))
    st.caption(
        "Each map is stretched to its own range, since only their shapes can be compared. The class is the predicted one, "
        f"{plain(networks.run.class_names[int(classes)])}."
    )


def _measurement(record: RunRecord, folder: RunFolder, tap: str, titles: Mapping[str, str]) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.markdown("#### Every map of the network, over many test images")
    finished = [known.count for known in finished_measurements(folder) if known.seed == 0]
    first = COUNTS.index(max((count for count in finished if count in COUNTS), default=DEFAULT_COUNT))
    count = right.selectbox("Test images", COUNTS, index=first, key=f"honesty.count.{record.run_id}")
    measurement = Measurement(folder, count)
    running = measurement.status().state is MeasurementState.RUNNING
    st.fragment(_progress, run_every=LOOK_SECONDS if running else None)(record, measurement, tap, titles)


def _progress(record: RunRecord, measurement: Measurement, tap: str, titles: Mapping[str, str]) -> None:
    """Start, progress and stop, or the result."""
    status = measurement.status()
    if status.state is MeasurementState.RUNNING:
        share = status.done / status.total if status.total else 0.0
        text = f"{status.done} of {status.total} images" if status.total else status.phase.capitalize()
        st.progress(share, f"{text}. This continues when the page is closed.")
        stopping = measurement.stop_requested() or not manager().may(Action.STOP_MEASURING, record)
        if st.button("Stop", key="honesty.stop", icon=":material/stop:", disabled=stopping):
            manager().stop_measuring(record.run_id, measurement)
        st.session_state["honesty.watched"] = str(measurement.path)
        return
    if st.session_state.pop("honesty.watched", None) == str(measurement.path):
        st.rerun()  # ends the ticking
    if status.state is MeasurementState.DONE:
        try:
            measured = [Honesty.from_tree(tree) for tree in measurement.result() or ()]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            st.warning(f"The saved result is damaged ({plain(repr(error))}); measure again.", icon=":material/warning:")
        else:
            _result(measured, tap, titles)
            return
    if status.state is MeasurementState.FAILED:
        st.error(f"The last measurement failed: {plain(status.reason)}", icon=":material/error:")
    elif status.state is MeasurementState.STOPPED:
        st.info("The last measurement was stopped.", icon=":material/stop_circle:")
    if st.button(f"Measure all maps on {measurement.count} test images", key="honesty.start", icon=":material/play_arrow:"):
        try:
            manager().measure(record.run_id, measurement)
        except (OSError, ValueError) as error:
            st.error(f"The measurement could not be started: {plain(str(error))}", icon=":material/error:")
            return
        st.rerun()
    st.caption(
        "Runs in the background; with three maps it takes about half a second per image of 32 × 32. The result is kept with "
        "the run."
    )


def _result(found: Sequence[Honesty], tap: str, titles: Mapping[str, str]) -> None:
    """All maps by depth, then what was measured of the map that is chosen above."""
    names = [name for name in MEASURES if name in found[0].values]
    measure = st.segmented_control(
        "Measure",
        names,
        default=measures_shown(found)[0],
        required=True,
        format_func=lambda name: MEASURES[name].title,
        key=f"honesty.measure.{len(names)}",
        help="  \n".join(f"**{MEASURES[name].title}**: {MEASURES[name].meaning}." for name in names),
    )
    about = MEASURES[measure]
    lines = depth_lines(found, measure)
    taps = [each.tap for each in found]
    chosen = next((each for each in found if each.tap == tap), found[0])
    maps = [titles.get(name, name) for name in taps]
    st.plotly_chart(
        depth_plot(lines, maps, taps.index(chosen.tap), about.title, percent=measure == "pointing"),
        key="honesty.depth",
        config={"displayModeBar": False},
    )
    st.caption(
        f"{about.meaning[0].upper()}{about.meaning[1:]}. From the first map of the network, on the left, to the last; bars are "
        f"95% intervals over {len(chosen.images)} images. *{title_of('random')}*: {BASELINES['random'].meaning}."
        + (f" *{title_of(CEILING)}*: {CEILING_MEANING}; no network can do that." if CEILING in chosen.values[measure] else "")
    )
    st.markdown(f"##### The chosen map: {plain(titles.get(chosen.tap, chosen.tap))}")
    for asked, title in (("overlap", "Does it locate the object?"), ("deletion", "Does the prediction depend on it?")):
        if asked in chosen.values:
            st.markdown(f"**{title}**")
            st.markdown("\n".join(f"- {comparison.sentence()}" for comparison in chosen.comparisons(asked)))
    st.markdown(f"**Was it there before training?**\n- {chosen.twin_sentence()}")
    st.plotly_chart(dot_plot(dots(chosen, measure), about.title), key="honesty.dots", config={"displayModeBar": False})
    st.dataframe(
        rows(chosen, measure),
        hide_index=True,
        column_config={"Sign test (Holm)": st.column_config.TextColumn(help=f"Over the images that differ. {HOLM}")},
    )


def depth_lines(found: Sequence[Honesty], measure: str) -> list[DepthLine]:
    """The lines of the figure by depth."""
    return [
        DepthLine(
            "The network's maps" if name == MAP else title_of(name),
            *LINES[name],
            [None if mean is None else (mean.value, mean.low, mean.high) for mean in line],
            ours=name == MAP,
        )
        for name, line in by_depth(found, measure).items()
    ]


def dots(honesty: Honesty, measure: str) -> list[Dot]:
    """The map first, then its baselines; those without any value are left out."""
    means = {name: honesty.summary(measure, name) for name in honesty.values[measure]}
    return [
        Dot(title_of(name), mean.value, mean.low, mean.high, name == MAP) for name, mean in means.items() if mean is not None
    ]


def rows(honesty: Honesty, measure: str) -> Sequence[dict[str, str]]:
    """The paired comparisons, as a person reads them."""
    verdicts = {True: "better", False: "worse", None: "inconclusive"}
    return [
        {
            "Map against": title_of(comparison.baseline),
            "Better on": f"{comparison.share.value:.0%} of {comparison.share.count}",
            "95% interval": f"{comparison.share.low:.0%} to {comparison.share.high:.0%}",
            "Mean difference": f"{comparison.difference.value:+.3f} ({comparison.difference.low:+.3f} to "
            f"{comparison.difference.high:+.3f})",
            "Sign test (Holm)": p_words(comparison.p_holm),
            "Wilcoxon": p_words(comparison.p_wilcoxon),
            "The map is": verdicts[comparison.verdict],
        }
        for comparison in honesty.comparisons(measure)
    ]


@st.cache_resource(max_entries=2, show_spinner="Opening the network, trained and untrained")
def _networks(folder: str, stamp: int, _record: RunRecord) -> _Networks:
    run = separate_network(opened_network(_record))
    return _Networks(run, untrained_twin(run), measured_maps(run))
