"""Rows of large self-attention maps on the Inspect page, computed when a person points at a position.

The image is sent once; a question is answered by a fragment that holds nothing but the wire.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from torch import Tensor

from attnlab.explain.large_maps import LargeMap, large_maps
from attnlab.explain.open_run import OpenRun
from attnlab.maps import MAX_POSITIONS, MapScale, relative_weights, tap_of, tap_titles
from attnlab.runs.records import RunRecord
from attnlab.ui.components.large_maps import (
    LargeMapLayer,
    Question,
    identity,
    large_maps_picture,
    large_maps_wire,
    latest_question,
)
from attnlab.ui.inspect.network import Selection
from attnlab.ui.run_cache import network_stamp, opened_network

PICTURE, WIRE = "rows.picture", "rows.wire"


def large_maps_section(selection: Selection) -> None:
    """The section for one run; nothing when all its maps are small enough for the viewer."""
    record, image = selection.records[0], selection.images[0]
    maps = _large_maps(record, image)
    if not maps:
        return
    titles = tap_titles([large.name for large in maps])
    opened = opened_network(record)
    layers = [
        LargeMapLayer(titles[large.name], large.grid, large.key_grid, large.heads, _frame(large, opened)) for large in maps
    ]
    picture = selection.panels[0].image
    id = identity(layers, picture, f"{record.folder} {network_stamp(record)}")
    st.subheader("Rows of large maps", anchor=False)
    st.caption(
        f"Above {MAX_POSITIONS:,} positions, a map of all pairs is too large to be sent whole. Its rows are "
        "computed on demand: point at a position to see one, and click to keep up to three side by side."
    )
    large_maps_picture(layers, picture, id=id, key=PICTURE)
    _answer(record, image, layers, id)


def _frame(large: LargeMap, opened: OpenRun) -> tuple[float, float, float, float]:
    cells = opened.cells.get(tap_of(large.name))
    return cells.frame(large.grid, opened.shape[1:]) if cells else (0, 0, 1, 1)


@st.fragment
def _answer(record: RunRecord, image: Tensor, layers: Sequence[LargeMapLayer], id: str) -> None:
    question = latest_question(layers, id=id, key=WIRE)
    values = None if question is None else answer(_large_maps(record, image)[question.layer], question)
    large_maps_wire(question, values, id=id, key=WIRE)


def answer(large: LargeMap, question: Question) -> NDArray[np.float32]:
    """A row (H', W') or column (H, W) of one map, as `relative_weights`: 1 is one over the number of keys."""
    compute = large.column if question.column else large.row
    keys = large.key_grid[0] * large.key_grid[1]
    return relative_weights(compute(question.place, question.head), MapScale.SOFTMAX, keys)


def _large_maps(record: RunRecord, image: Tensor) -> tuple[LargeMap, ...]:
    digest = hashlib.blake2b(image.numpy().tobytes(), digest_size=16).hexdigest()
    return _captured(str(record.folder), network_stamp(record), digest, record, image)


@st.cache_resource(max_entries=4, show_spinner=False)
def _captured(folder: str, stamp: int, digest: str, _record: RunRecord, _image: Tensor) -> tuple[LargeMap, ...]:
    """One forward per image. The four newest are cached for all sessions."""
    opened = opened_network(_record)
    return large_maps(opened.model, _image[None], opened.mean, opened.std)
