"""Surgery on the Inspect page: change the attention, see the prediction move, and what it costs over many pictures.

A fragment: one change makes one forward and does not rerun the page. Nothing of it runs while it is folded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.attention import AttentionMap, attention_scalars, attention_taps
from attnlab.data import DataError
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import AccuracyChange, accuracy_change, operate, standard_interventions
from attnlab.explain.surgery.operations import OPERATIONS, PAINTED_SOFTMAX, Intervention, Operation, applicable
from attnlab.runs.imported import NO_PICTURES
from attnlab.runs.records import RunRecord
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
from attnlab.ui.inspect.network import Shown, opened_network, run_dataset
from attnlab.ui.links import keep_linked, linked
from attnlab.viz.panels import Layer, layer
from attnlab.viz.titles import scalar_titles, tap_titles

EVERYWHERE = "every map"
TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
DRAGGED = 1.0
"""Gamma is dragged between minus and plus this; networks learn a few hundredths to tenths."""
COUNTS = (50, 100, 200, 500)
BRUSH = "surgery.brush"


@st.fragment
def surgery_section(shown: Shown) -> None:
    """The section for one run; nothing where its network has no attention."""
    record, panel = shown.records[0], shown.panels[0]
    opened = opened_network(record)
    offered = applicable(opened.model)
    if not offered:
        return
    box = st.expander(
        "Surgery: change the attention, see the prediction move",
        key="surgery",
        on_change="rerun",
        bind="query-params",
        icon=":material/ecg_heart:",
    )
    if not box.open:
        return
    with box:
        chosen = _choose(opened, offered, panel.layers)
        _effect(opened, shown, chosen)
        _over_many(record, opened, chosen.taps)


def _choose(opened: OpenRun, offered: Sequence[Operation], layers: Sequence[Layer]) -> Intervention:
    """Operation, place and amount."""
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
    places, amounts, draws = st.columns([3, 3, 1], vertical_alignment="bottom")
    taps = attention_taps(opened.model)
    fitting = [tap for tap in taps if taps[tap].kind in operation.kinds]
    named = tap_titles([item.name for item in layers])
    whole = bool(operation.needs)
    tap = places.selectbox(
        "Where",
        [EVERYWHERE] if whole else [EVERYWHERE, *fitting],
        format_func=lambda tap: named.get(tap, tap),
        key="where",
        bind="query-params",
        disabled=whole,
        help="One half at one place: choose the other half's map there, and Off." if whole else None,
    )
    amount = _amount(opened, operation, tap, amounts)
    seed = 0
    if name == "shuffle":
        seed = draws.number_input("Draw", 0, 999, key="draw", bind="query-params", help="Another number draws other places.")
    return Intervention(name, amount, None if tap == EVERYWHERE else (tap,), seed=int(seed))


def _amount(opened: OpenRun, operation: Operation, tap: str, place: Any) -> float:
    label = operation.amount.label
    if operation.name == "temperature":
        return float(place.select_slider(label, TEMPERATURES, value=0.5, key="temperature", bind="query-params"))
    if operation.name == "gamma":
        learned = {
            name: value
            for name, value in attention_scalars(opened.model).items()
            if tap == EVERYWHERE or name.rpartition(".")[0] == tap.rpartition(".")[0]
        }
        names = scalar_titles(list(learned))
        told = ", ".join(f"{value:.3f} ({names[name].partition(' · ')[2] or 'everywhere'})" for name, value in learned.items())
        mean = sum(learned.values()) / len(learned)
        reach = DRAGGED if abs(mean) < DRAGGED else operation.amount.high
        start = round(min(max(mean, -reach), reach), 3)
        key = f"surgery.gamma.{opened.folder.name}.{tap}"
        given = linked("gamma", key)
        if key not in st.session_state:
            st.session_state[key] = start
            with suppress(ValueError):
                st.session_state[key] = min(max(float(given or start), -reach), reach)
        told = f"Learned: {told}."
        dragged = float(place.slider(label, -reach, reach, step=0.001, format="%.3f", key=key, help=told))
        keep_linked("gamma", "" if dragged == start else f"{dragged:.3f}")
        return dragged
    told = "0 leaves the map, 1 goes all the way."
    return float(place.slider(label, 0.0, 1.0, 1.0, 0.05, key="strength", bind="query-params", help=told))


def _effect(opened: OpenRun, shown: Shown, chosen: Intervention) -> None:
    """One forward: the map before and after, and the prediction."""
    panel, image = shown.panels[0], shown.images[0]
    seen = _shown_layer(panel.layers, chosen)
    painting = chosen.operation == "paint"
    cells = None
    if seen is None:
        canvas = None
        if painting:
            st.info("These maps have too many positions to be shown whole, so there is nothing to paint on.")
            return
    else:
        below = None if seen.kind == "channel" else image.permute(1, 2, 0).numpy()
        canvas = Canvas(seen.title, field(seen), below, seen.scale == "softmax")
        if painting:
            # the channels of one map are not another's
            taps = (seen.name.split("#")[0],) if seen.kind == "channel" else chosen.taps
            cells = _strokes(canvas)
            chosen = replace(chosen, target=target(cells, canvas), taps=taps)
    begun = time.perf_counter()
    result = operate(opened.model, image[None], opened.mean, opened.std, chosen, probabilities=opened.probabilities)
    took = time.perf_counter() - begun
    before, after = np.atleast_2d(np.asarray(panel.probabilities))[-1], result.probabilities[0]
    maps, bars = st.columns([3, 2], gap="large")
    with maps:
        if seen is None or canvas is None:
            st.caption("These maps have too many positions to be shown whole.")
        else:
            st.markdown(f"**{seen.title}**" + _reduced(seen))
            edited = next(each for each in result.maps if each.name == seen.name)
            mask_editor(canvas, field(_as_layer(edited)), cells, key=BRUSH)
    with bars:
        st.markdown(f"**{moved(panel.classes, before, after)}**")
        before_after(panel.classes, before, after, truth=panel.truth, key="surgery.shift")
        st.caption(f"One forward, {1000 * took:.0f} ms.")
        st.caption(
            "Such maps never occurred while the network learned. A prediction that stays did not need this map; one that moves "
            "says that the network counts on it, not that the map is a reason a person would give."
        )


def _strokes(canvas: Canvas) -> NDArray[np.uint8]:
    """What was painted on this canvas, else what the link says of it. The link follows."""
    given = linked("strokes", canvas.identity)
    cells = painted_cells(canvas, BRUSH)
    if cells is None:
        cells = cells_from_link(given, canvas)
    keep_linked("strokes", cells_to_link(cells))
    return cells


def moved(classes: Sequence[str], before: NDArray[np.floating], after: NDArray[np.floating]) -> str:
    """What happened to the prediction, in a sentence."""
    old, new = int(before.argmax()), int(after.argmax())
    if old == new:
        return f"The prediction stays {classes[old]}: {before[old]:.2f} before, {after[old]:.2f} after."
    return f"The prediction moves from {classes[old]} ({before[old]:.2f}) to {classes[new]} ({after[new]:.2f})."


def field(seen: Layer) -> NDArray[np.float32]:
    """A map as one picture (h, w): gates, or softmax weights in units of the uniform one.

    ELEMENT is the mean over the channels, PAIRWISE the attention each position receives; the C gates of CHANNEL are laid
    in rows of equal length.
    """
    values = seen.weights().mean(axis=0)
    if seen.kind == "channel":
        rows = max(rows for rows in range(1, math.isqrt(len(values)) + 1) if len(values) % rows == 0)
        return values.reshape(rows, -1)
    return values.reshape(seen.grid) * (values.size if seen.scale == "softmax" else 1)


def target(cells: NDArray[np.uint8], canvas: Canvas) -> Tensor:
    """What `Intervention.target` asks for, of the cells a brush left: (h, w), or (C,) for channels."""
    weights = np.full(cells.shape, np.nan, np.float32)
    weights[cells == PAINTED] = PAINTED_SOFTMAX if canvas.softmax else 1.0
    weights[cells == ERASED] = 0.0
    found = torch.from_numpy(weights)
    return found.flatten() if canvas.image is None else found


def words(given: Intervention) -> str:
    """An operation with its amount, as a row of the table."""
    operation = OPERATIONS[given.operation]
    if given.operation == "temperature" and given.amount is not None:
        return f"{'Sharper' if given.amount < 1 else 'Flatter'} (temperature {given.amount:g})"
    return operation.title


def _shown_layer(layers: Sequence[Layer], chosen: Intervention) -> Layer | None:
    """The map on the canvas: the one with the most positions that is changed; `None` where no such map was recorded."""
    kinds = {str(kind) for kind in OPERATIONS[chosen.operation].kinds}
    wanted = [item for item in layers if item.kind in kinds and (chosen.taps is None or item.name.split("#")[0] in chosen.taps)]
    return max(wanted, key=lambda item: (item.kind != "channel", item.grid[0] * item.grid[1]), default=None)


def _as_layer(seen: AttentionMap) -> Layer:
    return layer(seen.name, str(seen.kind), seen.values[0].numpy(), scale=str(seen.scale), grid=seen.grid)


def _reduced(seen: Layer) -> str:
    notes = {
        "channel": "one gate a channel, in rows",
        "element": "mean over the channels",
        "pairwise": "the attention each position receives",
    }
    return f" · {notes[seen.kind]}" if seen.kind in notes else ""


def _over_many(record: RunRecord, opened: OpenRun, taps: Sequence[str] | None) -> None:
    """The table of all operations over a set of test pictures, made when a button is pressed."""
    if record.config.dataset.name == NO_PICTURES:
        return
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    count = right.selectbox("Test pictures", COUNTS, index=1, key="surgery.count")
    where = "" if taps is None else f" at {tap_titles(list(attention_taps(opened.model)))[taps[0]]}"
    kept = f"surgery.table.{record.run_id}.{record.step}.{count}.{taps}"
    if left.button(f"All operations on {count} test pictures{where}", key="surgery.all", icon=":material/table_chart:"):
        asked = [
            given if OPERATIONS[given.operation].needs else replace(given, taps=taps)
            for given in standard_interventions(opened.model)
        ]
        try:
            split = run_dataset(record).test
        except DataError as error:
            st.error(f"The test pictures cannot be read: {error}", icon=":material/error:")
            return
        bar = st.progress(0.0)

        def told(done: int, total: int) -> None:
            bar.progress(done / total, f"Batch {done} of {total}; any change of a control stops it")

        st.session_state[kept] = accuracy_change(
            opened.model,
            split.images[:count],
            split.labels[:count],
            opened.mean,
            opened.std,
            asked,
            probabilities=opened.probabilities,
            on_progress=told,
        )
        bar.empty()
    if kept in st.session_state:
        _table(st.session_state[kept])


def _table(changes: Sequence[AccuracyChange]) -> None:
    rows = [
        {
            "operation": words(change.operation),
            "accuracy": 100 * change.after,
            "change": 100 * change.change.value,
            "95 % interval": f"{100 * change.change.low:+.1f} to {100 * change.change.high:+.1f}",
            "gained": change.gained,
            "lost": change.lost,
            "true class": 100 * change.true_class.value,
            "p (Holm)": f"{change.p_holm:.2g}" if change.p_holm >= 1e-4 else "< 0.0001",
        }
        for change in changes
    ]
    st.dataframe(
        rows,
        hide_index=True,
        column_config={
            "operation": st.column_config.TextColumn("Operation"),
            "accuracy": st.column_config.NumberColumn("Accuracy after", format="%.1f %%"),
            "change": st.column_config.NumberColumn("Change, points", format="%+.1f"),
            "gained": st.column_config.NumberColumn("Gained", help="Pictures that are right only after."),
            "lost": st.column_config.NumberColumn("Lost", help="Pictures that are right only before."),
            "true class": st.column_config.NumberColumn(
                "True class, points", format="%+.1f", help="Mean change of the probability of the true class."
            ),
            "p (Holm)": st.column_config.TextColumn(
                "p (Holm)", help="McNemar's exact test, corrected for the operations of the table."
            ),
        },
    )
    untouched, n = 100 * changes[0].before, changes[0].n
    st.caption(
        f"The first {n} test pictures; untouched, {untouched:.1f} % of them are predicted right. The interval of the change is "
        "paired (Agresti and Min, 2005)."
    )
