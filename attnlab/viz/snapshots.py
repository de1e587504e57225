"""What a run stored during training as a panel for the viewer: a probe image with its maps at every step that was kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from attnlab.maps import MapKind, MapScale, derived, over_one_position, tap_titles
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import tested_step
from attnlab.viz.panels import Layer, Panel, layer_from_codes

if TYPE_CHECKING:
    from attnlab.training.events import ProbeEvent, SnapshotMap

REDUCED = {
    MapKind.SPATIAL: "",
    MapKind.ELEMENT: "Shown here: the mean over the channels.",
    MapKind.PAIRWISE: "Shown here: the attention each position receives.",
}
"""The kinds that are stored by position, and what is shown of them."""
ONE_POSITION = "This map has one position, so its weight is always 1: attention over one position is the identity."


def snapshot_panel(
    folder: RunFolder,
    picture: int,
    *,
    title: str,
    colour: str = "",
    subtitle: str = "",
    titles: Mapping[str, str] | None = None,
) -> Panel:
    """A probe image of a run with its maps at every step that has a snapshot. Needs no torch.

    Args:
        titles: map -> title, for the maps to show; all of them when `None`.

    Raises:
        ValueError: when the run has no snapshots or no probe images that can be read.
    """
    known = probes_and_classes(folder)
    snapshots, problems = folder.readable_snapshots()
    if known is None or not snapshots:
        raise ValueError(problems[0] if problems else f"{folder.run_id} stored no maps during training")
    probes, classes = known
    if snapshots[-1].probabilities.shape[1] != len(classes):
        raise ValueError(f"{folder.run_id}/dataset.json does not name the classes that this network tells apart")
    steps = [snapshot.step for snapshot in snapshots]
    maps = [{stored.name: stored for stored in snapshot.maps} for snapshot in snapshots]
    titles = titles or tap_titles(list(maps[-1]))
    layers: list[Layer] = [
        layer_from_codes(
            name,
            MapKind.SPATIAL if stored.kind in REDUCED else stored.kind,
            np.stack([by_name[name].codes[picture] for by_name in maps]),
            np.array([by_name[name].peaks[picture] for by_name in maps]),
            title=titles[name],
            floor=[0.0 if (floors := by_name[name].floors) is None else floors[picture] for by_name in maps],
            scale=stored.scale,
            neutral=stored.neutral,
            branches=stored.branches,
            note=map_note(name, stored.kind, stored.scale, stored.grid, _reduction(stored)),
            cells=probes.cells_of(stored),
            picture=probes.images.shape[2:],
        )
        for name, stored in maps[-1].items()
        if name in titles
    ]
    return Panel(
        title=title,
        subtitle=subtitle,
        image=probes.images[picture].transpose(1, 2, 0),
        layers=layers,
        classes=list(classes),
        probabilities=np.stack([each.probabilities[picture] for each in snapshots]).astype(np.float32) if classes else None,
        truth=None if probes.labels[picture] < 0 else int(probes.labels[picture]),
        steps=steps,
        tested=tested_step((folder.end() or {}).get("result"), folder.progress().get("total_steps", 0), folder.config),
        mask=None if probes.masks is None else probes.masks[picture],
        colour=colour,
        run=folder.run_id,
    )


def map_note(name: str, kind: MapKind, scale: MapScale, grid: tuple[int, int], more: str = "") -> str:
    """What is to be said beside a map: what a derived map says, or that a map has one position; and ``more``."""
    if over_one_position(kind, scale, grid):
        return ONE_POSITION
    made = derived(name)
    return " ".join(filter(None, ("" if made is None else made.note, more)))


def probes_and_classes(folder: RunFolder) -> tuple[ProbeEvent, tuple[str, ...]] | None:
    """The probe images of a run and its classes; `None` before the training has begun.

    Raises:
        FolderError: when one of the files is damaged, or they do not belong together.
    """
    probes, about = folder.probes(), folder.dataset_summary()
    if probes is None or about is None:
        return None
    classes = tuple(about["class_names"])
    lowest = -1 if folder.config.recorded else 0  # -1: nobody has said which class it is
    if len(probes.labels) and not lowest <= probes.labels.min() <= probes.labels.max() < max(1, len(classes)):
        raise FolderError(f"{folder.run_id}/dataset.json does not name the classes of the probe images")
    return probes, classes


def _reduction(stored: SnapshotMap) -> str:
    """What is shown of a map where not all of it was stored; empty where all of it was."""
    notes = [REDUCED.get(stored.kind, "")]
    (kept_height, kept_width), (height, width) = stored.kept, stored.grid
    if stored.kind is MapKind.BRANCH:
        if stored.kept != stored.grid:
            kept = f"{kept_width} of {width} channels, evenly spaced and renumbered"
            notes.append(f"Stored: {kept if kept_width > 1 else f'the mean over {width} channels'}.")
    elif stored.kind is MapKind.CHANNEL:
        if kept_width < width:  # files of the first version say 1 x 1 for all channels
            notes.append(f"Stored: {kept_width} of {width} channels, evenly spaced and renumbered.")
    elif stored.kept != stored.grid:
        notes.append(f"Stored on {kept_height} × {kept_width} of {height} × {width} positions.")
    return " ".join(filter(None, notes))
