"""One attention variant or network taken apart: its formula with numbers, its data path, its cost and its code."""

import streamlit as st

from attnlab.ui.shell import inside_app
from attnlab.ui.waiting import until_drawn

inside_app()
st.title("Anatomy", anchor=False)
with until_drawn():
    from attnlab.ui.anatomy.page import anatomy_page

    anatomy_page()
