"""attnlab: page config and navigation. Everything else is in pages/ and attnlab/ui."""

import streamlit as st

st.set_page_config(page_title="attnlab", page_icon=":material/center_focus_strong:", layout="wide")

page = st.navigation(
    [
        st.Page(
            "pages/home.py",
            title="Home",
            icon=":material/home:",
            default=True,
            help="What attention is, in one picture, and where to go from here.",
        ),
        st.Page(
            "pages/train.py",
            title="Train",
            icon=":material/play_circle:",
            help="Choose a variant, train it in the background, watch loss and accuracy grow.",
        ),
        st.Page(
            "pages/inspect_attention.py",
            title="Inspect",
            icon=":material/visibility:",
            url_path="inspect",
            help="Look at the attention maps of a trained run, image by image and step by step.",
        ),
        st.Page(
            "pages/compare.py",
            title="Compare",
            icon=":material/bar_chart:",
            help="Mean, spread and significance of many runs; parameters, cost and curves side by side.",
        ),
    ],
    position="top",
)
page.run()
