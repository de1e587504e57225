"""The part of the Inspect page that runs networks: test images, one's own image, and facts about the variant."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from attnlab.adapters import CODE, untapped_of
from attnlab.attention import get_attention, split_composition
from attnlab.config import ModelConfig
from attnlab.data import DataError, ImageDataset
from attnlab.data.decode import Fit, Region, fit_array, fit_image, seen_region
from attnlab.explain.open_run import OpenError
from attnlab.models import get_model
from attnlab.runs.naming import attention_name, short_names
from attnlab.runs.records import RunRecord
from attnlab.ui.background import show_progress
from attnlab.ui.benchmarks import benchmark_page
from attnlab.ui.components.picker import Thumbnail, picker
from attnlab.ui.format import plain
from attnlab.ui.glossary import FIXED, WEIGHTS
from attnlab.ui.inspect.images import images_to_show, run_colour, wanted_images
from attnlab.ui.inspect.own_image import ask_image, choose_fit, say_classes
from attnlab.ui.inspect.predictions import PREDICTED, Predictions, predicting
from attnlab.ui.network_panel import network_panel
from attnlab.ui.run_cache import network_stamp, opened_network, pictures_changed, pictures_stamp, run_dataset
from attnlab.viz.overlay import thumbnails
from attnlab.viz.panels import Panel
from attnlab.viz.raw_maps import place_arrays

MOST_THUMBNAILS = 60
MOST_IMAGES = 4
"""Images of one run that can be shown side by side."""
SHARP_SIDE = 384
"""An image of one's own is drawn at least this large, though the network sees fewer pixels."""

OUTCOMES = {"all": "all", "right": "right", "wrong": "wrong"}
ORDERS = {"stored": "as stored", "sure": "most certain first", "unsure": "least certain first"}


@dataclass(frozen=True, eq=False)
class Selection:
    """The runs and images on the page.

    Attributes:
        records: the run of each panel; the same run for all when several images are shown.
        panels: for the viewer, no two with the same title.
        images: uint8 (C, H, W), one per panel, as its network sees it.
        raw_arrays: computes the maps in full precision, see the function of this name.
        regions: of an image of one's own, what each panel's network sees of it, in the image's pixels; empty for others.
        note: what is to be said of the images to choose from; empty while that is not known.
    """

    records: list[RunRecord]
    panels: list[Panel]
    images: list[Tensor]
    raw_arrays: Callable[[], dict[str, NDArray[Any]]]
    regions: tuple[Region, ...] = ()
    note: str = ""

    def one(self, place: int) -> Selection:
        """One of the panels, for sections that work on one network and image."""
        chosen = slice(place, place + 1)
        return replace(
            self,
            records=self.records[chosen],
            panels=self.panels[chosen],
            images=self.images[chosen],
            regions=self.regions[chosen],
        )


def choose_test_images(records: Sequence[RunRecord], places: Sequence[DeltaGenerator]) -> Selection | None:
    """Asks for a test image by class and outcome, or for several when there is one run; `None` when there is nothing to show.

    Args:
        places: three places for the filters.
    """
    record = records[0]
    try:
        dataset = run_dataset(record)
    except DataError as error:
        st.error(f"The test images cannot be read: {plain(str(error))}", icon=":material/error:")
        st.caption("You can still inspect the network: choose *Your own image* above.")
        return None
    records = _openable(records)
    if not records or records[0] is not record:
        return None
    if changed := pictures_changed(record, dataset):
        st.warning(plain(changed), icon=":material/warning:")
    if len(opened_network(record).class_names) != len(dataset.class_names):
        return None
    jobs = [predicting(run) for run in records]
    chosen, note = _choose_indices(dataset, jobs[0].result(), record, places, most=MOST_IMAGES if len(records) == 1 else 1)
    show_progress(jobs, "Predicting test images")
    if not chosen:
        return None
    several = len(chosen) > 1
    if several:
        records = [record] * len(chosen)
    indices = chosen if several else chosen * len(records)
    panels = [
        _test_panel(str(run.folder), pictures_stamp(run), index, run_colour(run), predicting(run).ended, run)
        for run, index in zip(records, indices, strict=True)
    ]
    if several:
        panels = [replace(panel, title=panel.subtitle, subtitle=panel.title) for panel in panels]
        names = [f"{record.run_id}/picture-{index}" for index in indices]
    else:
        panels = _titled(panels, records)
        names = [run.run_id for run in records]
    images = [dataset.test.images[index] for index in indices]
    return Selection(records, panels, images, lambda: raw_arrays(records, images, names), note=note)


