"""What was measured of a variant: by the report, by the tables that come with attnlab, and by the leagues that are there."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from attnlab.attention import split_composition
from attnlab.experiments.grid import GridError, GridKind, progress
from attnlab.experiments.grid_table import compared, row_groups
from attnlab.experiments.league import leagues
from attnlab.experiments.league_table import league_rows, verdict_words
from attnlab.experiments.reproduce import SEEDS, report_comparisons
from attnlab.experiments.shipped import shipped_grids
from attnlab.models.report import REPORT_ROWS
from attnlab.ui.state import manager


def measured(name: str, title: str) -> None:
    """The tables in which the variant occurs, alone or in a composition; a sentence where there are none."""
    st.subheader("What was measured", anchor=False)
    rows = [*_report(name), *_tables(name), *_leagues(name)]
    if not rows:
        st.caption(
            f"The course report did not train {title}, and no league with it is here. The League page trains every variant "
            "in the same network."
        )
        st.page_link("pages/league.py", label="League", icon=":material/leaderboard:")
        return
    columns = {
        "where": st.column_config.TextColumn("Where", width="medium"),
        "row": st.column_config.TextColumn("Network", width="medium"),
        "accuracy": st.column_config.NumberColumn("Accuracy %", format="%.1f"),
        "std": st.column_config.NumberColumn("± std", format="%.1f"),
        "n": st.column_config.NumberColumn("Runs", format="%d"),
        "plain": st.column_config.NumberColumn("Plain network %", format="%.1f"),
        "says": st.column_config.TextColumn("Against the plain network", width="large"),
    }
    st.dataframe(
        pd.DataFrame(rows, columns=list(columns)),
        hide_index=True,
        column_config=columns,
        key="anatomy.measured",
        alt=f"What was measured of {title}: " + "; ".join(f"{row['where']}, {row['row']}: {row['says']}" for row in rows),
    )
    st.caption(
        "The report's figures are as published. Ours are trained with the settings that the Reproduce and League pages "
        "name, and rows of different tables are not to be compared with each other."
    )


def _report(name: str) -> list[dict[str, object]]:
    plain_row, verdicts = REPORT_ROWS["CNN"], report_comparisons()
    return [
        {
            "where": "The course report, 2023",
            "row": label,
            "accuracy": 100 * row.accuracy,
            "std": 100 * row.deviation,
            "n": SEEDS,
            "plain": 100 * plain_row.accuracy,
            "says": verdicts[label].words if label in verdicts else "",
        }
        for label, row in REPORT_ROWS.items()
        if name in split_composition(row.attention)
    ]


def _tables(name: str) -> list[dict[str, object]]:
    return [row for row in _table_rows() if name in split_composition(str(row["attention"]))]


@st.cache_data(max_entries=1, show_spinner=False)
def _table_rows() -> list[dict[str, object]]:
    """All rows of the shipped tables, with their attention; none when a file was damaged."""
    try:
        tables = [told for told in shipped_grids().values() if told.grid.kind is GridKind.TABLE1]
    except GridError:
        return []
    found: list[dict[str, object]] = []
    for told in tables:
        groups = row_groups(told.grid, progress(told.grid, told.records))
        comparisons = compared(told.grid, groups)
        first = groups[told.grid.rows[0].label]
        for row in told.grid.rows:
            group, comparison = groups[row.label], comparisons.get(row.label)
            if group.mean is not None:
                found.append(
                    {
                        "where": told.grid.title,
                        "row": row.label,
                        "accuracy": 100 * group.mean,
                        "std": None if group.std is None else 100 * group.std,
                        "n": group.n,
                        "plain": None if first.mean is None else 100 * first.mean,
                        "says": comparison.words if comparison is not None else "",
                        "attention": row.config.model.attention,
                    }
                )
    return found


def _leagues(name: str) -> list[dict[str, object]]:
    found = []
    for league in leagues(manager().home, manager().runs()):
        for row in league_rows(league):
            if name in (row.name, *row.name.split("+")) and row.group.mean is not None:
                found.append(
                    {
                        "where": f"League: {league.title}",
                        "row": row.name,
                        "accuracy": 100 * row.group.mean,
                        "std": None if row.group.std is None else 100 * row.group.std,
                        "n": row.group.n,
                        "plain": None if league.plain.mean is None else 100 * league.plain.mean,
                        "says": verdict_words(row.against_plain),
                    }
                )
    return found
