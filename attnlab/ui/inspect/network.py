"""The part of the Inspect page that runs networks: test images, one's own image, and facts about the variant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from attnlab.attention import AttentionMap, get_attention, split_composition
from attnlab.config import ModelConfig
from attnlab.data import DataError, ImageDataset, normalise
from attnlab.data.decode import fit_array, fit_image
from attnlab.explain.block_features import features_before
from attnlab.explain.cost import count_flops
from attnlab.explain.open_run import OpenError, OpenRun
from attnlab.maps import SOFTMAX_TOP, MapKind, MapScale, colour_ends, over_one_position, tap_of, tap_titles
from attnlab.models import ImageShape, get_model
from attnlab.runs.naming import attention_name, short_names
from attnlab.runs.records import RunRecord
from attnlab.ui.benchmarks import benchmark_page
from attnlab.ui.components.picker import Thumbnail, picked_indices, picker
from attnlab.ui.format import plain
from attnlab.ui.glossary import GATE
from attnlab.ui.inspect.images import images_to_show, linked_indices, run_colour
from attnlab.ui.inspect.own_image import ask_image
from attnlab.ui.run_cache import network_stamp, opened_network, run_dataset
from attnlab.ui.snapshots import ONE_POSITION
from attnlab.viz.overlay import thumbnails
from attnlab.viz.panels import Layer, Panel, layer

PREDICTED = 512
"""Test images that are predicted, to tell right predictions from wrong ones."""
PREDICTED_FLOPS = 5e11
"""Fewer are predicted if they would cost more than this: a VGG16 at 224 x 224 would take minutes."""
FEWEST_PREDICTED = 8
MOST_THUMBNAILS = 60
MOST_IMAGES = 4
"""Images of one run that can be shown side by side."""
RANGE_IMAGES = 16
"""Images that give the range of a map for the scale "this layer"."""
FEATURE_BYTES = 131_072
"""Most bytes of features of one block that are sent to the browser."""
SHARP_SIDE = 384
"""An image of one's own is drawn at least this large, though the network sees fewer pixels."""

OUTCOMES = {"all": "all", "right": "right", "wrong": "wrong"}
ORDERS = {"stored": "as stored", "sure": "most certain first", "unsure": "least certain first"}


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network computes for the first test images.

    Attributes:
        probabilities: float32 (n, classes).
        ranges: tap -> smallest and largest weight over `RANGE_IMAGES` images.
    """

    probabilities: NDArray[np.float32]
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Selection:
    """The runs and images on the page.

    Attributes:
        records: the run of each panel; the same run for all when several images are shown.
        panels: for the viewer, no two with the same title.
        images: uint8 (C, H, W), one per panel, as its network sees it.
        raw_arrays: computes the maps in full precision, see the function of this name.
    """

    records: list[RunRecord]
    panels: list[Panel]
    images: list[Tensor]
    raw_arrays: Callable[[], dict[str, NDArray[Any]]]

    def one(self, place: int) -> Selection:
        """One of the panels, for sections that work on one network and image."""
        return replace(self, records=[self.records[place]], panels=[self.panels[place]], images=[self.images[place]])


def choose_test_images(records: Sequence[RunRecord], places: Sequence[DeltaGenerator]) -> Selection | None:
    """Asks for a test image by class and outcome, or for several when there is one run; `None` when there is nothing to show.

    Args:
        places: three places for the filters.
    """
    record = records[0]
    try:
        dataset = run_dataset(record)
    except DataError as error:
        st.error(f"The test images cannot be read: {error}", icon=":material/error:")
        st.caption("You can still inspect the network: choose *Your own image* above.")
        return None
    records = _openable(records)
    if not records or records[0] is not record:
        return None
    predictions = _predictions(str(record.folder), network_stamp(record), record)
    chosen = _choose_indices(dataset, predictions, record, places, most=MOST_IMAGES if len(records) == 1 else 1)
    if not chosen:
        return None
    several = len(chosen) > 1
    if several:
        records = [record] * len(chosen)
    indices = chosen if several else chosen * len(records)
    panels = [
        _test_panel(str(run.folder), network_stamp(run), index, run_colour(run), run)
        for run, index in zip(records, indices, strict=True)
    ]
    if several:
        panels = [replace(panel, title=panel.subtitle, subtitle=panel.title) for panel in panels]
        names = [f"{record.run_id}/picture-{index}" for index in indices]
    else:
        panels = _titled(panels, records)
        names = [run.run_id for run in records]
    images = [dataset.test.images[index] for index in indices]
    return Selection(records, panels, images, lambda: raw_arrays(records, images, names))


def choose_own_image(records: Sequence[RunRecord]) -> Selection | None:
    """Asks for an image of one's own; `None` until there is one."""
    answer = ask_image()
    if answer is None:
        return None
    content, decoded = answer
    records = _openable(records)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    panels = [_own_panel(str(run.folder), network_stamp(run), digest, run_colour(run), run, decoded.pixels) for run in records]
    if not panels:
        return None
    images = [fit_image(decoded.pixels, opened_network(record).shape) for record in records]
    names = [record.run_id for record in records]
    return Selection(records, _titled(panels, records), images, lambda: raw_arrays(records, images, names))


