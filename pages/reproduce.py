"""The report's Table 1 again: any number of seeds, its figures beside ours, and the cost of each departure of its code."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.waiting import wait_for_torch

inside_app()
st.title("Reproduce", anchor=False)
st.markdown(
    "The report *Attention Mechanisms for Image Classification* (a course paper) trains nine networks, 16 times each, and "
    "finds that nearly all of them end near 66% accuracy. Train its Table 1 again, as its code does or as its text says, and "
    "see what each difference between the two costs."
)
wait_for_torch()

from attnlab.ui.grid_board import board  # noqa: E402  (needs torch, which the line above waits for)
from attnlab.ui.reproduce import departures, grids, results  # noqa: E402

with st.expander("Start a table", icon=":material/add:", expanded=not grids.tables(), key="reproduce.new"):
    grids.start_form()
view = grids.choose_grid()
if view is None:
    st.info("When a table has been started, its matrix of runs and its results appear here.", icon=":material/info:")
    departures.departures_section()
else:
    found = results.results(view)
    names = ["Table", "Charts", "Runs", "Departures"] if found else ["Runs", "Departures"]
    tabs = dict(zip(names, st.tabs(names, key="reproduce.tabs"), strict=True))
    if found:
        with tabs["Table"]:
            results.result_table(found)
        with tabs["Charts"]:
            results.charts(found)
    with tabs["Runs"]:
        board(view, "reproduce")
    with tabs["Departures"]:
        departures.departures_section()
