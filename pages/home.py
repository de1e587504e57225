"""What attention is, in one animated image, and where to go from here. Drawn without torch."""

import streamlit as st

from attnlab.ui import warmup
from attnlab.ui.home.by_hand import mask_by_hand
from attnlab.ui.home.demo_strip import guided_example
from attnlab.ui.home.gallery import variant_gallery
from attnlab.ui.shell import inside_app

NEXT = (
    (
        "pages/train.py",
        ":material/play_circle:",
        "Train",
        "Pick a variant, start a run, and watch loss and accuracy change. One minute is enough.",
    ),
    (
        "pages/inspect_attention.py",
        ":material/visibility:",
        "Inspect",
        "See any attention map of a trained network, at any training step.",
    ),
    (
        "pages/compare.py",
        ":material/bar_chart:",
        "Compare",
        "Compare many seeds: mean, spread, and whether a difference is significant.",
    ),
)

inside_app()
st.title("What does a network look at?", anchor=False)
st.markdown(
    "Attention lets a network weight its own features, with weights computed from the image itself. Some attention looks where "
    "the object is, and some does not. Below, small networks learn to read a digit in clutter: each colour is the weight of "
    "one place."
)
guided_example()

with st.grid(3, min_column_width=260, border=True) as cards:
    for page, icon, title, text in NEXT:
        with cards.cell():
            st.page_link(page, label=f"**{title}**", icon=icon)
            st.markdown(text)

mask_by_hand()
st.subheader("The variants", anchor=False)
variant_gallery()
warmup.start()
