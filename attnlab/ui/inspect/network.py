"""The part of the Inspect page that runs networks: test pictures, uploads, and what the registry knows of a variant."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from attnlab.attention import MapKind, get_attention, split_composition
from attnlab.config import DatasetConfig, ModelConfig
from attnlab.data import DataError, ImageDataset, load_dataset, normalise
from attnlab.data.decode import fit_array, fit_image
from attnlab.explain.block_features import features_before
from attnlab.explain.cost import count_flops, one_position
from attnlab.explain.open_run import OpenError, OpenRun, open_run
from attnlab.models import ImageShape, get_model
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import attention_name, short_names
from attnlab.runs.records import RunRecord
from attnlab.ui.benchmarks import benchmark_page
from attnlab.ui.components.picker import Thumbnail, picked_indices, picker
from attnlab.ui.format import plain
from attnlab.ui.inspect.own_picture import given_picture
from attnlab.ui.inspect.pictures import linked_indices, pictures_to_show, run_colour
from attnlab.ui.snapshots import ONE_POSITION
from attnlab.viz.overlay import thumbnails
from attnlab.viz.panels import Layer, Panel, layer
from attnlab.viz.titles import tap_titles

PREDICTED = 512
"""So many test pictures are predicted, to find the right and the wrong ones."""
PREDICTED_FLOPS = 5e11
"""Fewer, where they would cost more than this: a VGG16 at 224 x 224 would keep a person waiting for minutes."""
FEWEST_PREDICTED = 8
OFFERED = 60
"""So many are offered at once."""
MOST_PICTURES = 4
"""So many of one run lie side by side."""
REFERENCE = 16
"""So many pictures give the range of a map for the scale "this layer"."""
FEATURE_BYTES = 131_072
"""Features of one block are sent to the browser no larger than this."""
SHARP_SIDE = 384
"""Uploads are drawn at least this large, though the network sees fewer pixels."""

OUTCOMES = {"all": "all", "right": "right", "wrong": "wrong"}
ORDERS = {"stored": "as stored", "sure": "most certain first", "unsure": "least certain first"}


@dataclass(frozen=True, eq=False)
class Seen:
    """A network with what it says of the first test pictures.

    Attributes:
        probabilities: float32 (n, classes).
        ranges: tap -> least and greatest weight over a few pictures.
    """

    probabilities: NDArray[np.float32]
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Shown:
    """What is on the page.

    Attributes:
        records: the run behind each panel; the same one for each where several pictures are shown.
        panels: for the viewer, no two with the same title.
        images: uint8 (C, H, W), one a panel, as its network sees it.
        raw_arrays: makes the maps in full precision, see the function of this name.
    """

    records: list[RunRecord]
    panels: list[Panel]
    images: list[Tensor]
    raw_arrays: Callable[[], dict[str, NDArray[Any]]]

    def only(self, place: int) -> Shown:
        """One panel of them, for what is done to one network and picture."""
        return replace(self, records=[self.records[place]], panels=[self.panels[place]], images=[self.images[place]])


def test_picture(records: Sequence[RunRecord], places: Sequence[DeltaGenerator]) -> Shown | None:
    """Lets a person choose a test picture by class and outcome, several for a run alone; `None` when there is none to show.

    Args:
        places: three places for the filters.
    """
    record = records[0]
    try:
        dataset = run_dataset(record)
    except DataError as error:
        st.error(f"The test pictures cannot be read: {error}", icon=":material/error:")
        st.caption("The network itself can be looked at: choose *Your own* above and give it a picture.")
        return None
    records = _openable(records)
    if not records or records[0] is not record:
        return None
    first = _seen(str(record.folder), network_stamp(record), record.config.dataset.model_dump_json())
    chosen = _choose_pictures(dataset, first, record, places, most=MOST_PICTURES if len(records) == 1 else 1)
    if not chosen:
        return None
    several = len(chosen) > 1
    if several:
        records = [record] * len(chosen)
    indices = chosen if several else chosen * len(records)
    panels = [
        _test_panel(str(each.folder), network_stamp(each), each.config.dataset.model_dump_json(), index, run_colour(each))
        for each, index in zip(records, indices, strict=True)
    ]
    if several:
        panels = [replace(panel, title=panel.subtitle, subtitle=panel.title) for panel in panels]
        names = [f"{record.run_id}/picture-{index}" for index in indices]
    else:
        panels = _titled(panels, records)
        names = [each.run_id for each in records]
    images = [dataset.test.images[index] for index in indices]
    return Shown(records, panels, images, lambda: raw_arrays(records, images, names))


def own_picture(records: Sequence[RunRecord]) -> Shown | None:
    """A person's own picture, handed in by any of the ways; `None` until there is one."""
    handed_in = given_picture()
    if handed_in is None:
        return None
    content, decoded = handed_in
    records = _openable(records)
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    panels = [_own_panel(str(each.folder), network_stamp(each), digest, decoded.pixels, run_colour(each)) for each in records]
    if not panels:
        return None
    images = [fit_image(decoded.pixels, opened_network(record).shape) for record in records]
    names = [record.run_id for record in records]
    return Shown(records, _titled(panels, records), images, lambda: raw_arrays(records, images, names))


