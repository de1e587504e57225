"""The page that opens a checkpoint of the original repositories: what it is, what it cannot tell, and on to Inspect."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from torch import Tensor

from attnlab import paths
from attnlab.config import DatasetConfig, ModelConfig, explain
from attnlab.data import IMAGENET, list_datasets
from attnlab.interop import (
    REFERENCES,
    CheckpointRefused,
    Reference,
    UnknownReference,
    open_checkpoint,
    recognise,
    reference_config,
)
from attnlab.models import ImageShape
from attnlab.runs.imported import NO_PICTURES, NORMALISATION, fitting_datasets, import_checkpoint
from attnlab.ui.state import manager

MOST_MEGABYTES = 256
FROM_PATH = "a folder or archive"
DRAWN_COUNTS = ("train_images", "test_images")
QUESTIONS = {"pooling": "Where the local maps were taken", "normalize": "How scores became weights"}
ANSWERS = {
    "before": "before the pooling",
    "after": "after the pooling",
    "softmax": "softmax, a sum",
    "sigmoid": "sigmoid, a mean",
}


@dataclass(frozen=True, eq=False)
class Opened:
    """A checkpoint with what its names and shapes say.

    Attributes:
        config, shape, outputs: `None`, `None` and 0 for a block, which is no network.
    """

    name: str
    weights: Mapping[str, Tensor]
    reference: Reference
    config: ModelConfig | None = None
    shape: ImageShape | None = None
    outputs: int = 0

    @property
    def classes(self) -> int:
        """A single output tells two classes apart."""
        return max(2, self.outputs)


def known_references() -> None:
    """Which repositories are understood, with what each file may leave open."""
    for reference in REFERENCES:
        where = f"[{reference.title}]({reference.source})" if reference.source.startswith("http") else reference.title
        kind = "network" if reference.network else "block"
        cite = "" if reference.source.startswith("http") else f": {reference.source}"
        st.markdown(f"- {where} :gray-badge[{kind}]{cite}")


def choose_file() -> Opened | None:
    """Takes an upload or a path on the server; what it is, or `None` with the reason on the page."""
    upload, path = st.columns(2, gap="large")
    given = upload.file_uploader(
        "A checkpoint file",
        type=["safetensors", "pt", "pth", "bin", "ckpt"],
        max_upload_size=MOST_MEGABYTES,
        key="checkpoint.file",
        help="Pickled files (.pt, .pth) are read by a process of their own that may do nothing else; safetensors as they are.",
    )
    typed = path.text_input("Or a path on the machine of the app", key="checkpoint.path", placeholder="/data/net.pth").strip()
    try:
        if given is not None:
            content = given.getvalue()
            return _opened(given.name, hashlib.sha256(content).hexdigest(), content)
        if typed:
            file = Path(typed).expanduser()
            stamp = f"{file.resolve()} {file.stat().st_mtime_ns}" if file.is_file() else typed
            return _opened(file.name, stamp, file)
    except UnknownReference as error:
        st.error(f"Not recognised: {error}.", icon=":material/help:")
    except ValueError as error:  # refused, or of shapes that no such network has
        st.error(explain(error), icon=":material/error:")
    return None


def describe(opened: Opened) -> None:
    """What was recognised."""
    reference = opened.reference
    parameters = sum(value.numel() for value in opened.weights.values() if value.is_floating_point())
    where = f"[{reference.source}]({reference.source})" if reference.source.startswith("http") else reference.source
    st.success(f"**{reference.title}**  \n{where}", icon=":material/verified:")
    with st.container(horizontal=True):
        st.metric("Numbers in it", f"{parameters:,}", help="Parameters and the running statistics of batch norms.")
        if opened.shape is not None and opened.config is not None:
            st.metric("Images", f"{opened.shape.channels} x {opened.shape.height} x {opened.shape.width}")
            st.metric("Outputs", opened.outputs)
            st.metric("Width", opened.config.width)


def block_note(opened: Opened) -> None:
    """A block has no picture to look at: where it can be used."""
    st.info(
        f"This is a block, {opened.reference.title}, not a network: there is no prediction to inspect. In code, "
        "`attnlab.interop.open_reference` gives it as a module; as a variant it can be trained in any network.",
        icon=":material/extension:",
    )


def open_form(opened: Opened) -> None:
    """Asks what the file cannot tell, and makes it a run that Inspect shows."""
    assert opened.shape is not None  # it is a network
    choices = _choices(opened.reference)
    dataset = _pictures(opened)
    normalisation = NORMALISATION[opened.reference.name]
    by_source = st.segmented_control(
        "Pixels were normalised as",
        [True, False],
        default=True,
        required=True,
        format_func=lambda own: "in the source's training script" if own else "for ImageNet",
        key="checkpoint.normalisation",
    )
    mean, std = normalisation if by_source else IMAGENET
    st.caption(f"mean {', '.join(map(str, mean))} · standard deviation {', '.join(map(str, std))}")
    if st.button(
        "Open in Inspect", type="primary", icon=":material/visibility:", key="checkpoint.open", disabled=dataset is None
    ):
        assert dataset is not None  # the button is disabled otherwise
        try:
            folder = import_checkpoint(
                paths.runs_dir(),
                opened.weights,
                source=opened.name,
                dataset=dataset,
                normalisation=(mean, std),
                choices=choices,
            )
        except ValueError as error:
            st.error(explain(error), icon=":material/error:")
            return
        run_id = manager().adopt(folder)
        st.switch_page("pages/inspect_attention.py", query_params={"run": run_id})


def _choices(reference: Reference) -> dict[str, str]:
    """What shapes cannot tell."""
    if not reference.choices:
        return {}
    st.markdown(
        "**What the weights cannot tell.** A wrong answer opens without complaint and gives other maps and predictions."
    )
    with st.container(horizontal=True, gap="large"):
        return {
            name: st.segmented_control(
                QUESTIONS[name],
                list(values),
                default=values[0],
                required=True,
                format_func=ANSWERS.__getitem__,
                key=f"checkpoint.{reference.name}.{name}",
            )
            or values[0]
            for name, values in reference.choices.items()
        }


def _pictures(opened: Opened) -> DatasetConfig | None:
    """The pictures the network was made for; `None` while a path is still to be given."""
    assert opened.shape is not None
    fitting = fitting_datasets(opened.shape.channels, opened.classes)
    titles = {name: _title(name) for name in fitting} | {NO_PICTURES: "not at hand: only my own pictures"}
    chosen = st.selectbox(
        "Made for the pictures of",
        [*fitting, FROM_PATH, NO_PICTURES],
        format_func=lambda name: titles.get(name, name),
        key=f"checkpoint.dataset.{opened.shape.channels}.{opened.classes}",
        help="They give the classes their names, and Inspect its test pictures.",
    )
    if chosen in fitting:
        offered = list_datasets()[chosen].options  # a drawn set need not be larger than what is looked at
        return DatasetConfig(name=chosen, options={name: min(offered[name]) for name in DRAWN_COUNTS if name in offered})
    if chosen == NO_PICTURES:
        return DatasetConfig(name=chosen)
    path = st.text_input("Folder or archive", key="checkpoint.dataset.path", placeholder="/data/dermoscopy.zip").strip()
    return DatasetConfig(name=str(Path(path).expanduser().resolve())) if path else None


def _title(name: str) -> str:
    info = list_datasets()[name]
    return info.title + (f" (fetched once, {info.download_bytes / 1e6:.0f} MB)" if info.needs_network else "")


@st.cache_resource(max_entries=2, show_spinner="Reading the checkpoint")
def _opened(name: str, stamp: str, _source: bytes | Path) -> Opened:
    """
    Raises:
        CheckpointRefused, UnknownReference, ValueError: as `attnlab.interop`.
    """
    weights = open_checkpoint(_source)
    reference = recognise(weights)
    if not reference.network:
        return Opened(name, weights, reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that choices are assumed: they are asked for on the page
        config, shape, outputs = reference_config(weights)
    if shape.height != shape.width:
        raise CheckpointRefused(f"the network is made for images of {shape.height} x {shape.width}; only square ones are shown")
    return Opened(name, weights, reference, config, shape, outputs)
