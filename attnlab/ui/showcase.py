"""The moving picture of the first page: the shipped runs while they learn, on one image. Drawn without torch."""

from __future__ import annotations

import numpy as np
import streamlit as st

from attnlab.paths import DEMO_RUNS
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.naming import attention_name
from attnlab.ui.components.viewer import viewer
from attnlab.viz.palette import colour
from attnlab.viz.panels import Layer, Panel, layer_from_codes
from attnlab.viz.titles import tap_titles

REDUCED = {
    "spatial": "",
    "element": "The mean over the channels.",
    "pairwise": "The attention each position receives.",
}
SHOWN = 3


def showcase() -> None:
    """Up to three shipped runs side by side; where there are none, the command that makes them."""
    shipped = [folder for folder in run_folders(DEMO_RUNS) if _kinds(folder)]
    folders = ([folder for folder in shipped if _kinds(folder) & set(REDUCED)] or shipped)[:SHOWN]
    if not folders:
        st.info("No shipped runs are there yet. This makes them, in a few minutes:", icon=":material/info:")
        st.code("python -m attnlab demo", language="bash")
        return
    probes = folders[0].probes()
    picture = st.segmented_control(
        "Picture",
        range(len(probes.labels) if probes else 0),
        default=0,
        required=True,
        format_func=lambda index: f"{index + 1}",
        key="picture",
        bind="query-params",
        help="Test images that the networks have never been trained on.",
    )
    panels = _panels(tuple(folder.run_id for folder in folders), picture or 0)
    viewer(panels, key="home.viewer", compact=True, autoplay=True)


def _kinds(folder: RunFolder) -> set[str]:
    """The kinds of map a run has kept; gates of channels alone make no picture."""
    steps = folder.snapshot_steps()
    return set(folder.snapshot(steps[-1]).kinds.values()) if steps else set()


@st.cache_resource(max_entries=16, show_spinner=False)
def _panels(run_ids: tuple[str, ...], picture: int) -> list[Panel]:
    return [_panel(RunFolder(DEMO_RUNS / run_id), picture, index) for index, run_id in enumerate(run_ids)]


def _panel(folder: RunFolder, picture: int, index: int) -> Panel:
    probes, about = folder.probes(), folder.dataset_summary()
    if probes is None or about is None:
        raise ValueError(f"the shipped run {folder.run_id} is incomplete; make it anew with python -m attnlab demo")
    snapshots = [folder.snapshot(step) for step in folder.snapshot_steps()]
    last = snapshots[-1]
    # Titles leave out the variant where a run has one that makes pictures, so runs are compared place by place.
    pictures = [name for name in last.maps if last.kinds[name] in REDUCED]
    places = tap_titles(pictures or list(last.maps))
    layers: list[Layer] = []
    for name, place in places.items():
        layers.append(
            layer_from_codes(
                place,
                "spatial" if last.kinds[name] in REDUCED else last.kinds[name],
                np.stack([snapshot.maps[name][picture] for snapshot in snapshots]),
                np.array([snapshot.peaks[name][picture] for snapshot in snapshots]),
                scale=last.scales[name],
                note=REDUCED.get(last.kinds[name], ""),
            )
        )
    return Panel(
        title=attention_name(folder.config),
        image=probes.images[picture].transpose(1, 2, 0),
        layers=layers,
        classes=about["class_names"],
        probabilities=np.stack([snapshot.probabilities[picture] for snapshot in snapshots]).astype(np.float32),
        truth=int(probes.labels[picture]),
        steps=[snapshot.step for snapshot in snapshots],
        mask=None if probes.masks is None else probes.masks[picture],
        colour=colour(index),
    )
