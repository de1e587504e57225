"""Which map of a run to show first: the one that was chosen and tested over several trainings; else the one that points at
the object most often in the images that the run kept its maps of. No torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from attnlab import paths
from attnlab.geometry import Cells, stretched
from attnlab.maps import derived
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.showcase import Confirmed, read_showcase
from attnlab.viz.first_layer import TELLING_POSITIONS

BETTER_THAN_CHANCE = 2.0
"""A map finds the object if it points at it this many times as often as a random place would."""


@dataclass(frozen=True)
class Pointing:
    """How often one map points at the object, on the probe images of its run at the last step that kept maps.

    Attributes:
        tap: name of the map, as in `attnlab.attention.AttentionMap.name`.
        share: mean over the images of the part of the highest cell that lies on the object, in [0, 1].
        hits: images in which at least half of the highest cell lies on the object.
        images: all of them.
        chance: the share of the image that the object covers, mean over the images.
    """

    tap: str
    share: float
    hits: int
    images: int
    chance: float

    @property
    def finds(self) -> bool:
        """Whether the map points at the object clearly more often than a random place would."""
        return self.share > BETTER_THAN_CHANCE * self.chance


def pointing(folder: RunFolder) -> tuple[Pointing, ...]:
    """The maps of a run, the one that points at the object most often first; none without kept maps or without masks."""
    steps = folder.snapshot_steps()
    try:
        return _pointing(str(folder.path), steps[-1]) if steps else ()
    except FolderError:  # where the maps themselves are shown, the page says which file is damaged
        return ()


def tested(folder: RunFolder) -> Confirmed | None:
    """What was found of the maps of runs with these settings, over several trainings; `None` where nothing was measured."""
    showcase = read_showcase(paths.SHOWCASE)
    try:
        return showcase.of(folder.config.group) if showcase is not None else None
    except FolderError:  # its configuration cannot be read
        return None


def finder(folder: RunFolder) -> str | None:
    """The map to begin with; `None` where none was tested and no map points at the object clearly more often than chance."""
    if (measured := tested(folder)) is not None:
        return measured.tap
    best = next(iter(pointing(folder)), None)
    return best.tap if best is not None and best.finds else None


@st.cache_data(max_entries=64, show_spinner=False)
def _pointing(path: str, step: int) -> tuple[Pointing, ...]:
    folder = RunFolder(Path(path))
    probes = folder.probes()
    if probes is None or probes.masks is None or not probes.masks.any():
        return ()
    snapshots, _ = folder.readable_snapshots()
    if not snapshots:
        return ()
    shown = probes.masks.any(axis=(1, 2))
    masks = probes.masks[shown]
    measured = []
    for stored in snapshots[-1].maps:
        if derived(stored.name) or not stored.kind.placed or math.prod(stored.kept) < TELLING_POSITIONS:
            continue
        shares = _on_object(stored.codes[shown].reshape(-1, *stored.kept), masks, probes.cells_of(stored))
        hits = int((shares >= 0.5).sum())
        measured.append(Pointing(stored.name, float(shares.mean()), hits, len(masks), float(masks.mean())))
    return tuple(sorted(measured, key=lambda each: -each.share))


def _on_object(maps: NDArray[np.uint8], masks: NDArray[np.bool_], cells: Cells | None) -> NDArray[np.float64]:
    """For each image the part of the highest cells that lies on the object, (n,).

    Args:
        maps: (n, h, w). masks: (n, H, W). cells: where the maps lie; `None` stretches them evenly.
    """
    grid, picture = (maps.shape[1], maps.shape[2]), (masks.shape[1], masks.shape[2])
    where = cells or stretched(grid, picture)
    rows, columns = where.rows.cells_at(grid[0], picture[0]), where.columns.cells_at(grid[1], picture[1])
    large = maps[:, rows][:, :, columns]
    highest = (large == maps.max(axis=(1, 2), keepdims=True)) & (rows >= 0)[:, None] & (columns >= 0)
    return np.asarray((highest & masks).sum(axis=(1, 2)) / np.maximum(highest.sum(axis=(1, 2)), 1), np.float64)
