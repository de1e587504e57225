"""Surgery on the Inspect page: change the attention, see the prediction change, and measure it over many images.

Where the network can run in the browser (`attnlab.explain.in_browser`) it does, and the server hears of no change. Where it
cannot, the page says why, and one change takes one forward here. A fragment: it does not rerun the page. Nothing is computed
while the section is folded.
"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from attnlab.attention import attention_taps
from attnlab.explain.in_browser import NotExportedError
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.operations import Intervention, Operation, applicable
from attnlab.maps import derived, tap_behind, tap_of, tap_titles, without_use
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord
from attnlab.ui.background import show_progress
from attnlab.ui.components.offline import Laboratory
from attnlab.ui.components.patient import Patient
from attnlab.ui.components.surgery import surgery
from attnlab.ui.components.viewer import layers_in_view
from attnlab.ui.finder import finder
from attnlab.ui.inspect.moved import begin_with_a_change, offer_moved_images
from attnlab.ui.inspect.network import Selection
from attnlab.ui.inspect.section import VIEWER, follow_viewer, open_section
from attnlab.ui.inspect.surgery_on_server import on_server, taps_and_heads
from attnlab.ui.inspect.surgery_table import over_many
from attnlab.ui.run_cache import network_file, opened_network
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Panel

EXPORT_SECONDS = 60.0
"""An offline page waits at most so long for the network in it."""
_FAILED = "surgery.failed"
"""Run -> why this browser could not run its network."""
_SEEN_CLOSED = "surgery.seen_closed"
"""Whether a person has opened the section, and not a link."""
RENAMED = {"Channel half alone": "Channel attention only", "Spatial half alone": "Spatial attention only"}
"""Titles of operations in links that were made before they got new ones."""


@st.fragment
def surgery_section(selection: Selection) -> None:
    """The section for one run; nothing when its network has no attention."""
    record, panel = selection.records[0], selection.panels[0]
    opened = opened_network(record)
    offered = applicable(opened.model)
    if not offered:
        return
    box = open_section(
        "Surgery: change the attention and see the prediction change", key="surgery", icon=":material/ecg_heart:"
    )
    if follow_viewer(box is not None):
        st.rerun()
    if box is None:
        st.session_state[_SEEN_CLOSED] = True
        return
    if (old := st.query_params.get("operation")) in RENAMED:
        st.query_params["operation"] = RENAMED[old]
        st.rerun()
    in_view = _in_view(record, panel, list(attention_taps(opened.model)))
    with box:
        why = _not_in_browser(record)
        file = None if why else network_file(record).result()
        if file is not None:
            why = _in_browser(opened, offered, selection, in_view, file.name)
        elif not why:
            show_progress([network_file(record)], "Preparing the network for the browser")
        if file is None or why:
            on_server(opened, offered, selection, in_view, why)


def _not_in_browser(record: RunRecord) -> str:
    """Why the network is run here, as the end of a sentence that begins "because"; empty where the browser runs it."""
    if st.query_params.get("way") == "server":
        return "the link asks for it"
    job = network_file(record)
    try:
        job.result(patience=0)
    except (NotExportedError, OSError) as error:
        return str(error)
    return str(st.session_state.get(_FAILED, {}).get(record.run_id, ""))


def _in_browser(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, network: str) -> str:
    """Everything happens in the browser; returns why it does not, where that is so."""
    record, panel = selection.records[0], selection.panels[0]
    patient = _patient(opened, offered, selection, in_view, network)
    answer = surgery(patient, finds=panel.truth is not None, key=f"surgery.browser.{record.run_id}")
    if answer.failed:
        st.session_state.setdefault(_FAILED, {})[record.run_id] = answer.failed
        return answer.failed
    if answer.asked is not None and panel.truth is not None:
        offer_moved_images(record, answer.asked, panel.classes)
    elif panel.truth is not None and st.session_state.get(_SEEN_CLOSED):  # a link shows the image that it names
        begin_with_a_change(record, Intervention("off", 1.0, None if in_view is None else (in_view,)))
    over_many(record, opened, None, patient.places)
    return ""


def _patient(opened: OpenRun, offered: Sequence[Operation], selection: Selection, in_view: str | None, network: str) -> Patient:
    panel, taps = selection.panels[0], attention_taps(opened.model)
    maps = taps_and_heads(taps, panel.layers)
    titles = tap_titles(maps)
    return Patient(
        network,
        selection.images[0].numpy(),
        panel.truth,
        offered,
        {name: (titles[name], taps[tap_of(name)].kind) for name in maps},
        {item.name: item.title for item in panel.layers},
        in_view,
    )


def laboratory(selection: Selection) -> Laboratory | None:
    """Surgery for the offline page, on the first network and image of the page; `None` where the browser cannot run it."""
    record, panel = selection.records[0], selection.panels[0]
    opened = opened_network(record)
    offered = applicable(opened.model)
    try:
        file = network_file(record).result(patience=EXPORT_SECONDS) if offered else None
    except (NotExportedError, OSError):
        return None
    if file is None:
        return None
    return Laboratory(_patient(opened, offered, selection, None, ""), file.read_bytes(), panel.title)


def _in_view(record: RunRecord, panel: Panel, taps: Sequence[str]) -> str | None:
    """The tap or head of the map that the viewer shows, of a derived map the tap behind it; `None` where it shows none."""
    if not panel.layers:
        return None
    told = [item.name for item in panel.layers if item.name in layers_in_view(VIEWER)]
    first = panel.layers[first_layer([panel], finder(RunFolder(record.folder)))].name
    shown = (told or [first])[0]
    return without_use(shown) if derived(shown) is None else tap_behind(shown, taps)
