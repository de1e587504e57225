"""What the first page shows: attention that looks where the object is beside attention that does not, in trained networks.

Each map has a sentence on what was measured of it. It comes from the tests over several trainings
(`attnlab.runs.showcase`); a run of which nothing was tested says what its kept images show. No torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from attnlab import paths
from attnlab.config import OWN_ATTENTION
from attnlab.maps import MapKind, MapScale, derived, tap_titles
from attnlab.paths import DEMO_RUNS
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.naming import attention_name
from attnlab.runs.showcase import LEVEL, Confirmed, read_showcase
from attnlab.ui.components.viewer import viewer
from attnlab.ui.finder import Pointing, pointing, tested
from attnlab.ui.format import plain
from attnlab.viz.palette import colour
from attnlab.viz.panels import Panel
from attnlab.viz.snapshots import REDUCED, probes_and_classes, snapshot_panel

SIDE = 2
"""So many maps find the object, and so many do not."""

TERMS = (
    """
- **Position.** The network describes the image on a grid, for *{name}* {height} × {width} positions. Each coloured square is
  one.
- **Channel.** At every position the network keeps many numbers, one per channel. A channel responds to one kind of
  pattern, for example to a slanted edge.
- **Gate.** From the image, this attention computes a number between 0 and 1 for each position. All channels there are
  multiplied by it: 0 removes them, 1 leaves them unchanged. The colour is this number.
""",
    """
- **Block and map.** A network is a chain of blocks. The weights of the attention in one block are a map. For *{name}*, shown
  first is the map of {place}; the buttons below it show those of the other blocks.
- **Outline.** The white line marks the object. It is drawn for you; the network never sees it.
- **Dashed line.** The squares are drawn where the network looks; it has no positions outside the line.
- **N × weight.** Self-attention has no gates: each position shares a total weight of 1 among all N positions. Its maps show
  N × weight, so that 1 is an equal share and 2 is twice that.
