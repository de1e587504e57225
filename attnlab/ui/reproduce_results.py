"""The lower half of the Reproduce page: the table with the report's figures beside ours, its charts, its files; the finding."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from attnlab import paths
from attnlab.runs import exports
from attnlab.runs.grid import Grid, Progress, progress
from attnlab.runs.grid_table import GRID_COLUMNS, compared, grid_table, row_groups
from attnlab.runs.reproduce import DEPARTURES, TABLE1
from attnlab.runs.statistics import Group, Verdict
from attnlab.runs.table import Cost
from attnlab.ui.costs import costs_of, measure
from attnlab.ui.state import colours, manager
from attnlab.viz.figures import Series, accuracy_against_parameters, strip_plot
from attnlab.viz.grid_figures import accuracy_against_milliseconds

_HIDDEN = ("difference_low", "difference_high", "seeds", "report_parameters")


def results(grid: Grid) -> None:
    """What is known of a grid so far."""
    found = progress(grid, manager().runs())
    groups = row_groups(grid, found)
    if not any(group.n for group in groups.values()):
        return
    costs = {label: costs_of([group])[group.key] for label, group in groups.items()}
    _table(grid, found, groups, costs)
    _charts(grid, groups, costs)


def the_finding() -> None:
    """Why everything lands near 66 %: the seven departures in words, with the figures of the shipped experiment."""
    st.subheader("Where the published code departs from the report", anchor=False)
    rows = [
        {"": str(departure.number), "the code": departure.title, "put right": departure.without, "on": departure.row}
        for departure in DEPARTURES
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key="reproduce.departures", alt="The seven departures")
    told = paths.ROOT / "docs" / "table1.md"
    if told.exists():
        with st.expander("What each of them costs: the experiment done for this project", key="reproduce.finding"):
            st.markdown(told.read_text())


def _table(grid: Grid, found: Progress, groups: dict[str, Group], costs: dict[str, Cost]) -> None:
    table, notes = grid_table(grid, found, costs), exports.footnotes(found)
    st.subheader("Table", anchor=False)
    shown = [name for name in GRID_COLUMNS if name not in _HIDDEN and (name == "row" or table[name].notna().any())]
    st.dataframe(
        table,
        hide_index=True,
        column_order=shown,
        column_config=_columns(),
        key="reproduce.table",
        placeholder="–",
        alt="One row for each network: the report's accuracy and ours, spread, significance, cost",
    )
    tested = [comparison for comparison in compared(grid, groups).values() if comparison.p_holm is not None]
    differing = [comparison for comparison in tested if comparison.verdict in (Verdict.BETTER, Verdict.WORSE)]
    if tested:
        st.caption(
            f":gray-badge[{len(differing)} of {len(tested)}] rows differ from what they are compared with at 5 % after Holm's "
            "correction; the others are not significant, which is not the same as equal."
        )
    single = [row.label for row in grid.rows if groups[row.label].n == 1]
    if single:
        st.caption(f":orange-badge[n = 1] One run only, so no spread and no verdict: {', '.join(single)}.")
    st.caption(" ".join(notes))
    with st.container(horizontal=True):
        files = {
            "CSV": ("csv", exports.table_csv(table), "text/csv"),
            "Runs": ("runs.csv", exports.runs_csv(found), "text/csv"),
            "Markdown": ("md", exports.table_markdown(table, notes), "text/markdown"),
            "LaTeX": ("tex", exports.table_latex(table, grid.title, notes), "text/plain"),
            "JSON": ("json", exports.grid_json(grid, found), "application/json"),
        }
        for label, (ending, text, mime) in files.items():
            st.download_button(
                label,
                text,
                file_name=f"{grid.grid_id}.{ending}",
                mime=mime,
                icon=":material/download:",
                key=f"reproduce.download.{label}",
                on_click="ignore",
            )
        if st.button("Measure ms per image", icon=":material/speed:", key="reproduce.measure"):
            measure(list(groups.values()))
            st.rerun()


def _charts(grid: Grid, groups: dict[str, Group], costs: dict[str, Cost]) -> None:
    index = colours(run for group in groups.values() for run in group.runs)
    series = [
        Series(label, index[group.key], group.accuracies, {}, group.parameters) for label, group in groups.items() if group.n
    ]
    st.subheader("Every run", anchor=False)
    st.caption("Dots: test accuracy of single runs. Diamond and bar: mean and one standard deviation.")
    st.plotly_chart(strip_plot(series), key="reproduce.strip", alt="Test accuracy of every run")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Accuracy against parameters", anchor=False)
        st.plotly_chart(accuracy_against_parameters(series), key="reproduce.parameters", alt="Accuracy over parameters")
    with right:
        st.subheader("Accuracy against time", anchor=False)
        measured = {label: cost.milliseconds for label, cost in costs.items() if cost.milliseconds is not None}
        if measured:
            st.plotly_chart(
                accuracy_against_milliseconds(series, measured), key="reproduce.ms", alt="Accuracy over milliseconds"
            )
        else:
            st.caption("Press *Measure ms per image* above; it is timed on this machine.")
    if grid.kind == TABLE1:
        st.caption("The report's figures are for the original CIFAR-10; JPEG copies and subsets give lower ones.")


def _columns() -> dict[str, Any]:
    formats = {"p_holm": "%.2g", "parameters": "localized", "milliseconds": "%.3f", "seconds": "%.0f", "difference": "%+.1f"}
    plain = ("n", "needed")
    config: dict[str, Any] = {}
    for name, title in GRID_COLUMNS.items():
        if name in ("row", "verdict", "seeds"):
            config[name] = st.column_config.TextColumn(
                title, width="large" if name == "verdict" else "medium", pinned=name == "row"
            )
        else:
            config[name] = st.column_config.NumberColumn(title, format=formats.get(name, "%d" if name in plain else "%.1f"))
    return config
