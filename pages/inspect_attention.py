"""One picture, the prediction, and every attention map the network made of it."""

import streamlit as st

from attnlab.ui.inspect import choose_run, facts, inspector
from attnlab.ui.shell import inside_app

inside_app()
st.title("Inspect", anchor=False)
chosen = choose_run()
if chosen is not None:
    shown = inspector(*chosen)
    if shown is not None:
        from attnlab.ui.honesty import honesty_section
        from attnlab.ui.rows import rows_section
        from attnlab.ui.surgery import surgery_section

        rows_section(shown)
        surgery_section(shown)
        honesty_section(shown)
    facts(chosen[0])
