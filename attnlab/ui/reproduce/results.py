"""The middle of the Reproduce page: the table with the report's figures beside ours, its charts and its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import pandas as pd
import streamlit as st

from attnlab.experiments import exports, tensorboard
from attnlab.experiments.grid import Grid, GridKind
from attnlab.experiments.grid_table import GRID_COLUMNS, compared, grid_table, row_groups
from attnlab.experiments.groups import Group, GroupComparison, Verdict
from attnlab.experiments.table import Cost
from attnlab.runs.folder import RunFolder
from attnlab.ui.columns import column_config
from attnlab.ui.costs import costs_of, measure
from attnlab.ui.format import plain
from attnlab.ui.glossary import HOLM
from attnlab.ui.reproduce.grids import GridView
from attnlab.viz.figures import Series, accuracy_against_parameters, strip_plot
from attnlab.viz.grid_figures import Difference, accuracy_against_milliseconds, difference_plot

_HIDDEN = ("difference_low", "difference_high", "seeds")
_FORMATS = dict.fromkeys(set(GRID_COLUMNS) - {"row", "verdict", "seeds"}, "%.1f") | {
    "n": "%d",
    "needed": "%d",
    "p_holm": "%.2g",
    "parameters": "localized",
    "report_parameters": "localized",
    "milliseconds": "%.3f",
    "seconds": "%.0f",
    "difference": "%+.1f",
}


def results(view: GridView) -> None:
    """The results of a grid so far."""
    groups = row_groups(view.grid, view.progress)
    if not any(group.n for group in groups.values()):
        return
    costs = {label: costs_of([group])[group.key] for label, group in groups.items()}
    comparisons = compared(view.grid, groups)
    _table(view, groups, costs, comparisons)
    _charts(view.grid, groups, costs, comparisons)


def differences(grid: Grid, comparisons: Mapping[str, GroupComparison]) -> list[Difference]:
    """What each row gains over the row it is compared with, where both have been trained."""
    return [
        Difference(
            row.label,
            100 * comparison.difference,
            (100 * comparison.interval[0], 100 * comparison.interval[1]) if comparison.interval else None,
            comparison.verdict in (Verdict.BETTER, Verdict.WORSE),
            comparison.words,
        )
        for row in grid.rows
        if (comparison := comparisons.get(row.label)) is not None and comparison.difference is not None
    ]


def _table(
    view: GridView, groups: Mapping[str, Group], costs: Mapping[str, Cost], comparisons: Mapping[str, GroupComparison]
) -> None:
    grid, notes = view.grid, view.notes
    table = grid_table(grid, view.progress, costs, comparisons=comparisons)
    st.subheader("Table", anchor=False)
    columns = [name for name in GRID_COLUMNS if name not in _HIDDEN and (name == "row" or table[name].notna().any())]
    st.dataframe(
        table,
        hide_index=True,
        column_order=columns,
        column_config=column_config(GRID_COLUMNS, _FORMATS, pinned="row", help={"p_holm": HOLM}),
        key="reproduce.table",
        placeholder="–",
        alt="One row per network: the report's accuracy and ours, spread, significance, cost",
    )
    tested = [comparison for comparison in comparisons.values() if comparison.p_holm is not None]
    differing = [comparison for comparison in tested if comparison.verdict in (Verdict.BETTER, Verdict.WORSE)]
    if tested:
        st.caption(
            f":gray-badge[{len(differing)} of {len(tested)}] rows differ from the row they are compared with, at the 5% level "
            "after Holm's correction. The others are not significant, which is not the same as equal.",
            help=HOLM,
        )
    single = [row.label for row in grid.rows if groups[row.label].n == 1]
    if single:
        st.caption(f":orange-badge[n = 1] Only one run, so neither spread nor test: {plain(', '.join(single))}.")
    st.caption(" ".join(notes))
    with st.container(horizontal=True):
        _files(view, table)
        if st.button(
            "Measure ms per image",
            icon=":material/speed:",
            key="reproduce.measure",
            help=f"Times forward passes of 32 images on the server's CPU ({os.cpu_count()} cores); shows the median of seven.",
        ):
            measure(list(groups.values()))
            st.rerun()


def _files(view: GridView, table: pd.DataFrame) -> None:
    grid, progress, notes = view.grid, view.progress, view.notes
    files: dict[str, tuple[str, Callable[[], str | bytes], str]] = {
        "CSV": ("csv", lambda: exports.table_csv(table), "text/csv"),
        "Runs": ("runs.csv", lambda: exports.runs_csv(progress), "text/csv"),
        "Markdown": ("md", lambda: exports.table_markdown(table, notes), "text/markdown"),
        "LaTeX": ("tex", lambda: exports.table_latex(table, grid.title, notes), "text/plain"),
    }
    if not view.shipped:
        folders = [RunFolder(cell.run.folder) for cell in progress.cells if cell.run is not None and cell.state == "finished"]
        files["JSON"] = ("json", lambda: exports.grid_json(grid, progress), "application/json")
        files["TensorBoard"] = ("tensorboard.zip", lambda: tensorboard.events_zip(folders), "application/zip")
    for label, (ending, make, mime) in files.items():
        missing = label == "TensorBoard" and not tensorboard.available()
        st.download_button(
            label,
            make,
            file_name=f"{grid.grid_id}.{ending}",
            mime=mime,
            icon=":material/download:",
            key=f"reproduce.download.{label}",
            on_click="ignore",
            disabled=missing,
            help=tensorboard.MISSING if missing else None,
        )


def _charts(
    grid: Grid, groups: Mapping[str, Group], costs: Mapping[str, Cost], comparisons: Mapping[str, GroupComparison]
) -> None:
    series = [
        Series(label, place, group.accuracies, {}, group.parameters)
        for place, (label, group) in enumerate(groups.items())
        if group.n
    ]
    st.subheader("Every run", anchor=False)
    st.caption("Dots: test accuracy of single runs. Diamond and bar: mean ± one standard deviation.")
    st.plotly_chart(strip_plot(series), key="reproduce.strip", alt="Test accuracy of every run")
    gains = differences(grid, comparisons)
    if gains:
        st.subheader("Differences", anchor=False)
        st.caption("Mean over the seeds that both rows share, with its 95% interval, not corrected for the number of rows.")
        st.plotly_chart(difference_plot(gains), key="reproduce.differences", alt="Difference of each row, with interval")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Accuracy against parameters", anchor=False)
        st.plotly_chart(accuracy_against_parameters(series), key="reproduce.parameters", alt="Accuracy against parameters")
    with right:
        st.subheader("Accuracy against time", anchor=False)
        measured = {label: cost.milliseconds for label, cost in costs.items() if cost.milliseconds is not None}
        if measured:
            st.plotly_chart(
                accuracy_against_milliseconds(series, measured), key="reproduce.ms", alt="Accuracy against milliseconds"
            )
        else:
            st.caption("Press *Measure ms per image* above to time the networks on the server.")
    if grid.kind is GridKind.TABLE1:
        st.caption("The report's figures are for the original CIFAR-10. JPEG copies and subsets give lower accuracies.")
