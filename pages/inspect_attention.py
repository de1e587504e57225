"""An image, the prediction, and every attention map the network computed for it."""

import streamlit as st

from attnlab.ui.hidden import shown
from attnlab.ui.inspect.page import choose_one, choose_run, facts, inspector
from attnlab.ui.problems import told
from attnlab.ui.shell import inside_app

inside_app()
st.title("Inspect", anchor=False)
chosen = choose_run()
if chosen is not None:
    with told():
        selection = inspector(chosen)
        if selection is not None:
            from attnlab.ui.inspect.honesty import honesty_section
            from attnlab.ui.inspect.large_maps import large_maps_section
            from attnlab.ui.inspect.surgery import surgery_section
            from attnlab.ui.inspect.tokens import tokens_section

            one = choose_one(selection)
            large_maps_section(one)
            tokens_section(one)
            if shown("surgery"):
                surgery_section(one)
            if shown("honesty"):
                honesty_section(one)
    with told():
        facts(chosen.record)
