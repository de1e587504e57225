"""One picture, the prediction, and every attention map the network made of it."""

import streamlit as st

from attnlab.ui.inspect.page import choose_run, facts, inspector, one_of
from attnlab.ui.shell import inside_app

inside_app()
st.title("Inspect", anchor=False)
chosen = choose_run()
if chosen is not None:
    shown = inspector(*chosen)
    if shown is not None:
        from attnlab.ui.inspect.honesty import honesty_section
        from attnlab.ui.inspect.large_maps import rows_section
        from attnlab.ui.inspect.surgery import surgery_section

        closer = one_of(shown)
        rows_section(closer)
        surgery_section(closer)
        honesty_section(closer)
    facts(chosen[0])