def choose_own_image(records: Sequence[RunRecord]) -> Selection | None:
    """Asks for an image of one's own; `None` until there is one."""
    answer = ask_image()
    if answer is None:
        return None
    content, decoded = answer
    records = _openable(records)
    if not records:
        return None
    say_classes(opened_network(records[0]).class_names)
    shapes = [opened_network(record).shape for record in records]
    fit = choose_fit(decoded.pixels, shapes[0][1:], "pad" if records[0].config.dataset.options.get("fit") == "pad" else "crop")
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    panels = [
        _own_panel(str(run.folder), network_stamp(run), digest, fit, run_colour(run), run, decoded.pixels) for run in records
    ]
    images = [fit_image(decoded.pixels, shape, fit) for shape in shapes]
    height, width = decoded.pixels.shape[:2]
    regions = tuple(seen_region((height, width), shape[1:], fit) for shape in shapes)
    names = [record.run_id for record in records]
    return Selection(records, _titled(panels, records), images, lambda: raw_arrays(records, images, names), regions)


def _titled(panels: Sequence[Panel], records: Sequence[RunRecord]) -> list[Panel]:
    """The panels, with titles that tell them apart."""
    return [replace(panel, title=title) for panel, title in zip(panels, short_names(records).values(), strict=True)]


def raw_arrays(records: Sequence[RunRecord], images: Sequence[Tensor], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """For each run and image: ``<name>/image`` (uint8 C, H, W), ``<name>/probabilities`` and ``<name>/<tap>`` (float32)."""
    arrays: dict[str, NDArray[Any]] = {}
    for record, image, name in zip(records, images, names, strict=True):
        inspection = opened_network(record).inspect(image[None], derived=True)
        arrays[f"{name}/image"] = image.numpy()
        arrays[f"{name}/probabilities"] = inspection.probabilities[0]
        for attention in inspection.maps:
            arrays[f"{name}/{attention.name}"] = attention.values[0].numpy()
            arrays |= place_arrays(f"{name}/{attention.name}", attention.cells)
    return arrays


def variant_facts(config: ModelConfig) -> None:
    """Formula, summary and paper of each variant in this network, or of the backbone if it has its attention built in."""
    try:
        network = get_model(config.backbone)
        variants = [get_attention(name) for name in split_composition(config.attention)]
    except ValueError as error:  # of a plug-in that is not here
        st.warning(plain(str(error)), icon=":material/extension_off:")
        return
    if config.control == "neutral":
        st.info(FIXED, icon=":material/lock:")
    if not variants:
        st.markdown(f"**{network.title}.** {network.summary}")
        _paper(network.paper)
        return
    for variant, place in zip(variants, st.columns(len(variants), gap="large"), strict=True):
        with place:
            st.markdown(f"**{variant.title}.** {variant.summary}", help=WEIGHTS[variant.combine])
            st.latex(variant.formula)
            _paper(variant.paper)
            benchmark_page(variant.name, "inspect")


def foreign_facts(record: RunRecord) -> None:
    """What is known of a network of others: where it comes from, and which of its attention is not shown."""
    library, _, name = record.config.model.backbone.partition("/")
    st.markdown(
        f"**{plain(name)}.** A network of {'your own code' if library == CODE else library}. attnlab has found its attention "
        "by watching one forward pass, and has checked that the predictions stay the same."
    )
    try:
        untapped = untapped_of(opened_network(record).model)
    except OpenError:
        return  # the section above says what is wrong with it
    if untapped:
        reasons = Counter(each.reason for each in untapped)
        parts = "One part" if len(untapped) == 1 else f"{len(untapped)} parts"
        with st.expander(f"{parts} with attention that cannot be shown, and why", icon=":material/visibility_off:"):
            for reason, count in reasons.items():
                places = [each.path for each in untapped if each.reason == reason]
                st.markdown(f"- {plain(reason)} {plain(', '.join(places[:4]))}{' and more' if count > 4 else ''}")


def strip_key(record: RunRecord) -> str:
    """The key of the strip of test images of a run."""
    return f"inspect.picker.{record.run_id}"


def _choose_indices(
    dataset: ImageDataset, predictions: Predictions | None, record: RunRecord, places: Sequence[DeltaGenerator], *, most: int
) -> tuple[list[int], str]:
    """The test images that a person picks from those that fit the filters, none when no image fits; and what is said of them.

    Args:
        predictions: `None` while they are computed. Then only the class can be chosen.
    """
    names = dataset.class_names
    count = PREDICTED if predictions is None else len(predictions.probabilities)
    labels = dataset.test.labels[:count].numpy()
    matches = _matching(names, labels, predictions, places)
    if not len(matches):
        st.info(f"No match among the first {len(labels)} test images.", icon=":material/search_off:")
        return [], ""
    key = strip_key(record)
    wanted = [index for index in wanted_images(key, "img")[:most] if index in matches]
    outside = [index for index in wanted if index not in matches[:MOST_THUMBNAILS]]
    offered = list(dict.fromkeys([*outside, *matches.tolist()]))[:MOST_THUMBNAILS]
    chosen = images_to_show(offered, key, "img", most)
    strip = [_thumbnail(index, names, labels, predictions) for index in offered]
    picker(strip, thumbnails(dataset.test.images[offered].numpy()), chosen=chosen, key=key, most=most)
    if predictions is None:
        return chosen, ""
    right = float((predictions.probabilities.argmax(axis=1) == labels).mean())
    counted = f"{len(matches):,} of the first {len(labels):,}" if len(matches) < len(labels) else f"First {len(labels):,}"
    note = (
        f"{counted} test images"
        + (f"; showing {len(offered)}" if len(matches) > len(offered) else "")
        + f". {right:.1%} of the {len(labels):,} are predicted correctly. Below each: the prediction."
        + (f" Shift-click to compare up to {MOST_IMAGES}." if most > 1 else "")
    )
    return chosen, note


def _matching(
    names: Sequence[str], labels: NDArray[np.int64], predictions: Predictions | None, places: Sequence[DeltaGenerator]
) -> NDArray[np.int64]:
    """The test images that fit the filters, in the order that is asked for."""
    waiting = predictions is None
    help = "This can be used when the test images are predicted." if waiting else None
    by_class, by_outcome, by_order = places
    class_name = by_class.selectbox("Class", ["every class", *names], key="class", bind="query-params")
    outcome = by_outcome.segmented_control(
        "Prediction",
        list(OUTCOMES),
        default="all",
        required=True,
        key="outcome",
        bind="query-params",
        disabled=waiting,
        help=help,
    )
    order = by_order.selectbox(
        "Order", list(ORDERS), format_func=ORDERS.__getitem__, key="inspect.order", disabled=waiting, help=help
    )
    keep = np.ones(len(labels), bool)
    if class_name != "every class":
        keep &= labels == list(names).index(class_name)
    if predictions is None:
        return np.flatnonzero(keep)
    if outcome != "all":
        keep &= (predictions.probabilities.argmax(axis=1) == labels) == (outcome == "right")
    matches = np.flatnonzero(keep)
    if order != "stored":
        confidence = predictions.probabilities.max(axis=1)
        matches = matches[np.argsort((1 if order == "unsure" else -1) * confidence[matches], kind="stable")]
    return matches


def _thumbnail(index: int, names: Sequence[str], labels: NDArray[np.int64], predictions: Predictions | None) -> Thumbnail:
    truth = names[labels[index]]
    if predictions is None:
        return Thumbnail(index, truth, f"Test image {index}: {truth}")
    predicted = int(predictions.probabilities[index].argmax())
    confidence = predictions.probabilities[index, predicted]
    title = f"Test image {index}: {truth}, predicted {names[predicted]}"
    return Thumbnail(index, f"{names[predicted]} · {confidence:.0%}", title, bool(predicted == labels[index]))


def _openable(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that can be opened. The page says why the others cannot."""
    openable = []
    for record in records:
        try:
            opened = opened_network(record)
            openable.append(record)
            if opened.notice:
                st.warning(plain(opened.notice), icon=":material/healing:")
        except OpenError as error:
            st.error(plain(str(error)), icon=":material/error:")
    return openable


@st.cache_resource(max_entries=64, show_spinner=False)
def _test_panel(folder: str, stamp: str, index: int, colour: str, predicted: bool, _record: RunRecord) -> Panel:
    opened, split = opened_network(_record), run_dataset(_record).test
    predictions = predicting(_record).result(patience=0) if predicted else None
    return network_panel(
        opened,
        split.images[index],
        title=attention_name(opened.config),
        subtitle=f"test image {index}",
        truth=int(split.labels[index]),
        mask=None if split.masks is None else split.masks[index].numpy(),
        ranges=None if predictions is None else predictions.ranges,
        colour=colour,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _own_panel(
    folder: str, stamp: int, digest: str, fit: Fit, colour: str, _record: RunRecord, _pixels: NDArray[np.uint8]
) -> Panel:
    opened = opened_network(_record)
    _, height, width = opened.shape
    finer = max(1, -(-SHARP_SIDE // max(height, width)))
    return network_panel(
        opened,
        fit_image(_pixels, opened.shape, fit),
        title=attention_name(opened.config),
        subtitle=f"the network sees it at {height} × {width} pixels",
        picture=fit_array(_pixels, (height * finer, width * finer), fit),
        colour=colour,
    )


def _paper(link: str) -> None:
    if link.startswith("http"):
        st.markdown(f"[Paper]({link})")
