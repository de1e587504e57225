"""The animation of the first page: the shipped runs during training, on one image. Drawn without torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import streamlit as st

from attnlab.paths import DEMO_RUNS
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.naming import attention_name
from attnlab.ui.components.viewer import viewer
from attnlab.ui.snapshots import REDUCED, snapshot_panel
from attnlab.viz.palette import colour
from attnlab.viz.panels import Panel
from attnlab.viz.titles import tap_titles

SHOWN = 3


@dataclass(frozen=True, eq=False)
class DemoRun:
    """A shipped run that has maps to show.

    Attributes:
        places: tap -> its place in the network, without the variant, so that runs are compared place by place.
        variation: place -> standard deviation of the last snapshot's weights over the positions (or channels) of an image,
            mean over the images.
        spatial: whether its maps lie over positions; channel gates alone cannot be laid over an image.
    """

    folder: RunFolder
    places: dict[str, str]
    variation: dict[str, float]
    spatial: bool


def demo_strip() -> None:
    """Up to three shipped runs side by side on the same image; where there are none, the command that creates them."""
    folders = run_folders(DEMO_RUNS)
    datasets = Counter(folder.config.dataset.model_dump_json() for folder in folders).most_common(1)
    shipped = [
        run
        for folder in folders
        if folder.config.dataset.model_dump_json() == datasets[0][0] and (run := _demo_run(folder)) is not None
    ]
    runs = [run for run in shipped if run.spatial] or shipped
    if not runs:
        st.info("There are no shipped runs yet. This command creates them in a few minutes:", icon=":material/info:")
        st.code("python -m attnlab demo", language="bash")
        return
    runs = sorted(runs, key=lambda run: -max(run.variation.values()))[:SHOWN]
    probes = runs[0].folder.probes()
    image = st.segmented_control(
        "Image",
        range(len(probes.labels) if probes else 0),
        default=0,
        required=True,
        format_func=lambda index: f"{index + 1}",
        key="picture",
        bind="query-params",
        help="Test images, which the networks were not trained on. The layer shown first is the one whose weights vary most.",
    )
    panels = _panels(tuple(run.folder.run_id for run in runs), image or 0)
    viewer(panels, key="home.viewer", compact=True, autoplay=True, initial={"layer": _most_varied_layer(runs, panels)})


def _demo_run(folder: RunFolder) -> DemoRun | None:
    """What a run has to show; `None` without maps, or while it is being written."""
    steps = folder.snapshot_steps()
    if not steps or folder.dataset_summary() is None:
        return None
    last = folder.snapshot(steps[-1])
    spatial = [name for name in last.maps if last.kinds[name] in REDUCED]
    places = tap_titles(spatial or list(last.maps))
    if not places:
        return None
    variation = {}
    for name, place in places.items():
        images = len(last.maps[name])
        spread = (last.maps[name].reshape(images, -1) / 255).std(axis=1)
        variation[place] = float((spread * last.peaks[name]).mean())
    return DemoRun(folder, places, variation, bool(spatial))


def _most_varied_layer(runs: list[DemoRun], panels: list[Panel]) -> int:
    """Index of the layer whose weights vary most, summed over the runs, among all the layers of the viewer."""
    total: Counter[str] = Counter()
    for run in runs:
        total.update(run.variation)
    names = list(dict.fromkeys(item.name for panel in panels for item in panel.layers))
    return names.index(max(total, key=lambda place: total[place]))


@st.cache_resource(max_entries=16, show_spinner=False)
def _panels(run_ids: tuple[str, ...], image: int) -> list[Panel]:
    folders = [RunFolder(DEMO_RUNS / run_id) for run_id in run_ids]
    panels = []
    for index, folder in enumerate(folders):
        run = _demo_run(folder)
        if run is None:
            raise ValueError(f"the shipped run {folder.run_id} is incomplete; create it again with python -m attnlab demo")
        title = attention_name(folder.config)
        panels.append(snapshot_panel(folder, image, title=title, colour=colour(index), places=run.places))
    return panels
