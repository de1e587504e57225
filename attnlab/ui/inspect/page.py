"""The Inspect page: the choice of run and image, and the maps in the viewer.

What needs the network itself is in `attnlab.ui.inspect.network`, imported once torch is loaded. The maps that a run kept
during training are drawn without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from attnlab.config import RECORDED
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history, steps_per_epoch
from attnlab.runs.naming import attention_name, run_name, run_names, short_names
from attnlab.runs.records import RunRecord
from attnlab.ui.components.curves import Curve, curves
from attnlab.ui.components.offline import Laboratory, offline_page
from attnlab.ui.components.picker import Thumbnail, picker
from attnlab.ui.components.viewer import viewer
from attnlab.ui.finder import finder, tested
from attnlab.ui.format import plain
from attnlab.ui.hidden import download_button, shown
from attnlab.ui.inspect.images import images_to_show, run_colour
from attnlab.ui.inspect.section import VIEWER, following
from attnlab.ui.links import keep_linked
from attnlab.ui.problems import told
from attnlab.ui.reading import has_pictures, left_out_of_run
from attnlab.ui.snapshots import marked_epoch, tested_epoch, tested_step, weights_of_maps
from attnlab.ui.state import colours, manager
from attnlab.ui.waiting import wait_for_torch
from attnlab.viz.overlay import thumbnails
from attnlab.viz.panels import Panel
from attnlab.viz.raw_maps import json_bytes, npz_bytes, panel_arrays
from attnlab.viz.snapshots import probes_and_classes, snapshot_panel

if TYPE_CHECKING:
    from attnlab.ui.inspect.network import Selection

SOURCES = {"test": "Test images", "learned": "During training", "own": "Your own image"}
MOST_BESIDE = 3
NOT_SAID = (
    "**What a map does not say.** A map holds the weights that the network applied to its features. A high weight does not "
    "prove that the prediction depends on that place, and a low weight does not prove the opposite: earlier layers have "
    "mixed the features, and other paths lead around the attention. "
    "See [Jain and Wallace 2019](https://arxiv.org/abs/1902.10186), "
    "[Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626) and, on maps that look right in untrained networks, "
    "[Adebayo et al. 2018](https://arxiv.org/abs/1810.03292)."
)
RECORDED_FACTS = (
    "This run was recorded from another program's training. attnlab shows its curves and the maps that it kept, but cannot "
    "build its network: there are no maps of other images here, no surgery and no sanity checks, and the training cannot be "
    "continued. In Python, `attnlab.show(model, images)` shows any image as long as you have the network."
)


@dataclass(frozen=True)
class Chosen:
    """What a person looks at.

    Attributes:
        record: the run. beside: those to compare it with.
        source: the place for the choice of images. more: a folded one for whatever else can be chosen, so that the map is seen
            at once.
    """

    record: RunRecord
    beside: list[RunRecord]
    source: DeltaGenerator
    more: DeltaGenerator


def choose_run() -> Chosen | None:
    """The run of the link, or else `_first_run`, and the runs to compare it with; `None` when there is no run at all."""
    known = manager().runs()
    records = [record for record in known if _has_maps(record)]
    linked = st.query_params.get("run", "")
    by_id = {record.run_id: record for record in records}
    if linked and linked not in by_id:
        found = next((record for record in known if record.run_id == linked), None)
        if found is None:
            _missing(linked)
        else:
            _without_maps(found)
    if not records:
        _no_runs()
        return None
    first = by_id[linked] if linked in by_id else _first_run(records)
    if not shown("run"):
        chosen = [name for name in st.query_params.get_all("beside") if name in by_id]
        source, right = st.columns([9, 2], vertical_alignment="bottom")
        beside = [other for other in _comparable(first, records) if other.run_id in chosen][:MOST_BESIDE]
        return Chosen(first, beside, source, _more(right))
    left, source, right = st.columns([4, 5, 2.4], vertical_alignment="bottom")
    more = _more(right)
    names = run_names(records)
    ids = list(by_id)
    run_id = left.selectbox(
        "Run",
        ids,
        index=ids.index(first.run_id),
        format_func=lambda run_id: names.get(run_id, run_id),
        key="inspect.run",
    )
    record = by_id[run_id]
    comparable = _comparable(record, records)
    linked_runs = [name for name in st.query_params.get_all("beside") if any(other.run_id == name for other in comparable)]
    names_beside = more.multiselect(
        "Compare with another run",
        [other.run_id for other in comparable],
        default=linked_runs[:MOST_BESIDE],
        format_func=lambda run_id: names.get(run_id, run_id),
        max_selections=MOST_BESIDE,
        key=f"inspect.beside.{run_id}",
        placeholder="no other run",
        select_all=False,
        disabled=not comparable,
    )
    st.query_params["run"] = run_id
    st.query_params["beside"] = names_beside
    return Chosen(record, [by_id[name] for name in names_beside], source, more)


def _more(place: DeltaGenerator) -> DeltaGenerator:
    return place.popover("Compare, filter", icon=":material/tune:", width="stretch")


def _comparable(record: RunRecord, records: Sequence[RunRecord]) -> list[RunRecord]:
    """The other runs on the same images."""
    return [other for other in records if other.config.dataset == record.config.dataset and other is not record]


def inspector(chosen: Chosen) -> Selection | None:
    """Asks for an image and shows the maps that the runs compute for it; returns the networks and images on the page."""
    record, beside = chosen.record, chosen.beside
    folder = RunFolder(record.folder)
    offered = [name for name in SOURCES if name == "learned" or (folder.has_weights and not record.config.recorded)]
    if not folder.snapshot_steps():
        offered.remove("learned")
    if not has_pictures(record):
        offered = [name for name in reversed(offered) if name != "test"]
    linked = st.query_params.get("from", "")
    source = (
        (linked if linked in offered else offered[0])
        if not shown("source")
        else chosen.source.segmented_control(
            "Image",
            offered,
            default=linked if linked in offered else offered[0],
            format_func=SOURCES.__getitem__,
            required=True,
            key=f"inspect.from.{'.'.join(offered)}",
            label_visibility="collapsed",
        )
    )
    keep_linked("from", source if source != offered[0] else "")
    if record.demo and "test" not in offered:
        st.caption(
            f"This run was trained on real images, {plain(record.config.dataset.name)}, which are not shipped with it. Try an "
            "image of your own, or look at the images that the run kept."
        )
    records = [record, *beside]
    if source == "learned":
        _during_training(records)
        return None
    wait_for_torch()
    from attnlab.ui.inspect.network import choose_own_image, choose_test_images

    selection = choose_test_images(records, [chosen.more] * 3) if source == "test" else choose_own_image(records)
    if selection is not None:
        viewer(selection.panels, key=VIEWER, link=True, first=finder(folder), tells=following())
        with st.container():  # there from the beginning, so that what comes after it stays as a person has set it
            if selection.note:
                st.caption(selection.note)
        download_buttons(selection.panels, records, selection.raw_arrays, partial(_laboratory, selection))
    return selection


def choose_one(selection: Selection) -> Selection:
    """The network and image for the sections below the viewer: where several are on the page, the one a person chooses."""
    titles = [panel.title for panel in selection.panels]
    if len(titles) == 1:
        return selection
    chosen = st.segmented_control(
        "Used in the sections below",
        titles,
        default=titles[0],
        required=True,
        format_func=plain,
        key=f"inspect.closer.{'.'.join(titles)}",
    )
    return selection.one(titles.index(chosen))


def _laboratory(selection: Selection) -> Laboratory | None:
    from attnlab.ui.inspect.surgery import laboratory

    return laboratory(selection)


def download_buttons(
    panels: Sequence[Panel],
    records: Sequence[RunRecord],
    arrays: Callable[[], Mapping[str, NDArray[Any]]] | None = None,
    laboratory: Callable[[], Laboratory | None] = lambda: None,
) -> None:
    """Buttons that save what the viewer shows. A file is made when its button is pressed.

    Args:
        arrays: computes the maps in full precision; without it they are saved as the panels hold them.
        laboratory: the network for the offline page.
    """
    name = records[0].run_id
    title = " and ".join(attention_name(record.config) for record in records)
    make = arrays or (lambda: panel_arrays(panels))
    files: tuple[tuple[str, str, str, str, Callable[[], bytes]], ...] = (
        (
            *("Save as an offline page", "html", "text/html", "html"),
            lambda: offline_page(
                panels,
                title=title,
                note=f"Attention maps of {name}, made with attnlab.",
                first=finder(RunFolder(records[0].folder)),
                laboratory=laboratory(),
            ).encode(),
        ),
        ("Save raw maps as NPZ", "npz", "application/octet-stream", "data_array", lambda: npz_bytes(make())),
        ("Save as JSON", "json", "application/json", "data_object", lambda: json_bytes(make())),
    )
    with st.container(horizontal=True):
        for label, ending, mime, icon, content in files:
            download_button(
                label,
                content,
                file_name=f"{name}.{ending}",
                mime=mime,
                icon=f":material/{icon}:",
                on_click="ignore",
                type="tertiary",
                key=f"inspect.save.{ending}",
            )


def facts(record: RunRecord) -> None:
    """What the variant is, and what its maps do not show."""
    if record.note:
        st.text(record.note)
    if record.config.recorded:
        st.info(RECORDED_FACTS, icon=":material/videocam:")
        st.caption(NOT_SAID)
        return
    wait_for_torch()
    from attnlab.ui.inspect.network import foreign_facts, variant_facts

    left_out_of_run(record, "inspect")
    if record.config.model.foreign:
        foreign_facts(record)
    else:
        variant_facts(record.config.model)
    if words := tested_epoch(record):
        st.caption(f"The maps and predictions of the trained network are those {words}.")
    st.caption(NOT_SAID)


def _during_training(records: Sequence[RunRecord]) -> None:
    folder = RunFolder(records[0].folder)
    known = probes_and_classes(folder)
    if known is None:
        st.info("This run has not started training yet.", icon=":material/info:")
        return
    probes, classes = known
    names = [classes[label] if label >= 0 else f"image {index + 1}" for index, label in enumerate(probes.labels)]
    strip = [Thumbnail(index, name, f"Probe image {index + 1}: {name}") for index, name in enumerate(names)]
    key = f"inspect.probes.{records[0].run_id}"
    (index,) = images_to_show(range(len(strip)), key, "probe")
    picker(strip, thumbnails(probes.images), chosen=[index], key=key)
    live = any(record.state.live for record in records)
    st.fragment(_maps_and_curves, run_every=2.0 if live else None)([record.run_id for record in records], index)


def _maps_and_curves(run_ids: Sequence[str], index: int) -> None:
    """The maps over the training steps, and the loss. Pointing at a step in one shows it in the other."""
    with told():
        _draw_maps_and_curves(run_ids, index)


def _draw_maps_and_curves(run_ids: Sequence[str], index: int) -> None:
    records = [manager().get(run_id) for run_id in run_ids]
    panels = []
    titles = short_names(records)
    for record in records:
        steps = RunFolder(record.folder).snapshot_steps()
        if steps:
            panel, problems = _snapshots(str(record.folder), steps[-1], index, titles[record.run_id], run_colour(record))
            panels.append(panel)
            if problems:
                st.warning(f"Left out, {len(problems)} of {len(steps)}: {plain(problems[0])}", icon=":material/warning:")
        else:
            st.caption(f"{plain(run_name(record))} kept no maps during training.")
    viewer(panels, key=VIEWER, link=True, sync="inspect", first=finder(RunFolder(records[0].folder)))
    download_buttons(panels, records)
    st.caption(
        " ".join(["Point at a step in the loss chart to see the maps of that step.", *map(marked_epoch, records)]).strip()
    )
    colour_of = colours(manager().runs())
    lines = []
    for record in records:
        rows = history(record)
        per_epoch = steps_per_epoch(record, rows)
        about = (run_name(record), colour_of[record.group], record.attempt)
        lines.append(Curve(record.run_id, *about, rows.steps, rows.losses, rows.epochs, per_epoch, tested=tested_step(record)))
    curves(lines, key="inspect.curves", sync="inspect")
    weights_of_maps(records, "inspect")


@st.cache_resource(max_entries=32, show_spinner=False)
def _snapshots(path: str, newest: int, index: int, title: str, colour: str) -> tuple[Panel, list[str]]:
    """The maps, and which ones are damaged. Cached by the newest step, so that a live run is read again as it grows."""
    folder = RunFolder(Path(path))
    return snapshot_panel(folder, index, title=title, colour=colour), folder.readable_snapshots()[1]


def _first_run(records: Sequence[RunRecord]) -> RunRecord:
    """The newest run; where all are shipped, the one whose map finds the object most often, by tests over several trainings."""
    finding = []
    for record in records:
        if not record.demo:
            return records[0]
        measured = tested(RunFolder(record.folder))
        if measured is not None and measured.finds:
            finding.append((measured.chosen.mean("pointing"), record))
    return max(finding, key=lambda each: each[0])[1] if finding else records[0]


def _has_maps(record: RunRecord) -> bool:
    folder = RunFolder(record.folder)
    return folder.has_weights or bool(folder.snapshot_steps())


def _without_maps(record: RunRecord) -> None:
    st.warning(
        f"Of the run {plain(run_name(record))}, only its figures are here: it has neither weights nor kept maps, so there is "
        "nothing to look at.",
        icon=":material/link_off:",
    )
    st.page_link("pages/compare.py", label="Compare, where it counts", icon=":material/bar_chart:")


def _missing(run_id: str) -> None:
    st.warning(f"The link names a run that is not on this server: {plain(run_id)}.", icon=":material/link_off:")
    parts = run_id.split("-")
    if len(parts) == 5 and parts[1] != RECORDED and parts[3].startswith("s") and parts[3][1:].isdecimal():
        from attnlab.training.presets import one_minute  # needs torch, and few links are of such a run

        name, seed = parts[2], int(parts[3][1:])
        compositions = [f"{name[:at]}+{name[at + 1 :]}" for at, letter in enumerate(name) if letter == "_"]
        for attention in (name, *compositions):
            with suppress(ValueError):  # a variant or seed that does not exist
                if one_minute(attention, seed).run_id == run_id:
                    st.markdown("A run is named after its settings, so this command makes it again under the same name:")
                    st.code(f"attnlab train --attention {attention} --seed {seed}", language="bash")
                    return
        st.markdown("A run is named after its settings: trained with the same ones, it gets this name again.")


def _no_runs() -> None:
    st.info("There is no trained run yet, and the shipped runs are missing. Train one, or create the shipped runs:")
    st.page_link("pages/train.py", label="Train", icon=":material/play_circle:")
    st.code("attnlab demo", language="bash")