def _titled(panels: Sequence[Panel], records: Sequence[RunRecord]) -> list[Panel]:
    """The panels, with titles that tell them apart."""
    return [replace(panel, title=title) for panel, title in zip(panels, short_names(records).values(), strict=True)]


def opened_network(record: RunRecord) -> OpenRun:
    """The run's network, shared by all sessions and opened again when its weights change.

    Raises:
        OpenError: when a file of the run is missing or damaged.
    """
    return _opened(str(record.folder), network_stamp(record))


def run_dataset(record: RunRecord) -> ImageDataset:
    """The data set of the run, shared by all sessions.

    Raises:
        DataError: when it cannot be read.
    """
    return _dataset(record.config.dataset.model_dump_json())


def raw_arrays(records: Sequence[RunRecord], images: Sequence[Tensor], names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """For each run and picture ``<name>/image`` (uint8 C, H, W), ``<name>/probabilities`` and ``<name>/<tap>`` (float32)."""
    arrays: dict[str, NDArray[Any]] = {}
    for record, image, name in zip(records, images, names, strict=True):
        inspection = opened_network(record).inspect(image[None])
        arrays[f"{name}/image"] = image.numpy()
        arrays[f"{name}/probabilities"] = inspection.probabilities[0]
        arrays |= {f"{name}/{seen.name}": seen.values[0].numpy() for seen in inspection.maps}
    return arrays


def variant_facts(config: ModelConfig) -> None:
    """Formula, summary and paper of what gives the attention of this network."""
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
            st.markdown(f"**{variant.title}.** {variant.summary}")
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
        picture: uint8 (h, w, 3) to be shown instead, of the same part of the scene.
        ranges: tap -> least and greatest weight, for the scale "this layer".
    """
    inspection = opened.inspect(image[None])
    titles = tap_titles([seen.name for seen in inspection.maps])
    channel_taps = [seen.name for seen in inspection.maps if seen.kind is MapKind.CHANNEL]
    features = features_before(opened.model, image[None], opened.mean, opened.std, channel_taps) if channel_taps else {}
    layers = [
        layer(
            seen.name,
            str(seen.kind),
            seen.values[0].numpy(),
            title=titles[seen.name],
            scale=str(seen.scale),
            grid=seen.grid,
            reference=(ranges or {}).get(seen.name),
            window=_window(opened, seen.name),
            note=ONE_POSITION if one_position(seen) else "",
            features=_features(features.get(seen.name)),
        )
        for seen in inspection.maps
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
    """The features as the viewer takes them, coarsened by means until they are `FEATURE_BYTES` at most."""
    if entering is None:
        return None
    while entering.numel() > FEATURE_BYTES and min(entering.shape[2:]) > 1:
        entering = torch.nn.functional.avg_pool2d(entering, 2, ceil_mode=True)
    return layer("features", "element", entering[0].numpy())


def _window(opened: OpenRun, tap: str) -> int:
    """How many neighbouring channels decide one gate: the width of the block's 1-D convolution, where it has one."""
    block = opened.model.get_submodule(tap.split("#")[0].rpartition(".")[0])
    widths = [module.kernel_size[0] for module in block.children() if isinstance(module, torch.nn.Conv1d)]
    return widths[0] if widths else 0


def _choose_pictures(
    dataset: ImageDataset, seen: Seen, record: RunRecord, places: Sequence[DeltaGenerator], *, most: int
) -> list[int]:
    labels = dataset.test.labels[: len(seen.probabilities)].numpy()
    said = seen.probabilities.argmax(axis=1)
    certain = seen.probabilities.max(axis=1)
    by_class, by_outcome, by_order = places
    wanted = by_class.selectbox("Class", ["every class", *dataset.class_names], key="class", bind="query-params")
    outcome = by_outcome.segmented_control(
        "Prediction", list(OUTCOMES), default="all", required=True, key="outcome", bind="query-params"
    )
    order = by_order.selectbox("Order", list(ORDERS), format_func=ORDERS.__getitem__, key="inspect.order")
    keep = np.ones(len(labels), bool)
    if wanted != "every class":
        keep &= labels == dataset.class_names.index(wanted)
    if outcome != "all":
        keep &= (said == labels) == (outcome == "right")
    found = np.flatnonzero(keep)
    if order != "stored":
        found = found[np.argsort(certain[found] if order == "unsure" else -certain[found], kind="stable")]
    if not len(found):
        st.info(f"None of the first {len(labels)} test pictures is like that.", icon=":material/search_off:")
        return []
    key = f"inspect.picker.{record.run_id}"
    linked = [index for index in linked_indices("img")[:most] if index in found] if picked_indices(key) is None else []
    offered = list(dict.fromkeys([*(index for index in linked if index not in found[:OFFERED]), *found.tolist()]))[:OFFERED]
    chosen = pictures_to_show(offered, key, "img", most)
    names = dataset.class_names
    strip = [
        Thumbnail(
            index,
            f"{names[said[index]]} · {100 * certain[index]:.0f} %",
            f"Test picture {index}: {names[labels[index]]}, predicted {names[said[index]]}",
            bool(said[index] == labels[index]),
        )
        for index in offered
    ]
    picker(strip, thumbnails(dataset.test.images[offered].numpy()), chosen=chosen, key=key, most=most)
    right = float((said == labels).mean())
    st.caption(
        f"{len(found):,} of the first {len(labels):,} test pictures"
        + (f", {len(offered)} shown" if len(found) > len(offered) else "")
        + f"; {100 * right:.1f} % of the {len(labels):,} are predicted right. Under each: what the network says."
        + (f" With Shift up to {MOST_PICTURES} lie side by side." if most > 1 else "")
    )
    return chosen


def _openable(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that can be opened; why the others cannot is said on the page."""
    good = []
    for record in records:
        try:
            opened_network(record)
            good.append(record)
        except OpenError as error:
            st.error(str(error), icon=":material/error:")
    return good


def network_stamp(record: RunRecord) -> int:
    """Changes when the run's weights do, so that a run that still learns is opened anew."""
    best = RunFolder(record.folder).best_path
    return best.stat().st_mtime_ns if best.exists() else record.step


@st.cache_resource(max_entries=6, show_spinner="Opening the network")
def _opened(folder: str, stamp: int) -> OpenRun:
    path = Path(folder)
    return open_run(path, "best" if RunFolder(path).best_path.exists() else "last")


@st.cache_resource(max_entries=3, show_spinner="Reading the pictures")
def _dataset(config: str) -> ImageDataset:
    return load_dataset(DatasetConfig.model_validate_json(config))


@st.cache_resource(max_entries=12, show_spinner="Predicting test pictures")
def _seen(folder: str, stamp: int, config: str) -> Seen:
    opened, dataset = _opened(folder, stamp), _dataset(config)
    flops = count_flops(opened.config.model, ImageShape(*opened.shape), len(opened.class_names))
    images = dataset.test.images[: max(FEWEST_PREDICTED, min(PREDICTED, int(PREDICTED_FLOPS / max(1, flops))))]
    ranges: dict[str, tuple[float, float]] = {}
    for image in images[:REFERENCE].split(1):
        for seen in opened.inspect(image).maps:
            low, high = ranges.get(seen.name, (float("inf"), float("-inf")))
            ranges[seen.name] = (min(low, float(seen.values.min())), max(high, float(seen.values.max())))
    with torch.inference_mode():
        normalised = (normalise(part, opened.mean, opened.std) for part in images.split(64))
        parts = [opened.probabilities(opened.model(part)).numpy() for part in normalised]
    return Seen(np.concatenate(parts), ranges)


@st.cache_resource(max_entries=64, show_spinner=False)
def _test_panel(folder: str, stamp: int, config: str, index: int, colour: str) -> Panel:
    opened, split = _opened(folder, stamp), _dataset(config).test
    return network_panel(
        opened,
        split.images[index],
        title=attention_name(opened.config),
        subtitle=f"test picture {index}",
        truth=int(split.labels[index]),
        mask=None if split.masks is None else split.masks[index].numpy(),
        ranges=_seen(folder, stamp, config).ranges,
        colour=colour,
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _own_panel(folder: str, stamp: int, digest: str, _pixels: NDArray[np.uint8], colour: str) -> Panel:
    opened = _opened(folder, stamp)
    _, height, width = opened.shape
    finer = max(1, -(-SHARP_SIDE // max(height, width)))
    return network_panel(
        opened,
        fit_image(_pixels, opened.shape),
        title=attention_name(opened.config),
        subtitle=f"the network sees {height} × {width} pixels of it",
        picture=fit_array(_pixels, (height * finer, width * finer)),
        colour=colour,
    )


def _paper(link: str) -> None:
    if link.startswith("http"):
        st.markdown(f"[Paper]({link})")
