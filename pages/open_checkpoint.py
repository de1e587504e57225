"""A network that was trained elsewhere, as a run to inspect: a checkpoint that is recognised, or a network by its name."""

import streamlit as st

from attnlab.desk.permissions import Action
from attnlab.ui.state import manager
from attnlab.ui.waiting import wait_for_torch

st.title("Open a network", anchor=False)
CHECKPOINT, NAMED = "A checkpoint of a paper's code", "A network by its name"
kind = CHECKPOINT
if manager().may(Action.OPEN_NETWORK):
    kind = st.segmented_control("What to open", [CHECKPOINT, NAMED], default=CHECKPOINT, required=True, key="open.kind") or kind
wait_for_torch()

if kind == NAMED:
    from attnlab.ui.open_checkpoint import named

    st.markdown(
        "Open a network of timm, torchvision or transformers by its name. attnlab finds its attention by watching one forward "
        "pass, without changing the network, and shows it like that of any other run. Networks of your own code are opened on "
        "the command line: `attnlab open my_package.my_module:make_model --weights net.safetensors`."
    )
    network = named.choose_network()
    if network is not None:
        named.open_form(network)
else:
    from attnlab.ui.open_checkpoint import page

    st.markdown(
        "Open weights that were trained with the original code of one of the sources below. attnlab recognises the network "
        "from the names and shapes in the file, asks for the settings the file does not record, and shows its attention like "
        "that of any other run."
    )
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
