"""What attention is, in one picture that moves, and where to go from here. Drawn without torch."""

import streamlit as st

from attnlab.ui import warmup
from attnlab.ui.home.demo_strip import showcase
from attnlab.ui.home.gallery import variant_gallery
from attnlab.ui.shell import inside_app

NEXT = (
    (
        "pages/train.py",
        ":material/play_circle:",
        "Train",
        "Pick a variant, start it, watch loss and accuracy grow. A minute is enough.",
    ),
    (
        "pages/inspect_attention.py",
        ":material/visibility:",
        "Inspect",
        "Look through any map of a trained network, at any step.",
    ),
    (
        "pages/compare.py",
        ":material/bar_chart:",
        "Compare",
        "Many seeds, mean and spread, and whether the difference means anything.",
    ),
)

inside_app()
st.title("What does a network look at?", anchor=False)
st.markdown(
    "Attention lets a network weigh its own features: each weight is a number between nothing and everything, computed from "
    "the image itself. Below, the weights of a small network while it learns to read one digit in a cluttered picture."
)
showcase()

with st.grid(3, min_column_width=260, border=True) as cards:
    for page, icon, title, text in NEXT:
        with cards.cell():
            st.page_link(page, label=f"**{title}**", icon=icon)
            st.markdown(text)

st.subheader("The variants", anchor=False)
variant_gallery()
warmup.start()
