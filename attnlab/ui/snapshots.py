"""What a run kept while it learned, drawn without torch: its maps as a panel, and the numbers that weigh whole maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import run_name
from attnlab.runs.records import RunRecord
from attnlab.viz.panels import Layer, Panel, layer_from_codes
from attnlab.viz.scalars import scalar_curves
from attnlab.viz.titles import scalar_titles, tap_titles

if TYPE_CHECKING:
    from attnlab.training.events import SnapshotEvent

REDUCED = {
    "spatial": "",
    "element": "Shown here: the mean over the channels.",
    "pairwise": "Shown here: the attention each position receives.",
}
"""The kinds that are kept as a picture over positions, and what such a picture is."""
ONE_POSITION = "This map has one position, so its weight is always 1: attention over one position is the identity."


def snapshot_panel(
    folder: RunFolder,
    picture: int,
    *,
    title: str,
    colour: str = "",
    subtitle: str = "",
    places: Mapping[str, str] | None = None,
) -> Panel:
    """A probe image of a run with its maps at every step that was kept. Needs no torch.

    Args:
        places: tap -> what its layer is called, of the taps to be shown; the viewer puts layers of one name side by side.
            All of them, under their own names, when `None`.

    Raises:
        ValueError: when the run has no snapshots or no probe images.
    """
    probes, about, steps = folder.probes(), folder.dataset_summary(), folder.snapshot_steps()
    if probes is None or about is None or not steps:
        raise ValueError(f"{folder.run_id} kept no maps while it learned")
    snapshots = [folder.snapshot(step) for step in steps]
    last = snapshots[-1]
    titles = tap_titles(list(last.maps))
    layers: list[Layer] = [
        layer_from_codes(
            places[name] if places else name,
            "spatial" if last.kinds[name] in REDUCED else last.kinds[name],
            np.stack([snapshot.maps[name][picture] for snapshot in snapshots]),
            np.array([snapshot.peaks[name][picture] for snapshot in snapshots]),
            title=places[name] if places else titles[name],
            scale=last.scales[name],
            note=ONE_POSITION if _one_position(last, name) else _kept_words(last, name),
        )
        for name in places or last.maps
    ]
    return Panel(
        title=title,
        subtitle=subtitle,
        image=probes.images[picture].transpose(1, 2, 0),
        layers=layers,
        classes=about["class_names"],
        probabilities=np.stack([snapshot.probabilities[picture] for snapshot in snapshots]).astype(np.float32),
        truth=int(probes.labels[picture]),
        steps=steps,
        mask=None if probes.masks is None else probes.masks[picture],
        colour=colour,
        run=folder.run_id,
    )


def _kept_words(snapshot: SnapshotEvent, name: str) -> str:
    """What is shown of a map where not all of it was kept."""
    notes = [REDUCED.get(snapshot.kinds[name], "")]
    (_, *kept), (height, width) = snapshot.maps[name].shape, snapshot.grids[name]
    if len(kept) == 1 and kept[0] < width:
        notes.append(f"Kept: {kept[0]} of {width} channels, evenly spaced; numbers count those kept.")
    elif len(kept) == 2 and tuple(kept) != (height, width):
        notes.append(f"Kept on {kept[0]} × {kept[1]} of {height} × {width} positions.")
    return " ".join(filter(None, notes))


def weights_of_maps(records: Sequence[RunRecord], key: str) -> None:
    """How the learned numbers that weigh whole maps grow, where the networks have such numbers.

    Args:
        key: prefix of the charts' keys.
    """
    for record in records:
        folder = RunFolder(record.folder)
        steps = folder.snapshot_steps()
        told = _scalars(str(folder.path), tuple(steps))
        if not told:
            continue
        name = f" of {run_name(record)}" if len(records) > 1 else ""
        now = ", ".join(f"{title} {values[-1]:+.3f}" for title, values in told.items())
        st.markdown(f"**How much the maps count{name}**")
        st.caption(
            "The block gives gamma times what was attended to, plus its input. Gamma starts at 0, where attention counts for "
            f"nothing whatever its map looks like; the further it is from 0, the more it counts. At step {steps[-1]:,}: {now}."
        )
        st.plotly_chart(scalar_curves(steps, told), key=f"{key}.scalars.{record.run_id}", alt="Gamma over the steps")


@st.cache_data(max_entries=32, show_spinner=False)
def _scalars(path: str, steps: tuple[int, ...]) -> dict[str, list[float]]:
    """Title -> value at each step; empty where the network has no such number, or an old run did not keep it."""
    kept = [RunFolder(Path(path)).snapshot(step).scalars for step in steps]
    names = [name for name in (kept[-1] if kept else {}) if all(name in scalars for scalars in kept)]
    titles = scalar_titles(names)
    return {titles[name]: [scalars[name] for scalars in kept] for name in names}


def _one_position(snapshot: SnapshotEvent, name: str) -> bool:
    return snapshot.scales[name] == "softmax" and snapshot.kinds[name] != "channel" and snapshot.grids[name] == (1, 1)
