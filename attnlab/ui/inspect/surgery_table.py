"""Surgery over many test images: every operation, its accuracy and its tests, in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from attnlab.attention import attention_taps
from attnlab.data import DataError
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import AccuracyChange, accuracy_change, standard_interventions
from attnlab.explain.surgery.operations import OPERATIONS, Intervention
from attnlab.maps import MapKind, tap_titles
from attnlab.runs.records import RunRecord
from attnlab.ui.format import plain
from attnlab.ui.glossary import HOLM, MCNEMAR
from attnlab.ui.reading import has_pictures
from attnlab.ui.run_cache import run_dataset

EVERYWHERE = "every map"
COUNTS = (50, 100, 200, 500)


def over_many(
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


def row_title(intervention: Intervention) -> str:
    """An operation with its amount, as the title of a row of the table."""
    operation = OPERATIONS[intervention.operation]
    if intervention.operation == "temperature" and intervention.amount is not None:
        return f"{'Sharper' if intervention.amount < 1 else 'Flatter'} (temperature {intervention.amount:g})"
    return operation.title
