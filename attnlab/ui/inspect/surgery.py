"""Surgery on the Inspect page: change the attention, see the prediction change, and measure it over many images.

Where the network can run in the browser (`attnlab.explain.in_browser`) it does, and the server hears of no change. Where it
cannot, the page says why, and one change takes one forward here. A fragment: it does not rerun the page. Nothing is computed
while the section is folded.
"""

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
from attnlab.data import DataError
from attnlab.explain.in_browser import NotExportedError
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import AccuracyChange, accuracy_change, operate, standard_interventions
from attnlab.explain.surgery.operations import OPERATIONS, Intervention, Operation, applicable, painted_weight
from attnlab.maps import MapKind, derived, is_of, relative_weights, scalar_titles, tap_behind, tap_of, tap_titles, without_use
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord
from attnlab.ui.background import show_progress
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
from attnlab.ui.components.offline import Laboratory
from attnlab.ui.components.patient import Patient
from attnlab.ui.components.surgery import surgery
from attnlab.ui.components.viewer import layers_in_view
from attnlab.ui.finder import finder
from attnlab.ui.format import plain
from attnlab.ui.glossary import HOLM, MCNEMAR
from attnlab.ui.inspect.moved import offer_moved_images
from attnlab.ui.inspect.network import Selection
from attnlab.ui.inspect.section import VIEWER, follow_viewer, open_section
from attnlab.ui.links import keep_linked, linked
from attnlab.ui.reading import has_pictures
from attnlab.ui.run_cache import network_file, opened_network, run_dataset
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Layer, Panel, layer

EVERYWHERE, IN_VIEW = "every map", "the map shown above"
TEMPERATURES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
DRAGGED = 1.0
"""The slider of gamma goes from minus this to plus this; networks learn a few hundredths to tenths."""
COUNTS = (50, 100, 200, 500)
BRUSH = "surgery.brush"
EXPORT_SECONDS = 60.0
"""An offline page waits at most so long for the network in it."""
_FAILED = "surgery.failed"
"""Run -> why this browser could not run its network."""
RENAMED = {"Channel half alone": "Channel attention only", "Spatial half alone": "Spatial attention only"}
"""Titles of operations in links that were made before they got new ones."""


@st.fragment
def surgery_section(selection: Selection) -> None:
    """The section for one run; nothing when its network has no attention."""
    record, panel = selection.records[0], selection.panels[0]
    opened = opened_network(record)
    offered = applicable(opened.model)
    if not offered:
        return
    box = open_section(
        "Surgery: change the attention and see the prediction change", key="surgery", icon=":material/ecg_heart:"
    )
    if follow_viewer(box is not None):
        st.rerun()
    if box is None:
        return
    if (old := st.query_params.get("operation")) in RENAMED:
        st.query_params["operation"] = RENAMED[old]
        st.rerun()
    in_view = _in_view(record, panel, list(attention_taps(opened.model)))
    with box:
        why = _not_in_browser(record)
        file = None if why else network_file(record).result()
        if file is not None:
            why = _in_browser(opened, offered, selection, in_view, file.name)
        elif not why:
            show_progress([network_file(record)], "Preparing the network for the browser")
        if file is None or why:
            _on_server(opened, offered, selection, in_view, why)


def _not_in_browser(record: RunRecord) -> str:
    """Why the network is run here, as the end of a sentence that begins "because"; empty where the browser runs it."""
    if st.query_params.get("way") == "server":
        return "the link asks for it"
    job = network_file(record)
    try:
        job.result(patience=0)
    except (NotExportedError, OSError) as error:
        return str(error)
    return str(st.session_state.get(_FAILED, {}).get(record.run_id, ""))


def _in_browser(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, network: str) -> str:
    """Everything happens in the browser; returns why it does not, where that is so."""
    record, panel = selection.records[0], selection.panels[0]
    patient = _patient(opened, offered, selection, in_view, network)
    answer = surgery(patient, finds=panel.truth is not None, key=f"surgery.browser.{record.run_id}")
    if answer.failed:
        st.session_state.setdefault(_FAILED, {})[record.run_id] = answer.failed
        return answer.failed
    if answer.asked is not None and panel.truth is not None:
        offer_moved_images(record, answer.asked, panel.classes)
    _over_many(record, opened, None, patient.places)
    return ""


def _patient(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, network: str) -> Patient:
    panel, taps = selection.panels[0], attention_taps(opened.model)
    maps = _taps_and_heads(taps, panel.layers)
    titles = tap_titles(maps)
    return Patient(
        network,
        selection.images[0].numpy(),
        panel.truth,
        offered,
        {name: (titles[name], taps[tap_of(name)].kind) for name in maps},
        {item.name: item.title for item in panel.layers},
        in_view,
    )


