"""A checkpoint of one of the original repositories, recognised by its names and shapes, as a run to inspect."""

import streamlit as st

from attnlab.ui.waiting import wait_for_torch

st.title("Open a checkpoint", anchor=False)
st.markdown(
    "Open weights that were trained with the original code of one of the sources below. attnlab recognises the network from "
    "the names and shapes in the file, asks for the settings the file does not record, and shows its attention like that of "
    "any other run."
)
wait_for_torch()

from attnlab.ui.open_checkpoint import page  # noqa: E402  (needs torch, which the line above waits for)

checkpoint = page.choose_file()
if checkpoint is None:
    st.markdown("**Supported sources**")
    page.known_references()
else:
    page.describe(checkpoint)
    if checkpoint.reference.network:
        page.open_form(checkpoint)
    else:
        page.block_note(checkpoint)