def _titled(panels: Sequence[Panel], records: Sequence[RunRecord]) -> list[Panel]:
    """The panels, with titles that tell them apart."""
    return [replace(panel, title=title) for panel, title in zip(panels, short_names(records).values(), strict=True)]


def raw_arrays(records: Sequence[RunRecord], images: Sequence[Tensor], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """For each run and image: ``<name>/image`` (uint8 C, H, W), ``<name>/probabilities`` and ``<name>/<tap>`` (float32)."""
    arrays: dict[str, NDArray[Any]] = {}
    for record, image, name in zip(records, images, names, strict=True):
        inspection = opened_network(record).inspect(image[None])
        arrays[f"{name}/image"] = image.numpy()
        arrays[f"{name}/probabilities"] = inspection.probabilities[0]
        arrays |= {f"{name}/{attention.name}": attention.values[0].numpy() for attention in inspection.maps}
    return arrays


def variant_facts(config: ModelConfig) -> None:
    """Formula, summary and paper of each variant in this network, or of the backbone if it has its attention built in."""
    try:
        network = get_model(config.backbone)
        variants = [get_attention(name) for name in split_composition(config.attention)]
    except ValueError as error:  # of a plug-in that is not here
        st.warning(plain(str(error)), icon=":material/extension_off:")
        return
    if not variants:
        st.markdown(f"**{network.title}.** {network.summary}")
        _paper(network.paper)
        return
    for variant, place in zip(variants, st.columns(len(variants), gap="large"), strict=True):
        with place:
            st.markdown(f"**{variant.title}.** {variant.summary}", help=GATE if set(variant.kinds) - {"pairwise"} else None)
            st.latex(variant.formula)
            _paper(variant.paper)
            benchmark_page(variant.name, "inspect")


def network_panel(
    opened: OpenRun,
    image: Tensor,
    *,
    title: str,
    subtitle: str = "",
    truth: int | None = None,
    mask: NDArray[np.bool_] | None = None,
    picture: NDArray[np.uint8] | None = None,
    ranges: dict[str, tuple[float, float]] | None = None,
    colour: str = "",
) -> Panel:
    """One image through one network: prediction and every map.

    Args:
        image: uint8 (C, H, W) of the run's shape.
        picture: uint8 (h, w, 3), the same image at a higher resolution, drawn instead of it.
        ranges: tap -> smallest and largest weight, for the scale "this layer".
    """
    inspection = opened.inspect(image[None])
    titles = tap_titles([attention.name for attention in inspection.maps])
    channel_taps = [attention.name for attention in inspection.maps if attention.kind is MapKind.CHANNEL]
    features = features_before(opened.model, image[None], opened.mean, opened.std, channel_taps) if channel_taps else {}
    layers = [
        layer(
            attention.name,
            attention.kind,
            attention.values[0].numpy(),
            title=titles[attention.name],
            scale=attention.scale,
            grid=attention.grid,
            reference=(ranges or {}).get(attention.name),
            window=_window(opened, attention.name),
            note=ONE_POSITION if over_one_position(attention.kind, attention.scale, attention.grid) else "",
            features=_features(features.get(attention.name)),
        )
        for attention in inspection.maps
    ]
    return Panel(
        title=title,
        subtitle=subtitle,
        image=image.permute(1, 2, 0).numpy() if picture is None else picture,
        layers=layers,
        classes=opened.class_names,
        probabilities=inspection.probabilities[0],
        truth=truth,
        mask=mask,
        colour=colour,
        run=opened.folder.name,
    )


def _features(entering: Tensor | None) -> Layer | None:
    """The features as the viewer takes them, averaged down until they take at most `FEATURE_BYTES`."""
    if entering is None:
        return None
    while entering.numel() > FEATURE_BYTES and min(entering.shape[2:]) > 1:
        entering = torch.nn.functional.avg_pool2d(entering, 2, ceil_mode=True)
    return layer("features", MapKind.ELEMENT, entering[0].numpy())


def _window(opened: OpenRun, tap: str) -> int:
    """How many neighbouring channels decide one gate: the width of the block's 1-D convolution, 0 without one."""
    block = opened.model.get_submodule(tap_of(tap).rpartition(".")[0])
    widths = [module.kernel_size[0] for module in block.children() if isinstance(module, torch.nn.Conv1d)]
    return widths[0] if widths else 0


def _choose_indices(
    dataset: ImageDataset, predictions: Predictions, record: RunRecord, places: Sequence[DeltaGenerator], *, most: int
) -> list[int]:
    """The test images that a person picks from those that fit the filters; none when no image fits."""
    labels = dataset.test.labels[: len(predictions.probabilities)].numpy()
    predicted = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    by_class, by_outcome, by_order = places
    class_name = by_class.selectbox("Class", ["every class", *dataset.class_names], key="class", bind="query-params")
    outcome = by_outcome.segmented_control(
        "Prediction", list(OUTCOMES), default="all", required=True, key="outcome", bind="query-params"
    )
    order = by_order.selectbox("Order", list(ORDERS), format_func=ORDERS.__getitem__, key="inspect.order")
    keep = np.ones(len(labels), bool)
    if class_name != "every class":
        keep &= labels == dataset.class_names.index(class_name)
    if outcome != "all":
        keep &= (predicted == labels) == (outcome == "right")
    matches = np.flatnonzero(keep)
    if order != "stored":
        matches = matches[np.argsort((1 if order == "unsure" else -1) * confidence[matches], kind="stable")]
    if not len(matches):
        st.info(f"No match among the first {len(labels)} test images.", icon=":material/search_off:")
        return []
    key = f"inspect.picker.{record.run_id}"
    linked = [index for index in linked_indices("img")[:most] if index in matches] if picked_indices(key) is None else []
    outside = [index for index in linked if index not in matches[:MOST_THUMBNAILS]]
    offered = list(dict.fromkeys([*outside, *matches.tolist()]))[:MOST_THUMBNAILS]
    chosen = images_to_show(offered, key, "img", most)
    names = dataset.class_names
    strip = [
        Thumbnail(
            index,
            f"{names[predicted[index]]} · {confidence[index]:.0%}",
            f"Test image {index}: {names[labels[index]]}, predicted {names[predicted[index]]}",
            bool(predicted[index] == labels[index]),
        )
        for index in offered
    ]
    picker(strip, thumbnails(dataset.test.images[offered].numpy()), chosen=chosen, key=key, most=most)
    right = float((predicted == labels).mean())
    count = f"{len(matches):,} of the first {len(labels):,}" if len(matches) < len(labels) else f"First {len(labels):,}"
    st.caption(
        f"{count} test images"
        + (f"; showing {len(offered)}" if len(matches) > len(offered) else "")
        + f". {right:.1%} of the {len(labels):,} are predicted correctly. Below each: the prediction."
        + (f" Shift-click to compare up to {MOST_IMAGES}." if most > 1 else "")
    )
    return chosen


def _openable(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that can be opened. The page says why the others cannot."""
    openable = []
    for record in records:
        try:
            opened_network(record)
            openable.append(record)
        except OpenError as error:
            st.error(str(error), icon=":material/error:")
    return openable


@st.cache_resource(max_entries=12, show_spinner="Predicting test images")
def _predictions(folder: str, stamp: int, _record: RunRecord) -> Predictions:
    opened, dataset = opened_network(_record), run_dataset(_record)
    flops = count_flops(opened.config.model, ImageShape(*opened.shape), len(opened.class_names))
    images = dataset.test.images[: max(FEWEST_PREDICTED, min(PREDICTED, int(PREDICTED_FLOPS / max(1, flops))))]
    ends: dict[str, list[tuple[float, float]]] = {}
    for image in images[:RANGE_IMAGES].split(1):
        for attention in opened.inspect(image).maps:
            ends.setdefault(attention.name, []).append(_ends(attention))
    ranges = {name: (min(low for low, _ in pairs), max(high for _, high in pairs)) for name, pairs in ends.items()}
    with torch.inference_mode():
        normalised = (normalise(part, opened.mean, opened.std) for part in images.split(64))
        parts = [opened.probabilities(opened.model(part)).numpy() for part in normalised]
    return Predictions(np.concatenate(parts), ranges)


def _ends(attention: AttentionMap) -> tuple[float, float]:
    """The smallest and the largest weight, where one softmax weight that is far above all others does not count."""
    if attention.scale is MapScale.GATE:
        return float(attention.values.min()), float(attention.values.max())
    positions = attention.values.shape[-1] if attention.kind is MapKind.PAIRWISE else attention.values[0].numel()
    return colour_ends(attention.values.numpy().reshape(-1, positions), SOFTMAX_TOP / positions)


@st.cache_resource(max_entries=64, show_spinner=False)
def _test_panel(folder: str, stamp: int, index: int, colour: str, _record: RunRecord) -> Panel:
    opened, split = opened_network(_record), run_dataset(_record).test
    return network_panel(
        opened,
        split.images[index],
        title=attention_name(opened.config),
        subtitle=f"test image {index}",
        truth=int(split.labels[index]),
        mask=None if split.masks is None else split.masks[index].numpy(),
        ranges=_predictions(folder, stamp, _record).ranges,
        colour=colour,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _own_panel(folder: str, stamp: int, digest: str, colour: str, _record: RunRecord, _pixels: NDArray[np.uint8]) -> Panel:
    opened = opened_network(_record)
    _, height, width = opened.shape
    finer = max(1, -(-SHARP_SIDE // max(height, width)))
    return network_panel(
        opened,
        fit_image(_pixels, opened.shape),
        title=attention_name(opened.config),
        subtitle=f"the network sees it at {height} × {width} pixels",
        picture=fit_array(_pixels, (height * finer, width * finer)),
        colour=colour,
    )


def _paper(link: str) -> None:
    if link.startswith("http"):
        st.markdown(f"[Paper]({link})")
