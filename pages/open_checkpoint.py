"""A checkpoint of the original repositories, recognised by its names and shapes, as a run to inspect."""

import streamlit as st

from attnlab.ui.waiting import wait_for_torch

st.title("Open a checkpoint", anchor=False)
st.markdown(
    "Weights trained with the original code of one of the sources open here: attnlab recognises the network by the names and "
    "shapes in the file, asks what these cannot tell, and shows its attention like that of any run."
)
wait_for_torch()

from attnlab.ui import open_checkpoint  # noqa: E402  (needs torch, which the line above waits for)

opened = open_checkpoint.choose_file()
if opened is None:
    st.markdown("**What is recognised**")
    open_checkpoint.known_references()
else:
    open_checkpoint.describe(opened)
    if opened.reference.network:
        open_checkpoint.open_form(opened)
    else:
        open_checkpoint.block_note(opened)