def laboratory(selection: Selection) -> Laboratory | None:
    """Surgery for the offline page, on the first network and image of the page; `None` where the browser cannot run it."""
    record, panel = selection.records[0], selection.panels[0]
    opened = opened_network(record)
    offered = applicable(opened.model)
    try:
        file = network_file(record).result(patience=EXPORT_SECONDS) if offered else None
    except (NotExportedError, OSError):
        return None
    if file is None:
        return None
    return Laboratory(_patient(opened, offered, selection, None, ""), file.read_bytes(), panel.title)


def _on_server(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, why: str) -> None:
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
    _over_many(record, opened, intervention.taps)


def _in_view(record: RunRecord, panel: Panel, taps: Sequence[str]) -> str | None:
    """The tap or head of the map that the viewer shows, of a derived map the tap behind it; `None` where it shows none."""
    if not panel.layers:
        return None
    told = [item.name for item in panel.layers if item.name in layers_in_view(VIEWER)]
    first = panel.layers[first_layer([panel], finder(RunFolder(record.folder)))].name
    shown = (told or [first])[0]
    return without_use(shown) if derived(shown) is None else tap_behind(shown, taps)


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
    maps = _taps_and_heads(taps, layers)
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


def _taps_and_heads(taps: Mapping[str, Any], layers: Sequence[Layer]) -> list[str]:
    """Each tap, followed by its heads where the layers show several of it."""
    heads = list(dict.fromkeys(name for item in layers if (name := without_use(item.name)) != tap_of(name)))
    return [each for tap in taps for each in (tap, *(head for head in heads if tap_of(head) == tap))]


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


def row_title(intervention: Intervention) -> str:
    """An operation with its amount, as the title of a row of the table."""
    operation = OPERATIONS[intervention.operation]
    if intervention.operation == "temperature" and intervention.amount is not None:
        return f"{'Sharper' if intervention.amount < 1 else 'Flatter'} (temperature {intervention.amount:g})"
    return operation.title


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


def _over_many(
    record: RunRecord, opened: OpenRun, taps: Sequence[str] | None, places: Mapping[str, tuple[str, MapKind]] | None = None
) -> None:
    """The table of all operations over a set of test images, computed when a button is pressed.

    Args:
        taps: where they act; everywhere when `None`.
        places: asks for one of these instead.
    """
    if not has_pictures(record):
        return
    left, middle, right = st.columns([3, 2, 1], vertical_alignment="bottom")
    if places is not None:
        where = middle.selectbox(
            "Where, for the table",
            [EVERYWHERE, *places],
            format_func=lambda tap: places[tap][0] if tap in places else tap,
            key="surgery.table.where",
        )
        taps = None if where == EVERYWHERE else (where,)
    count = right.selectbox("Test images", COUNTS, index=1, key="surgery.count")
    where = "" if taps is None else f" at {tap_titles(list(dict.fromkeys([*attention_taps(opened.model), *taps])))[taps[0]]}"
    key = f"surgery.table.{record.run_id}.{record.step}.{count}.{taps}"
    if left.button(f"All operations on {count} test images{where}", key="surgery.all", icon=":material/table_chart:"):
        interventions = [
            intervention if OPERATIONS[intervention.operation].needs else replace(intervention, taps=taps)
            for intervention in standard_interventions(opened.model)
        ]
        try:
            split = run_dataset(record).test
        except DataError as error:
            st.error(f"The test images cannot be read: {plain(str(error))}", icon=":material/error:")
            return
        bar = st.progress(0.0)

        def show(done: int, total: int) -> None:
            bar.progress(done / total, f"Batch {done} of {total}. Using any control stops this.")

        st.session_state[key] = accuracy_change(
            opened.model,
            split.images[:count],
            split.labels[:count],
            opened.mean,
            opened.std,
            interventions,
            probabilities=opened.probabilities,
            on_progress=show,
        )
        bar.empty()
    if key in st.session_state:
        _table(st.session_state[key])


def _table(changes: Sequence[AccuracyChange]) -> None:
    rows = [
        {
            "operation": row_title(change.intervention),
            "accuracy": 100 * change.after,
            "change": 100 * change.change.value,
            "95% interval": f"{100 * change.change.low:+.1f} to {100 * change.change.high:+.1f}",
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
            "accuracy": st.column_config.NumberColumn("Accuracy after", format="%.1f%%"),
            "change": st.column_config.NumberColumn("Change, points", format="%+.1f"),
            "gained": st.column_config.NumberColumn(
                "Gained", help="Images that are predicted correctly only after the change."
            ),
            "lost": st.column_config.NumberColumn("Lost", help="Images that are predicted correctly only before the change."),
            "true class": st.column_config.NumberColumn(
                "True class, points", format="%+.1f", help="Mean change of the probability of the true class."
            ),
            "p (Holm)": st.column_config.TextColumn("p (Holm)", help=f"{MCNEMAR} {HOLM}"),
        },
    )
    untouched, n = 100 * changes[0].before, changes[0].n
    st.caption(
        f"The first {n} test images. Without any change, {untouched:.1f}% of them are predicted correctly. The interval "
        "compares each image before and after (paired; Agresti and Min, 2005)."
    )
