"""A checkpoint of the original repositories, recognised by its names and shapes, as a run to inspect."""

import streamlit as st

from attnlab.ui.waiting import wait_for_torch

st.title("Open a checkpoint", anchor=False)
st.markdown(
    "Weights trained with the original code of one of the sources open here: attnlab recognises the network by the names and "
    "shapes in the file, asks what these cannot tell, and shows its attention like that of any run."
)
wait_for_torch()

from attnlab.ui.open_checkpoint import page  # noqa: E402  (needs torch, which the line above waits for)

opened = page.choose_file()
if opened is None:
    st.markdown("**What is recognised**")
    page.known_references()
else:
    page.describe(opened)
    if opened.reference.network:
        page.open_form(opened)
    else:
        page.block_note(opened)
