"""The middle of the Reproduce page: the table with the report's figures beside ours, its charts and its files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from attnlab.experiments import exports, tensorboard
from attnlab.experiments.grid import Grid
from attnlab.experiments.grid_table import GRID_COLUMNS, compared, grid_power, grid_table, row_groups
from attnlab.experiments.groups import Group, GroupComparison, Verdict
from attnlab.experiments.power import power_words
from attnlab.experiments.reproduce import Scale
from attnlab.experiments.table import Cost
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import dataset_name
from attnlab.ui.columns import column_config
from attnlab.ui.costs import costs_of, measure
from attnlab.ui.format import plain
from attnlab.ui.glossary import HOLM
from attnlab.ui.grid_board import GridView
from attnlab.ui.hidden import download_button
from attnlab.viz.figures import Series, accuracy_against_parameters, strip_plot
from attnlab.viz.grid_figures import Difference, accuracy_against_milliseconds, difference_plot

_ORDER = (
    *("row", "report_accuracy", "accuracy", "std", "n", "difference", "verdict", "p_holm"),
    *("needed", "parameters", "report_parameters", "report_std", "low", "high", "milliseconds", "seconds"),
)
"""The columns that are shown: what a row says first, what it costs last, since a narrow window cuts the last ones off."""
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


@dataclass(frozen=True, eq=False)
class Results:
    """What a grid has shown so far.

    Attributes:
        groups, costs, comparisons: by row label.
    """

    view: GridView
    groups: Mapping[str, Group]
    costs: Mapping[str, Cost]
    comparisons: Mapping[str, GroupComparison]


def results(view: GridView) -> Results | None:
    """The results of a grid so far; `None` before the first run has finished."""
    groups = row_groups(view.grid, view.progress)
    if not any(group.n for group in groups.values()):
        return None
    costs = {label: costs_of([group])[group.key] for label, group in groups.items()}
    return Results(view, groups, costs, compared(view.grid, groups))


def against_the_report(grid: Grid, groups: Mapping[str, Group]) -> str:
    """Why the accuracies differ from those of the report, in one sentence; empty where the report has none."""
    reported = [row.reported.accuracy for row in grid.rows if row.reported and row.reported.accuracy is not None]
    reached = [group.mean for row in grid.rows if row.reported and (group := groups[row.label]).mean is not None]
    if not reported or not reached:
        return ""
    config, report = grid.rows[0].config, Scale()
    ways = []
    if config.dataset.name != report.dataset:
        ways.append(f"the images are from {plain(dataset_name(config))}, in the report from the original CIFAR-10")
    if config.dataset.subset is not None:
        ways.append(f"{config.dataset.subset:,} images are used for training and validation, in the report all 50,000")
    if config.training.epochs != report.epochs:
        ways.append(f"the networks train for {config.training.epochs} epochs, in the report for {report.epochs}")
    if config.model.width != report.width:
        ways.append(f"the first block has {config.model.width} channels, in the report {report.width}")
    if not ways:
        return ""
    return (
        f"**Why the report's accuracies differ from ours ({min(reported):.0%} to {max(reported):.0%} there, {min(reached):.0%} "
        f"to {max(reached):.0%} here):** {'; '.join(ways)}. So compare our rows with each other."
    )


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


def result_table(found: Results) -> None:
    """The report's figures beside ours, what the difference comes from, and the table as files."""
    view, groups, comparisons = found.view, found.groups, found.comparisons
    grid, notes = view.grid, view.notes
    table = grid_table(grid, view.progress, found.costs, comparisons=comparisons)
    if sentence := against_the_report(grid, groups):
        st.markdown(sentence)
    columns = [name for name in _ORDER if name == "row" or table[name].notna().any()]
    brief = table.assign(verdict=table["verdict"].str.split(" (", regex=False).str[0])  # the figures have their own columns
    st.dataframe(
        brief,
        hide_index=True,
        column_order=columns,
        column_config=column_config(GRID_COLUMNS, _FORMATS, pinned="row", help={"p_holm": HOLM})
        | {"verdict": st.column_config.TextColumn(GRID_COLUMNS["verdict"], width=130)},
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
        if (power := grid_power(grid, groups)) is not None:
            st.caption(power_words(power, "a row and the row it is compared with", "not significant"))
    single = [row.label for row in grid.rows if groups[row.label].n == 1]
    if single:
        st.caption(f":orange-badge[n = 1] Only one run, so neither spread nor test: {plain(', '.join(single))}.")
    st.caption(" ".join(map(plain, notes)))
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
        download_button(
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


def charts(found: Results) -> None:
    """Every run as a dot, the difference of each row, and accuracy against cost."""
    grid, groups, costs, comparisons = found.view.grid, found.groups, found.costs, found.comparisons
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
            st.caption("Press *Measure ms per image* below the table to time the networks on the server.")
