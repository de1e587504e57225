"""The page that opens a checkpoint of the original repositories: what it is, and what the file does not record."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from attnlab.config import DatasetConfig, ModelConfig, explain
from attnlab.data import IMAGENET, list_datasets, readable_file
from attnlab.desk.permissions import Action
from attnlab.files import why_not_written
from attnlab.interop import (
    REFERENCES,
    TOP,
    Checkpoint,
    CheckpointRefused,
    Reference,
    UnknownReference,
    open_checkpoint,
    open_reference,
    recognise,
    reference_config,
)
from attnlab.models import ImageShape
from attnlab.runs.imported import NO_PICTURES, NORMALISATION, fitting_datasets
from attnlab.ui.form.own_images import absolute_path
from attnlab.ui.format import plain
from attnlab.ui.state import manager
from attnlab.ui.uploads import file_uploader

MOST_MEGABYTES = 256
FROM_PATH = "a folder or archive"
DRAWN_COUNTS = ("train_images", "test_images")
QUESTIONS = {
    "pooling": "Local features are taken",
    "normalize": "Scores become weights by",
    "heads": "Heads of each block",
    "positions": "Positions are told by",
}
ANSWERS = {
    "before": "before pooling",
    "after": "after pooling",
    "softmax": "softmax, then a sum",
    "sigmoid": "sigmoid, then a mean",
    "none": "nothing",
    "sine": "sines and cosines",
}
"""What the values of choices are called that do not speak for themselves."""


@dataclass(frozen=True, eq=False)
class Recognised:
    """A checkpoint file, with what its names and shapes say about the network.

    Attributes:
        config, shape, outputs: `None`, `None` and 0 for a block, which is not a network.
    """

    name: str
    weights: Checkpoint
    reference: Reference
    config: ModelConfig | None = None
    shape: ImageShape | None = None
    outputs: int = 0

    @property
    def classes(self) -> int:
        """A single output separates two classes."""
        return max(2, self.outputs)


def known_references() -> None:
    """Lists the repositories whose checkpoints can be opened."""
    for title, source, network in dict.fromkeys((each.title, each.source, each.network) for each in REFERENCES):
        linked = source.startswith("http")
        named, cite = (f"[{title}]({source})", "") if linked else (title, f": {source}")
        st.markdown(f"- {named} :gray-badge[{'network' if network else 'block'}]{cite}")


def choose_file() -> Recognised | None:
    """Takes an upload or a path on the server and recognises it; `None` with the reason on the page when it cannot."""
    by_path = manager().may(Action.READ_PATH)
    upload, path = st.columns(2, gap="large") if by_path else (st.container(), None)
    file = file_uploader(
        "A checkpoint file",
        place=upload,
        type=["safetensors", "pt", "pth", "bin", "ckpt", "th", "tar", "pkl", "pickle", "model"],
        most_megabytes=MOST_MEGABYTES,
        key="checkpoint.file",
        help="Written by torch.save or as safetensors. Only the tensors are read; code in a file is never executed.",
    )
    typed = ""
    if path is not None:
        text = path.text_input("Or the path of a file on the server", key="checkpoint.path", placeholder="/data/net.pth")
        typed = text.strip()
    if file is None and not typed:
        return None
    source: bytes | Path
    try:
        if file is not None:
            content: bytes = file.getvalue()
            source, name, stamp = content, file.name, hashlib.sha256(content).hexdigest()
        else:
            source = readable_file(absolute_path(typed))
            name, stamp = source.name, f"{source} {source.stat().st_mtime_ns}"
        first = _checkpoint(name, stamp, source)
        if len(first.weights.sets) == 1:
            return first
        return _checkpoint(name, stamp, source, _which(first.weights))
    except UnknownReference as error:
        st.error(f"Not recognised: {plain(str(error))}.", icon=":material/help:")
    except ValueError as error:  # refused, or with shapes that no such network has
        st.error(plain(explain(error)), icon=":material/error:")
    return None


def _which(weights: Checkpoint) -> str:
    """Asks which of several sets of weights in a file to open."""
    chosen = st.segmented_control(
        "Weights",
        list(weights.sets),
        default=weights.found,
        required=True,
        format_func=lambda place: plain(place or TOP),
        key=f"checkpoint.weights.{'|'.join(weights.sets)}",
        help="The file holds several sets of weights, such as an average over the training (EMA) beside the last ones.",
    )
    return weights.found if chosen is None else chosen


def describe(checkpoint: Recognised) -> None:
    """Shows what was recognised."""
    reference = checkpoint.reference
    parameters = sum(value.numel() for value in checkpoint.weights.values() if value.is_floating_point())
    source = f"[{reference.source}]({reference.source})" if reference.source.startswith("http") else reference.source
    st.success(f"**{reference.title}**  \n{source}", icon=":material/verified:")
    for remark in checkpoint.weights.remarks():
        st.caption(plain(remark))
    with st.container(horizontal=True):
        st.metric("Parameters and buffers", f"{parameters:,}", help="Buffers are the running statistics of batch norm layers.")
        if checkpoint.shape is not None and checkpoint.config is not None:
            st.metric("Images", f"{checkpoint.shape.channels} × {checkpoint.shape.height} × {checkpoint.shape.width}")
            st.metric("Outputs", checkpoint.outputs)
            st.metric("Width", checkpoint.config.width)


def block_note(checkpoint: Recognised) -> None:
    """Says where a block, which makes no prediction, can be used."""
    st.info(
        f"This is a block, {checkpoint.reference.title}, not a network, so there is no prediction to inspect. In code, "
        "`attnlab.interop.open_reference` loads it as a module. As a variant, it can be trained in any network.",
        icon=":material/extension:",
    )


def open_form(checkpoint: Recognised) -> None:
    """Asks what the file does not record, and makes the checkpoint a run that Inspect shows."""
    assert checkpoint.shape is not None  # it is a network
    choices = _choices(checkpoint.reference)
    dataset = ask_dataset(checkpoint.shape.channels, checkpoint.classes)
    normalisation = NORMALISATION[checkpoint.reference.name]
    by_source = st.segmented_control(
        "Pixel normalisation",
        [True, False],
        default=True,
        required=True,
        format_func=lambda own: "as in the source's training script" if own else "as for ImageNet",
        key="checkpoint.normalisation",
    )
    mean, std = normalisation if by_source else IMAGENET
    st.caption(f"mean {', '.join(map(str, mean))} · standard deviation {', '.join(map(str, std))}")
    if st.button(
        "Open in Inspect", type="primary", icon=":material/visibility:", key="checkpoint.open", disabled=dataset is None
    ):
        assert dataset is not None  # the button is disabled otherwise
        try:
            run_id = manager().open_checkpoint(
                checkpoint.weights,
                source=checkpoint.name,
                dataset=dataset,
                normalisation=(mean, std),
                choices=choices,
                remarks=checkpoint.weights.remarks(),
            )
        except ValueError as error:
            st.error(plain(explain(error)), icon=":material/error:")
            return
        except OSError as error:
            st.error(f"The run cannot be stored: {plain(why_not_written(error, manager().home))}.", icon=":material/error:")
            return
        st.switch_page("pages/inspect_attention.py", query_params={"run": run_id})


def _choices(reference: Reference) -> dict[str, str]:
    """Asks for the settings that the shapes of the weights do not determine."""
    if not reference.choices:
        return {}
    st.markdown("**Settings the file does not record.** A wrong choice raises no error, but gives other maps and predictions.")
    with st.container(horizontal=True, gap="large"):
        return {
            name: st.segmented_control(
                QUESTIONS[name],
                list(values),
                default=values[0],
                required=True,
                format_func=lambda value: ANSWERS.get(value, value),
                key=f"checkpoint.{reference.name}.{name}",
            )
            or values[0]
            for name, values in reference.choices.items()
        }


def ask_dataset(channels: int, classes: int) -> DatasetConfig | None:
    """Asks for the data set that a network was made for; `None` while its path is missing."""
    fitting = fitting_datasets(channels, classes)
    titles = {name: _title(name) for name in fitting} | {NO_PICTURES: "none: only my own images"}
    offered_names = [*fitting, *([FROM_PATH] if manager().may(Action.READ_PATH) else []), NO_PICTURES]
    chosen = st.selectbox(
        "Data set",
        offered_names,
        index=0 if fitting else len(offered_names) - 1,
        format_func=lambda name: titles.get(name, name),
        key=f"checkpoint.dataset.{channels}.{classes}",
        help="It provides the class names, and the test images for Inspect.",
    )
    if chosen in fitting:
        offered = list_datasets()[chosen].options  # a drawn set need not be larger than what Inspect shows
        return DatasetConfig(name=chosen, options={name: min(offered[name]) for name in DRAWN_COUNTS if name in offered})
    if chosen == NO_PICTURES:
        return DatasetConfig(name=chosen)
    path = st.text_input("Folder or archive", key="checkpoint.dataset.path", placeholder="/data/dermoscopy.zip").strip()
    try:
        return DatasetConfig(name=str(absolute_path(path))) if path else None
    except ValueError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _title(name: str) -> str:
    info = list_datasets()[name]
    return info.title + (f" (downloaded once, {info.download_bytes / 1e6:.0f} MB)" if info.needs_network else "")


@st.cache_resource(max_entries=2, show_spinner="Reading the checkpoint")
def _checkpoint(name: str, stamp: str, _source: bytes | Path, take: str | None = None) -> Recognised:
    """Reads and recognises a file.

    Raises:
        CheckpointRefused, UnknownReference, ValueError: as `attnlab.interop`.
    """
    weights = open_checkpoint(_source, take=take)
    reference = recognise(weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of assumed choices, which the page asks for
        if not reference.network:
            open_reference(weights)  # names what is missing or does not fit
            return Recognised(name, weights, reference)
        config, shape, outputs = reference_config(weights)
    if shape.height != shape.width:
        raise CheckpointRefused(f"the network expects images of {shape.height} × {shape.width}; only square ones are supported")
    return Recognised(name, weights, reference, config, shape, outputs)
