"""The report's Table 1 again: as many seeds as wanted, its figures beside ours, and what its code's departures cost."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.waiting import wait_for_torch

inside_app()
st.title("Reproduce", anchor=False)
st.markdown(
    "The report *Attention Mechanisms for Image Classification* trains nine networks, 16 times each, and finds that nearly "
    "all of them end near 66 %. Train its Table 1 again, as its code does or as its text describes, and see what each "
    "difference between the two costs."
)
wait_for_torch()

from attnlab.ui.reproduce import departures, grids, results  # noqa: E402  (needs torch, which the line above waits for)

with st.expander("Start a table", icon=":material/add:", expanded=not grids.tables(), key="reproduce.new"):
    grids.start_form()
shown = grids.choose_grid()
if shown is None:
    st.info("When a table has been started, its matrix of runs and its results appear here.", icon=":material/info:")
else:
    grids.board(shown)
    results.results(shown)
departures.the_finding()
