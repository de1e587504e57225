"""The part of the page that opens a network of timm, torchvision or transformers by its name."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st
from torch import nn

from attnlab.adapters import (
    LIBRARIES,
    NetworkUnavailable,
    Preprocessing,
    fitted_network,
    foreign_network,
    hub_network,
    known_networks,
    outputs,
    preprocessing_of,
)
from attnlab.config import explain
from attnlab.data import readable_file
from attnlab.files import why_not_written
from attnlab.interop import open_checkpoint
from attnlab.ui.background import Job, JobStopped, show_progress
from attnlab.ui.form.own_images import absolute_path
from attnlab.ui.format import plain
from attnlab.ui.open_checkpoint.page import MOST_MEGABYTES, ask_dataset
from attnlab.ui.state import manager
from attnlab.ui.uploads import file_uploader

_DOWNLOAD = "named.job"
FILE, HUB, RANDOM = "a file", "the library's hub", "random numbers"
WHERE = {
    FILE: "as safetensors, or written by torch.save; only the tensors are read",
    HUB: "they are downloaded once, which needs a network",
    RANDOM: "to see how an untrained network attends; its predictions mean nothing",
}


@dataclass(frozen=True, eq=False)
class Named:
    """A network of others, ready to be opened.

    Attributes:
        options: of its constructor.
        source: where its weights come from.
        classes: how many it tells apart.
    """

    name: str
    model: nn.Module
    options: Mapping[str, Any]
    source: str
    expects: Preprocessing
    classes: int


def choose_network() -> Named | None:
    """Asks for a network and its weights; `None` while something is missing, with the reason on the page."""
    library = (
        st.segmented_control("Library", LIBRARIES, default=LIBRARIES[0], required=True, key="named.library") or LIBRARIES[0]
    )
    try:
        names = known_networks(library)
    except NetworkUnavailable as error:
        st.info(plain(str(error)), icon=":material/extension_off:")
        return None
    where = st.segmented_control("Weights from", list(WHERE), default=FILE, required=True, key="named.weights") or FILE
    st.caption(f"Weights from {where}: {WHERE[where]}.")
    if library == "transformers" and where == HUB:
        name = st.text_input("Name on the hub", placeholder="google/vit-base-patch16-224", key="named.hub").strip()
    else:
        chosen = st.selectbox("Network", names, index=None, placeholder="Type a part of its name", key=f"named.name.{library}")
        name = chosen or ""
    if not name:
        return None
    try:
        options = _configuration() if library == "transformers" and where != HUB else {}
        if where == HUB:
            return _downloaded(f"{library}/{name}")
        if where != FILE:
            return _random(f"{library}/{name}", json.dumps(options))
        file = file_uploader(
            "File of weights", type=["safetensors", "pt", "pth", "bin"], most_megabytes=MOST_MEGABYTES, key="named.file"
        )
        path = st.text_input("Or its path on this computer", key="named.path", placeholder="/data/net.safetensors").strip()
        if file is not None:
            content: bytes = file.getvalue()
            return _fitted(f"{library}/{name}", json.dumps(options), file.name, hashlib.sha256(content).hexdigest(), content)
        if path:
            source = readable_file(absolute_path(path))
            return _fitted(
                f"{library}/{name}", json.dumps(options), source.name, f"{source} {source.stat().st_mtime_ns}", source
            )
    except ValueError as error:  # a library that refuses, weights of another network, a file that is none
        st.error(plain(explain(error)), icon=":material/error:")
    return None


def open_form(named: Named) -> None:
    """Says what was found, asks for the data set, and makes the network a run that Inspect shows."""
    parameters = sum(weight.numel() for weight in named.model.parameters())
    with st.container(horizontal=True):
        st.metric("Parameters", f"{parameters:,}")
        st.metric("Images", " × ".join(map(str, named.expects.shape)))
        st.metric("Classes", named.classes)
    spread = f"mean {_short(named.expects.mean)}, standard deviation {_short(named.expects.std)}"
    st.caption(f"Pixels are scaled with {spread}: {named.expects.source}.")
    dataset = ask_dataset(named.expects.shape[0], named.classes)
    if st.button("Open in Inspect", type="primary", icon=":material/visibility:", key="named.open", disabled=dataset is None):
        assert dataset is not None  # the button is disabled otherwise
        try:
            run_id = manager().open_network(
                named.name,
                named.model,
                source=named.source,
                shape=named.expects.shape,
                outputs=named.classes,
                dataset=dataset,
                normalisation=(named.expects.mean, named.expects.std),
                options=named.options,
            )
        except ValueError as error:
            st.error(plain(explain(error)), icon=":material/error:")
            return
        except OSError as error:
            st.error(f"The run cannot be stored: {plain(why_not_written(error, manager().home))}.", icon=":material/error:")
            return
        st.switch_page("pages/inspect_attention.py", query_params={"run": run_id})


def _short(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _configuration() -> dict[str, Any]:
    """The settings of a network of transformers, from the file that is kept beside its weights."""
    file = file_uploader("Its config.json, if it is not the usual size", type=["json"], most_megabytes=1, key="named.config")
    if file is None:
        return {}
    try:
        tree = json.loads(file.getvalue())
    except ValueError as error:
        raise NetworkUnavailable(f"{file.name} is not JSON: {error}") from error
    if not isinstance(tree, dict):
        raise NetworkUnavailable(f"{file.name} is not the configuration of a network")
    return {key: value for key, value in tree.items() if key not in ("architectures", "model_type", "transformers_version")}


def _downloaded(name: str) -> Named | None:
    """The network with the weights of its hub, once a person has asked for them and they are there."""
    asked: tuple[str, Job[Named]] | None = st.session_state.get(_DOWNLOAD)
    job = asked[1] if asked is not None and asked[0] == name else None
    if job is not None and not job.ended:
        show_progress([job], "Downloading the weights, in MB")
        st.button("Stop the download", icon=":material/stop_circle:", key="named.stop", on_click=job.stop)
        return None
    if job is not None:
        try:
            return job.result(0)
        except JobStopped:
            st.info("The download was stopped.", icon=":material/stop_circle:")
        except ValueError as error:
            st.error(plain(explain(error)), icon=":material/error:")
    st.button("Download the weights", icon=":material/download:", key="named.download", on_click=_start_download, args=(name,))
    return None


def _start_download(name: str) -> None:
    def work(tell: Callable[[int, int], None]) -> Named:
        found = hub_network(name, None, lambda done, total: tell(done // 10**6, total // 10**6))
        return _named(found.name, found.model, found.options, HUB)

    st.session_state[_DOWNLOAD] = (name, Job(work))


@st.cache_resource(max_entries=2, show_spinner="Building the network")
def _random(name: str, options: str) -> Named:
    values = json.loads(options)
    return _named(name, foreign_network(name, None, values).eval(), values, RANDOM)


@st.cache_resource(max_entries=2, show_spinner="Reading the weights")
def _fitted(name: str, options: str, file: str, stamp: str, _source: Any) -> Named:
    values = json.loads(options)
    return _named(name, fitted_network(name, open_checkpoint(_source), values), values, file)


def _named(name: str, model: nn.Module, options: Mapping[str, Any], source: str) -> Named:
    expects = preprocessing_of(model)
    return Named(name, model, options, source, expects, outputs(model, expects.shape, options))
