"""The end of the Reproduce page: in which points the published code departs from the report, and what each of them does."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from attnlab import paths
from attnlab.experiments.grid import progress
from attnlab.experiments.grid_table import row_groups
from attnlab.experiments.reproduce import DEPARTURES, FINDING
from attnlab.experiments.shipped import shipped_grids
from attnlab.ui.reproduce.results import differences
from attnlab.viz.grid_figures import difference_plot

REPORT = paths.ROOT / "docs" / "table1.md"


def the_finding() -> None:
    """The seven departures in words, what putting each right gained in the shipped experiment, and the whole account."""
    st.subheader("Where the published code departs from the report", anchor=False)
    rows = [
        {"": str(departure.number), "the code": departure.title, "put right": departure.without, "on": departure.row}
        for departure in DEPARTURES
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={"": st.column_config.TextColumn(width=32)},
        key="reproduce.departures",
        alt="The seven departures",
    )
    for told in shipped_grids().values():
        if told.grid.kind == FINDING:
            groups = row_groups(told.grid, progress(told.grid, told.records))
            st.caption(f"What putting a point right gains. {told.grid.title}, shipped: {' '.join(told.notes[:2])}")
            st.plotly_chart(
                difference_plot(differences(told.grid, groups)),
                key=f"reproduce.finding.{told.grid.grid_id}",
                alt="What putting each departure right gains, with its interval",
            )
    if REPORT.exists():
        with st.expander("What each of them costs, and why everything lands near 66 %", key="reproduce.finding"):
            st.markdown(REPORT.read_text())
