"""Surgery where the server runs the network: the controls, one forward for a change, and the map and the bars that it gave."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.attention import AttentionMap, attention_scalars, attention_taps
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import operate
from attnlab.explain.surgery.operations import OPERATIONS, Intervention, Operation, painted_weight
from attnlab.maps import MapKind, derived, is_of, relative_weights, scalar_titles, tap_of, tap_titles, without_use
from attnlab.ui.components.before_after import before_after
from attnlab.ui.components.mask_editor import (
    ERASED,
    PAINTED,
    Canvas,
    cells_from_link,
    cells_to_link,
    mask_editor,
    painted_cells,
)
from attnlab.ui.format import plain
from attnlab.ui.inspect.moved import offer_moved_images
from attnlab.ui.inspect.network import Selection
from attnlab.ui.inspect.surgery_table import EVERYWHERE, over_many
from attnlab.ui.links import keep_linked, linked
from attnlab.viz.panels import Layer, layer

IN_VIEW = "the map shown above"
TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
DRAGGED = 1.0
"""The slider of gamma goes from minus this to plus this; networks learn a few hundredths to tenths."""
BRUSH = "surgery.brush"


def on_server(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, why: str) -> None:
    """Each change is one forward here."""
    record, panel = selection.records[0], selection.panels[0]
    if why:
        st.caption(f"Each change is computed on the server, because {plain(why)}.")
    intervention = _choose(opened, offered, panel.layers, in_view)
    painting = intervention.operation == "paint"
    with st.container():
        if painting:
            st.fragment(_effect)(opened, selection, intervention)  # a stroke draws nothing but what it changes
        elif not _effect(opened, selection, intervention) and panel.truth is not None:
            offer_moved_images(record, intervention, panel.classes)
    over_many(record, opened, intervention.taps)


def taps_and_heads(taps: Mapping[str, Any], layers: Sequence[Layer]) -> list[str]:
    """Each tap, followed by its heads where the layers show several of it."""
    heads = list(dict.fromkeys(name for item in layers if (name := without_use(item.name)) != tap_of(name)))
    return [each for tap in taps for each in (tap, *(head for head in heads if tap_of(head) == tap))]


def _choose(opened: OpenRun, offered: Sequence[Operation], layers: Sequence[Layer], in_view: str | None) -> Intervention:
    """Asks for the operation, the map and the amount."""
    titles = {operation.name: operation.title for operation in offered}
    name = st.segmented_control(
        "Operation",
        list(titles),
        default="off",
        required=True,
        format_func=lambda name: titles.get(name, name),
        key="operation",
        bind="query-params",
    )
    operation = OPERATIONS[name]
    st.caption(operation.meaning)
    places, amounts, seeds = st.columns([3, 3, 1], vertical_alignment="bottom")
    taps = attention_taps(opened.model)
    maps = taps_and_heads(taps, layers)
    fitting = [name for name in maps if taps[tap_of(name)].kind in operation.kinds]
    named = tap_titles(maps)
    whole = bool(operation.needs)
    shown = [IN_VIEW] if in_view in fitting else []
    where = places.selectbox(
        "Where",
        [EVERYWHERE] if whole else [*shown, EVERYWHERE, *fitting],
        format_func=lambda tap: named.get(tap, tap),
        key="where",
        bind="query-params",
        disabled=whole,
        help="Acts on all maps. For a single block, choose Off and the map to switch off." if whole else None,
    )
    tap = in_view if where == IN_VIEW and in_view else where
    if in_view and not shown and not whole:
        st.caption("This operation does not apply to the map shown above. Here it acts on the maps that it applies to.")
    amount = _amount(opened, operation, tap, amounts)
    seed = 0
    if name == "shuffle":
        seed = seeds.number_input(
            "Random seed", 0, 999, key="draw", bind="query-params", help="A different seed shuffles differently."
        )
    return Intervention(name, amount, None if tap == EVERYWHERE else (tap,), seed=int(seed))


def _amount(opened: OpenRun, operation: Operation, tap: str, place: Any) -> float:
    label = operation.amount.label
    if operation.name == "temperature":
        return float(place.select_slider(label, TEMPERATURES, value=0.5, key="temperature", bind="query-params"))
    if operation.name == "gamma":
        learned = {
            name: value
            for name, value in attention_scalars(opened.model).items()
            if tap == EVERYWHERE or name.rpartition(".")[0] == tap_of(tap).rpartition(".")[0]
        }
        names = scalar_titles(list(learned))
        values = ", ".join(
            f"{value:.3f} ({names[name].partition(' · ')[2] or 'everywhere'})" for name, value in learned.items()
        )
        mean = sum(learned.values()) / len(learned)
        reach = DRAGGED if abs(mean) < DRAGGED else operation.amount.high
        start = round(min(max(mean, -reach), reach), 3)
        key = f"surgery.gamma.{opened.folder.name}.{tap}"
        in_link = linked("gamma", key)
        if key not in st.session_state:
            st.session_state[key] = start
            with suppress(ValueError):
                st.session_state[key] = min(max(float(in_link or start), -reach), reach)
        help = f"Learned in training: {values}."
        gamma = float(place.slider(label, -reach, reach, step=0.001, format="%.3f", key=key, help=help))
        keep_linked("gamma", "" if gamma == start else f"{gamma:.3f}")
        return gamma
    help = "0 leaves the map as it is, 1 applies the whole change."
    return float(place.slider(label, 0.0, 1.0, 1.0, 0.05, key="strength", bind="query-params", help=help))


def _effect(opened: OpenRun, selection: Selection, intervention: Intervention) -> bool:
    """One forward: the map and the prediction before and after. Returns whether the predicted class changes."""
    panel, image = selection.panels[0], selection.images[0]
    drawn = _drawn_layer(panel.layers, intervention)
    painting = intervention.operation == "paint"
    cells = None
    if drawn is None:
        canvas = None
        if painting:
            st.info("These maps have too many positions to be shown whole, so there is nothing to paint on.")
            return False
    else:
        below = image.permute(1, 2, 0).numpy() if drawn.kind.placed else None
        frame = drawn.cells.frame(drawn.grid, drawn.picture) if drawn.cells else (0, 0, 1, 1)
        canvas = Canvas(drawn.title, field(drawn), below, drawn.scale, frame, drawn.neutral)
        if painting:
            # the channels of one map are not those of another
            taps = (tap_of(drawn.name),) if drawn.kind is MapKind.CHANNEL else intervention.taps
            cells = _strokes(canvas)
            intervention = replace(
                intervention, target=target(cells, canvas), cells=drawn.cells, located=opened.cells, taps=taps
            )
    begun = time.perf_counter()
    result = operate(opened.model, image[None], opened.mean, opened.std, intervention, probabilities=opened.probabilities)
    took = time.perf_counter() - begun
    before, after = np.atleast_2d(np.asarray(panel.probabilities))[-1], result.probabilities[0]
    maps, bars = st.columns([3, 2], gap="large")
    with maps:
        if drawn is None or canvas is None:
            st.caption("These maps have too many positions to be shown whole.")
        else:
            st.markdown(f"**{drawn.title}**" + _reduction(drawn))
            edited = next(attention for attention in result.maps if attention.name == drawn.name)
            mask_editor(canvas, field(_as_layer(edited)), cells, key=BRUSH)
    with bars:
        before_after(panel.classes, before, after, truth=panel.truth, key="surgery.shift", says=True)
        st.caption(f"Recomputed in {1000 * took:.0f} ms.")
        st.caption(
            "Such maps never occurred during training. If the prediction holds, this map was not essential for it here. If it "
            "changes, the network depends on the map; that does not make the map a reason a person would give."
        )
    return bool(before.argmax() != after.argmax())


def _strokes(canvas: Canvas) -> NDArray[np.uint8]:
    """What was painted on this canvas in this session, else the strokes in the link. Updates the link."""
    in_link = linked("strokes", canvas.identity)
    cells = painted_cells(canvas, BRUSH)
    if cells is None:
        cells = cells_from_link(in_link, canvas)
    keep_linked("strokes", cells_to_link(cells))
    return cells


def field(layer: Layer) -> NDArray[np.float32]:
    """A map as one array (h, w), as `relative_weights`.

    ELEMENT is averaged over the channels, PAIRWISE is the attention each position receives; the C gates of CHANNEL are
    arranged in rows of equal length; BRANCH is (M, C), a column for each channel.
    """
    if layer.kind is MapKind.BRANCH:
        return relative_weights(layer.weights().T, layer.scale, layer.codes.shape[2])
    values = layer.weights().mean(axis=0)
    if layer.kind is MapKind.CHANNEL:
        rows = max(rows for rows in range(1, math.isqrt(len(values)) + 1) if len(values) % rows == 0)
        return values.reshape(rows, -1)
    return relative_weights(values.reshape(layer.grid), layer.scale, values.size)


def target(cells: NDArray[np.uint8], canvas: Canvas) -> Tensor:
    """The cells that were painted as `Intervention.target` takes them: (h, w), or (C,) for channels."""
    weights = np.full(cells.shape, np.nan, np.float32)
    weights[cells == PAINTED] = painted_weight(canvas.scale, canvas.neutral)
    weights[cells == ERASED] = 0.0
    painted = torch.from_numpy(weights)
    return painted.flatten() if canvas.image is None else painted


def _drawn_layer(layers: Sequence[Layer], intervention: Intervention) -> Layer | None:
    """The map on the canvas: of those that are changed, the one with the most positions; `None` without any."""
    kinds, taps = OPERATIONS[intervention.operation].kinds, intervention.taps
    of_taps = [item for item in layers if derived(item.name) is None]
    changed = [item for item in of_taps if item.kind in kinds and (taps is None or is_of(item.name, taps))]
    return max(changed, key=lambda item: (item.kind.placed, item.grid[0] * item.grid[1]), default=None)


def _as_layer(attention: AttentionMap) -> Layer:
    values = attention.values[0].numpy()
    return layer(
        attention.name,
        attention.kind,
        values,
        scale=attention.scale,
        grid=attention.grid,
        neutral=attention.neutral,
        queries=attention.queries,
        prefix=attention.prefix,
    )


def _reduction(drawn: Layer) -> str:
    notes = {
        MapKind.CHANNEL: "one weight per channel, in rows",
        MapKind.ELEMENT: "mean over the channels",
        MapKind.PAIRWISE: "the attention each position receives",
        MapKind.BRANCH: "one column per channel, one row per branch",
    }
    return f" · {notes[drawn.kind]}" if drawn.kind in notes else ""
