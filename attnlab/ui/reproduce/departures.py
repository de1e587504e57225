"""The end of the Reproduce page: where the published code departs from the report, and what each departure costs."""

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


def departures_section() -> None:
    """The seven departures, the accuracy gained by correcting each in the shipped experiment, and the full account."""
    st.subheader("Where the published code departs from the report", anchor=False)
    rows = [
        {"": str(departure.number), "the code": departure.title, "corrected": departure.without, "row": departure.row}
        for departure in DEPARTURES
    ]
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={"": st.column_config.TextColumn(width=32)},
        key="reproduce.departures",
        alt="The seven departures",
    )
    for table in shipped_grids().values():
        if table.grid.kind == FINDING:
            groups = row_groups(table.grid, progress(table.grid, table.records))
            notes = " ".join(table.notes[:2])
            st.caption(f"Accuracy gained by correcting each departure. {table.grid.title}, shipped: {notes}")
            st.plotly_chart(
                difference_plot(differences(table.grid, groups)),
                key=f"reproduce.finding.{table.grid.grid_id}",
                alt="Accuracy gained by correcting each departure, with its interval",
            )
    if REPORT.exists():
        with st.expander("What each departure costs, and why everything ends near 66%", key="reproduce.finding"):
            st.markdown(REPORT.read_text())
