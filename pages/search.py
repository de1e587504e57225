"""The report's future work: which depth, width, activation and placement of an attention block are best."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.waiting import wait_for_torch

inside_app()
st.title("Search", anchor=False)
st.markdown(
    "The report ends with a question: would other depths, widths, activations or placements of its autoencoders do better? "
    "A search tries many configurations, trains each one as an ordinary run, and stops those that fall behind early."
)
wait_for_torch()

from attnlab.ui.search import page  # noqa: E402  (needs torch, which the line above waits for)

with st.expander("Start a search", icon=":material/add:", expanded=not page.searches(), key="search.new"):
    page.start_form()
search = page.choose_search()
if search is not None:
    page.board(search)
