"""Groups of runs side by side: accuracy with its spread, cost, and whether a difference is significant."""

import streamlit as st

from attnlab.ui import warmup
from attnlab.ui.compare.page import charts, choose_groups, table
from attnlab.ui.shell import inside_app
from attnlab.ui.state import manager

inside_app()
st.title("Compare", anchor=False)
st.markdown(
    "Runs that differ only in their seed form one group. A group is shown by its mean ± standard deviation, and tested against "
    "the baseline."
)
records = manager().runs()
if not any(record.test_accuracy is not None for record in records):
    st.info("No run has finished yet. Train some first, ideally several seeds of two variants.", icon=":material/info:")
    st.page_link("pages/train.py", label="Train", icon=":material/play_circle:")
else:
    groups, names = choose_groups(records)
    table(groups, names)
    charts([group for group in groups if group.n], names)
warmup.start()
