"""What the first page shows: one shipped run as a guided example, and other kinds of attention on the same image. No torch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import streamlit as st

from attnlab.maps import MapKind, MapScale, tap_titles
from attnlab.paths import DEMO_RUNS
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.naming import attention_name
from attnlab.ui.components.viewer import viewer
from attnlab.ui.finder import Pointing, pointing
from attnlab.ui.snapshots import REDUCED, probes_and_classes, snapshot_panel
from attnlab.viz.palette import colour
from attnlab.viz.panels import Panel

OTHERS = 3

TERMS = """
- **Position.** The network describes the image on a grid, here {height} × {width} positions. Each coloured square is one.
- **Channel.** At every position the network keeps many numbers, one per channel. A channel responds to one kind of
  pattern, for example to a slanted edge.
- **Gate.** From the image, this attention computes a number between 0 and 1 for each position. All channels there are
  multiplied by it: 0 removes them, 1 leaves them unchanged. The colour is this number.
- **Block and map.** A network is a chain of blocks. The weights of the attention in one block are a map. This is the map of
  {place}; the buttons above it show those of the other blocks.
- **Outline.** The white line marks the object. It is drawn for you; the network never sees it.
- **Dashed line.** The squares are drawn where the network looks; it has no positions outside the line.
- **N × weight.** Self-attention has no gates: each position shares a total weight of 1 among all N positions. Its maps show
  N × weight, so that 1 is an equal share and 2 is twice that.
"""

KINDS = {
    MapKind.CHANNEL: "One weight per channel, the same at all positions, so it cannot say where.",
    MapKind.SPATIAL: "One weight per position.",
    MapKind.ELEMENT: "One weight per channel and position; shown is the mean over the channels.",
    MapKind.PAIRWISE: "Each position attends to all positions; shown is the attention that each one receives.",
}


@dataclass(frozen=True, eq=False)
class DemoRun:
    """A shipped run that has maps to show.

    Attributes:
        titles: tap -> its title, for the maps that are shown.
        best: the tap that is shown first: the one that points at the object most often, else the one whose weights vary most.
        kind, scale, grid: of this tap.
        pointing: how often it points at the object; `None` where there are no masks.
    """

    folder: RunFolder
    titles: dict[str, str]
    best: str
    kind: MapKind
    scale: MapScale
    grid: tuple[int, int]
    pointing: Pointing | None

    @property
    def title(self) -> str:
        return attention_name(self.folder.config)


def guided_example() -> None:
    """The shipped run whose map points best, explained, and others below it; without any, the command that creates them."""
    runs = _runs()
    if not runs:
        st.info("There are no shipped runs yet. This command creates them in a few minutes:", icon=":material/info:")
        st.code("attnlab demo", language="bash")
        return
    guide, *others = runs
    probes = guide.folder.probes()
    image = st.segmented_control(
        "Image",
        range(len(probes.labels) if probes else 0),
        default=0,
        required=True,
        format_func=lambda index: f"{index + 1}",
        key="picture",
        bind="query-params",
        help="Test images, which the networks were not trained on.",
    )
    left, right = st.columns(2, gap="large")
    with left:
        viewer([_panel(guide, image or 0, 0)], key="home.viewer", compact=True, autoplay=True, first=guide.best)
    with right:
        if guide.pointing is not None and guide.pointing.finds:
            st.markdown(_finding(guide.pointing))
        if guide.kind is MapKind.SPATIAL and guide.scale is MapScale.GATE:
            st.markdown(TERMS.format(height=guide.grid[0], width=guide.grid[1], place=guide.titles[guide.best]))
    if not others:
        return
    st.subheader("Other attention on the same image", anchor=False)
    for index, (run, column) in enumerate(zip(others, st.columns(len(others), gap="medium"), strict=True)):
        with column:
            viewer([_panel(run, image or 0, index + 1)], key=f"home.viewer.{index}", compact=True, first=run.best)
            st.caption(" ".join(filter(None, (KINDS[run.kind], _in_words(run.pointing)))))
    st.caption(
        "A map shows where a network weights its features, not why it decides. Many maps do not point at the object, and the "
        "network may be right all the same."
    )


def _runs() -> list[DemoRun]:
    """Runs on the data set of most shipped runs, the one that points best first, and no two of one attention."""
    readable = [run for folder in run_folders(DEMO_RUNS) if (run := _demo_run(folder)) is not None]
    datasets = Counter(run.folder.config.dataset.model_dump_json() for run in readable).most_common(1)
    shipped = [run for run in readable if run.folder.config.dataset.model_dump_json() == datasets[0][0]]
    by_attention = {run.title: run for run in reversed(shipped)}
    runs = [run for run in by_attention.values() if run.kind is not MapKind.CHANNEL] or list(by_attention.values())
    return sorted(runs, key=lambda run: -run.pointing.share if run.pointing else 0)[: 1 + OTHERS]


def _demo_run(folder: RunFolder) -> DemoRun | None:
    """What a run has to show; `None` without maps, while it is being written, and where a file of it is damaged."""
    try:
        snapshots, _ = folder.readable_snapshots()
        if not snapshots or probes_and_classes(folder) is None or not folder.config:
            return None
    except FolderError:
        return None
    last = snapshots[-1]
    spatial = [stored for stored in last.maps if stored.kind in REDUCED]
    maps = {stored.name: stored for stored in spatial or last.maps}
    if not maps:
        return None
    best = next(iter(pointing(folder)), None)
    variation = {
        name: ((stored.codes.reshape(len(stored.codes), -1) / 255).std(axis=1) * stored.peaks).mean()
        for name, stored in maps.items()
    }
    tap = best.tap if best is not None else max(variation, key=lambda name: variation[name])
    shown = maps[tap]
    return DemoRun(folder, tap_titles(list(maps)), tap, MapKind(shown.kind), MapScale(shown.scale), shown.grid, best)


def _finding(measured: Pointing) -> str:
    return (
        f"**This map finds the object.** Its highest weight lies on the object in {measured.hits} of the {measured.images} "
        f"images; a random position would in {measured.chance:.0%}. Nobody told the network where the object is. The map is "
        "shown first because it does this more often than the other maps here."
    )


def _in_words(measured: Pointing | None) -> str:
    if measured is None:
        return ""
    hardly = "" if measured.finds else ", about as often as chance"
    return f"The highest weight lies on the object in {measured.hits} of the {measured.images} images{hardly}."


def _panel(run: DemoRun, image: int, place: int) -> Panel:
    return _cached_panel(str(run.folder.path), image, place, run)


@st.cache_resource(max_entries=64, show_spinner=False)
def _cached_panel(path: str, image: int, place: int, _run: DemoRun) -> Panel:
    return snapshot_panel(_run.folder, image, title=_run.title, colour=colour(place), titles=_run.titles)
