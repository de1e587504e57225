"""The article's experiment: two gates on a VGG16, and whether they look at the lesion."""

import streamlit as st

from attnlab.ui.format import plain
from attnlab.ui.glossary import ATTENTION_GATE
from attnlab.ui.waiting import wait_for_torch

st.title("Melanoma", anchor=False)
st.markdown(
    "The article *Image Classification with Attention* adds two attention gates to a VGG16 and describes what they do: "
    "**pool-3 is diffuse, pool-4 is concentrated on the lesion in malignant images.** Train the network here, on your own "
    "images or on drawn ones, and see whether that is true.",
    help=ATTENTION_GATE,
)
st.warning(
    "attnlab is a tool for studying attention, not a medical device. Nothing on this page is a diagnosis.",
    icon=":material/info:",
)
wait_for_torch()

from attnlab.ui.melanoma import page, results  # noqa: E402  (needs torch, which the line above waits for)

st.subheader("Train", anchor=False)
page.start_form()
records = page.article_runs()
live = frozenset(record.run_id for record in records if record.state.live)
page.progress(live)
for failed in [record for record in records if record.reason][:3]:
    st.error(f"{plain(failed.title)}: {plain(failed.reason)}", icon=":material/error:")

finished = page.finished(records)
if not finished:
    st.info(
        "When a run has finished, its curves, its gates and the test of the article's claim appear here.",
        icon=":material/info:",
    )
else:
    st.divider()
    record, others = page.choose_run(finished)
    results.training_table(record)
    st.subheader("How good is the classifier?", anchor=False)
    results.diagnosis(record, others)
    if not page.has_weights(record):
        st.info(
            "This run was shipped without its weights, to be compared. Choose another one to see gates.", icon=":material/info:"
        )
    elif not page.has_gates(record):
        st.info("This network has no gates. Choose a run with attention to see them.", icon=":material/info:")
    elif results.images_ready(record):
        st.subheader("Where do the gates look?", anchor=False)
        results.gates_figure(record)
        st.subheader("Is the article's claim true here?", anchor=False)
        with st.container(key="melanoma.claim"):
            results.claim_section(record, others)