""",
)

KINDS = {
    MapKind.CHANNEL: "One weight per channel, the same at all positions, so it cannot say where.",
    MapKind.SPATIAL: "One weight per position.",
    MapKind.ELEMENT: "One weight per channel and position; shown is the mean over the channels.",
    MapKind.PAIRWISE: "Each position attends to all positions; shown is the attention that each one receives.",
    MapKind.BRANCH: "For each channel, the shares of several branches, the same at all positions, so it cannot say where.",
}


@dataclass(frozen=True, eq=False)
class DemoRun:
    """A shipped run that has maps to show.

    Attributes:
        titles: tap -> its title, for the maps that are shown.
        best: the tap that is shown first: the one that was tested, else the one that points at the object most often, else the
            one whose weights vary most.
        kind, scale, grid: of this tap.
        pointing: how often a map of the run points at the object; `None` where there are no masks.
        tested: what was found over several trainings; `None` where nothing was.
    """

    folder: RunFolder
    titles: dict[str, str]
    best: str
    kind: MapKind
    scale: MapScale
    grid: tuple[int, int]
    pointing: Pointing | None
    tested: Confirmed | None

    @property
    def title(self) -> str:
        return attention_name(self.folder.config)

    @property
    def finds(self) -> bool:
        """Whether the map finds the object: by the tests, else by the images that the run kept."""
        return self.tested.finds if self.tested is not None else self.pointing is not None and self.pointing.finds

    @property
    def share(self) -> float:
        """How often it points at the object, in [0, 1]."""
        return self.tested.chosen.mean("pointing") if self.tested is not None else self.pointing.share if self.pointing else 0.0

    def sentence(self) -> str:
        """What was measured of it."""
        return self.tested.sentence() if self.tested is not None else _in_words(self.pointing)


def guided_example() -> None:
    """Shipped runs whose map finds the object beside others, and what the words mean; without any, how to make them."""
    runs = _runs()
    if not runs:
        st.info("There are no shipped runs yet. This command creates them in a few minutes:", icon=":material/info:")
        st.code("attnlab demo", language="bash")
        return
    finding, others = [run for run in runs if run.finds], [run for run in runs if not run.finds]
    probes = runs[0].folder.probes()
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
    sides = [side for side in (finding, others) if side]
    for side, column in zip(sides, st.columns([len(side) for side in sides], gap="large"), strict=True):
        with column:
            if side is finding:
                st.markdown("#### :green[These find the object]")
                st.caption("Nobody told the networks where it is.")
            elif finding:
                st.markdown("#### These do not")
                st.caption("They may read the image correctly all the same.")
            _side(side, image or 0, runs.index(side[0]))
    st.caption(_how_told(runs))
    guide = next((run for run in runs if run.kind is MapKind.SPATIAL and run.scale is MapScale.GATE), None)
    if guide is not None:
        st.subheader("How to read a map", anchor=False)
        about = {"name": plain(guide.title), "height": guide.grid[0], "width": guide.grid[1], "place": guide.titles[guide.best]}
        for terms, column in zip(TERMS, st.columns(2, gap="large"), strict=True):
            column.markdown(terms.format(**about))


def _side(runs: Sequence[DemoRun], image: int, first: int) -> None:
    """Some runs side by side, each with its sentence; they play together.

    Args:
        first: place of the first of them on the page.
    """
    for place, (run, column) in enumerate(zip(runs, st.columns(len(runs), gap="medium"), strict=True), first):
        with column:
            panels = [_panel(run, image, place)]
            viewer(panels, key=f"home.viewer.{place}", compact=True, autoplay=True, first=run.best)
            st.markdown(" ".join(filter(None, (KINDS[run.kind], run.sentence()))))


def _how_told(runs: Sequence[DemoRun]) -> str:
    """How it is known which maps find the object, and which attention cannot say where."""
    sentences = ["A map shows where a network weights its features, not why it decides."]
    if all(run.tested is not None for run in runs):
        sentences.append(
            "A map counts as finding the object if in every training it beats the untrained network, the middle of the image "
            "and a random map, by its highest weight and by its overlap with the object "
            f"(p < {LEVEL} after Holm's correction). It was chosen on other images and in other trainings."
        )
    showcase = read_showcase(paths.SHOWCASE)
    datasets = {run.tested.dataset for run in runs if run.tested is not None}
    silent = [each.name for each in showcase.not_measured if each.silent and each.dataset in datasets] if showcase else []
    if silent:
        sentences.append(f"Not shown: {plain(', '.join(silent))}, with one weight per channel, which says nothing about where.")
    return " ".join(sentences)


def _runs() -> list[DemoRun]:
    """As `_chosen`, which is asked again when a shipped run, or what was tested of one, has changed."""
    changed = [place.stat().st_mtime_ns for folder in run_folders(DEMO_RUNS) for place in _places(folder) if place.exists()]
    tests = paths.SHOWCASE.stat().st_mtime_ns if paths.SHOWCASE.exists() else 0
    return _chosen(str(DEMO_RUNS), tuple(changed), tests)


def _places(folder: RunFolder) -> tuple[Path, ...]:
    return folder.path, folder.snapshots_path, folder.path / "config.json", folder.path / "dataset.json"


@st.cache_resource(max_entries=4, show_spinner=False)
def _chosen(place: str, changed: tuple[int, ...], tests: int) -> list[DemoRun]:
    """Runs on the data set of most shipped runs, no two of one attention: those that find the object, then those that do not.

    Of the first those that point at it most often, of the others those that do so least. All sessions share them, since every
    snapshot of every shipped run is read for it.
    """
    readable = [run for folder in run_folders(Path(place)) if (run := _demo_run(folder)) is not None]
    datasets = Counter(run.folder.config.dataset.model_dump_json() for run in readable).most_common(1)
    shipped = [run for run in readable if run.folder.config.dataset.model_dump_json() == datasets[0][0]]
    by_attention = {run.title: run for run in reversed(shipped)}
    runs = [run for run in by_attention.values() if run.kind.placed] or list(by_attention.values())
    finding = sorted((run for run in runs if run.finds), key=lambda run: -run.share)
    others = sorted((run for run in runs if not run.finds), key=lambda run: run.share)
    return [*finding[:SIDE], *others[:SIDE]]


def _demo_run(folder: RunFolder) -> DemoRun | None:
    """What a run has to show; `None` without maps, while it is being written, and where a file of it is damaged."""
    try:
        snapshots, _ = folder.readable_snapshots()
        if not snapshots or probes_and_classes(folder) is None or not folder.config:
            return None
    except FolderError:
        return None
    last = snapshots[-1]
    spatial = [stored for stored in last.maps if stored.kind in REDUCED and derived(stored.name) is None]
    maps = {stored.name: stored for stored in spatial or last.maps}
    if not maps:
        return None
    measured = tested(folder)
    best = next(iter(pointing(folder)), None)
    variation = {
        name: ((stored.codes.reshape(len(stored.codes), -1) / 255).std(axis=1) * stored.spans).mean()
        for name, stored in maps.items()
    }
    wanted = [each.tap for each in (measured, best) if each is not None and each.tap in maps]
    tap = wanted[0] if wanted else max(variation, key=lambda name: variation[name])
    shown, titles = maps[tap], tap_titles(list(maps))
    return DemoRun(folder, titles, tap, MapKind(shown.kind), MapScale(shown.scale), shown.grid, best, measured)


def _in_words(measured: Pointing | None) -> str:
    if measured is None:
        return ""
    hardly = "" if measured.finds else ", about as often as chance"
    return (
        f"Its highest weight lies on the object in {measured.hits} of the {measured.images} images{hardly}; a random position "
        f"would in {measured.chance:.0%}."
    )


def _panel(run: DemoRun, image: int, place: int) -> Panel:
    return _cached_panel(str(run.folder.path), image, place, run)


@st.cache_resource(max_entries=64, show_spinner=False)
def _cached_panel(path: str, image: int, place: int, _run: DemoRun) -> Panel:
    built_in = OWN_ATTENTION.get(_run.folder.config.model.backbone)
    title = f"{_run.title}, built into the network" if built_in else _run.title
    return snapshot_panel(_run.folder, image, title=title, colour=colour(place), titles=_run.titles)
