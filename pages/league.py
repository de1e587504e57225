"""Every attention variant against the plain network and against a neutral control, with what it costs."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.waiting import wait_for_torch

inside_app()
st.title("League", anchor=False)
st.markdown(
    "Every attention variant in the same network, on the same images, with the same epochs and seeds. Each is compared with "
    "the **plain network**, which has no attention, and with its **control**: the same variant with the same parameters, whose "
    "weights are fixed so that they change nothing. What beats the plain network but not its control is not helped by the "
    "attention itself."
)
wait_for_torch()

from attnlab.ui.grid_board import GridView, board  # noqa: E402  (needs torch, which the line above waits for)
from attnlab.ui.league import results, start  # noqa: E402

found = start.choose_league()
if found is None:
    st.info("When a league has been started, its table appears here.", icon=":material/info:")
else:
    refused = start.more_variants(found)
    results.show(found, refused)
    if found.own:
        with st.expander("Runs of this server", icon=":material/grid_on:", expanded=not found.plain.n, key="league.runs"):
            board(GridView(found.own[0], start.own_progress(found.own[0]), (), shipped=False), "league")
with st.expander("Start a league", icon=":material/add:", expanded=found is None, key="league.new"):
    start.start_form()
