"""One variant or network taken apart, from its registration and its running code: nothing here is written for a single one."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from attnlab import paths
from attnlab.attention import Variant, list_attention
from attnlab.config import ModelConfig
from attnlab.data import normalise
from attnlab.explain.anatomy import AnatomyError, Specimen, find_specimen, network_path
from attnlab.explain.data_path import Path as DataPath
from attnlab.explain.open_run import OpenError
from attnlab.maps import MapKind
from attnlab.models import ImageShape, Network, build_model, list_models
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import run_folders
from attnlab.runs.naming import dataset_name
from attnlab.ui.anatomy.costs import block_costs, network_costs
from attnlab.ui.anatomy.measured import measured
from attnlab.ui.components.anatomy import Block, Shown, block_view
from attnlab.ui.format import plain
from attnlab.ui.home.gallery import KIND_BADGES
from attnlab.ui.links import keep_linked
from attnlab.viz.snapshots import probes_and_classes
from attnlab.viz.step_diagram import Box

PICTURES = 6
"""So many demo pictures are on offer at most."""
CLASSES = 10
"""Of a network with fresh weights."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Shipped test pictures.

    Attributes:
        images: uint8 (n, C, H, W).
        mean, std: of the data set, per channel.
        source: its name, for people.
    """

    images: NDArray[np.uint8]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str


KINDS = {"variant": "An attention variant", "network": "A network"}


def anatomy_page() -> None:
    """The choice, and below it what was chosen. The link names it: ``?variant=eca`` or ``?network=small_cnn``."""
    variants, networks = list_attention(), list_models()
    offered: dict[str, dict[str, str]] = {
        "variant": {name: each.title for name, each in variants.items()},
        "network": {name: each.title for name, each in networks.items()},
    }
    linked = next((kind for kind in KINDS if st.query_params.get(kind) in offered[kind]), "variant")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control(
            "Take apart", list(KINDS), default=linked, required=True, format_func=KINDS.__getitem__, key="anatomy.kind"
        )
        titles = offered[kind or linked]
        at = list(titles).index(st.query_params.get(kind, "")) if st.query_params.get(kind) in titles else 0
        name = st.selectbox(
            (kind or linked).capitalize(),
            list(titles),
            index=at,
            format_func=titles.__getitem__,
            key=f"anatomy.{kind}.name",
            filter_mode="contains",
        )
        pictures = _pictures(str(paths.DEMO_RUNS))
        picture = _choose_picture(pictures)
    for each in KINDS:
        keep_linked(each, name if each == kind else "")
    if kind == "network":
        _network(networks[name], pictures, picture)
    else:
        _variant(variants[name], pictures, picture)


def _choose_picture(pictures: Pictures | None) -> int:
    if pictures is None:
        return 0
    chosen = st.segmented_control(
        "Picture",
        range(len(pictures.images)),
        default=0,
        required=True,
        format_func=lambda index: f"{index + 1}",
        key="picture",
        bind="query-params",
        help="Test pictures that come with attnlab.",
    )
    return chosen or 0


# ---- a variant ------------------------------------------------------------------------------------------------------


def _variant(variant: Variant, pictures: Pictures | None, picture: int) -> None:
    badges = " ".join(KIND_BADGES[kind] for kind in dict.fromkeys(variant.kinds))
    _head(variant.title, badges, f"{variant.summary} {variant.strength}".strip(), variant.paper)
    st.page_link("pages/train.py", label="Train it", icon=":material/play_circle:", query_params={"attention": variant.name})
    try:
        specimen = _specimen(variant.name, str(paths.DEMO_RUNS))
    except (AnatomyError, OpenError, FolderError) as error:
        st.info(plain(str(error)), icon=":material/info:")
        specimen = None
    if specimen is None or pictures is None:
        st.markdown(f"${variant.formula}$")
    else:
        _block(specimen, pictures, picture)
    block_costs(variant)
    _source(variant.block)
    measured(variant.name, variant.title)


@st.cache_resource(max_entries=8, show_spinner="Opening the network")
def _specimen(name: str, runs: str) -> Specimen:
    return find_specimen(list_attention()[name], Path(runs))


def _block(specimen: Specimen, pictures: Pictures, picture: int) -> None:
    """The block on the picture."""
    variant, image = specimen.variant, pictures.images[picture]
    told = specimen.dissect(torch.from_numpy(image))
    channels, height, width = told.features
    config = specimen.run.config.model
    if specimen.trained:
        weights = "**Trained weights**, of a run that comes with attnlab."
    else:
        weights = (
            "**Weights from a fixed seed, not trained**: no run with this variant comes with attnlab. The network around it "
            "is trained, so what enters is real, and what the block makes of it is not learned."
        )
    st.caption(
        f"{weights} The block lies in {plain(config.backbone)} on {plain(dataset_name(specimen.run.config))}, where it gets "
        f"{channels} channels on {height} × {width} positions. Point at the picture to choose a position, and at a part of "
        "the formula or a step to see its numbers."
    )
    size = (image.shape[1], image.shape[2])
    frame = (0.0, 0.0, 1.0, 1.0) if specimen.cells is None else specimen.cells.frame((height, width), size)
    symbols = [Shown(each.latex, each.words, _array(told.value(each))) for each in told.symbols]
    block_view(
        Block(variant.title, _rgb(image), frame, told.features, variant.formula, symbols, *_drawn(told.path)),
        key="anatomy.path",
    )
    if MapKind.PAIRWISE in variant.kinds:
        st.caption(
            "Drawn with the map of all pairs held whole. In a training the softmax and the sum are one operation that never "
            "holds it; the numbers are the same up to rounding."
        )


def _drawn(path: DataPath) -> tuple[list[Box], list[Shown]]:
    """The steps as boxes, and their tensors."""
    boxes = [
        Box(step.kind, step.label, tuple(step.value.shape), tuple((arrow.source, arrow.shape) for arrow in step.arrows))
        for step in path.steps
    ]
    return boxes, [Shown("", step.label, _array(step.value)) for step in path.steps]


def _array(value: torch.Tensor) -> NDArray[np.float32]:
    return value.detach().float().cpu().numpy()


def _rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(np.broadcast_to(image.transpose(1, 2, 0), (*image.shape[1:], 3)))


# ---- a network ------------------------------------------------------------------------------------------------------


def _network(network: Network, pictures: Pictures | None, picture: int) -> None:
    badges = f":blue-badge[has its own attention: {network.own_attention}]" if network.own_attention else ""
    _head(network.title, badges, network.summary, network.paper)
    if pictures is not None:
        image = pictures.images[picture]
        try:
            path = _network_path(network.name, image.tobytes(), image.shape, pictures.mean, pictures.std)
        except ValueError as error:
            st.info(plain(str(error)), icon=":material/info:")
        else:
            st.caption(
                f"**Weights from a fixed seed, not trained**, on a picture of {plain(pictures.source)}. Each box is a part of "
                "the network; point at one to see what it gives."
            )
            features = (image.shape[0], image.shape[1], image.shape[2])
            block_view(Block(network.title, _rgb(image), (0, 0, 1, 1), features, "", [], *_drawn(path)), key="anatomy.parts")
    network_costs(network)
    _source(network.module)


@st.cache_resource(max_entries=8, show_spinner="Running the network")
def _network_path(
    name: str, image: bytes, shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> DataPath:
    network = list_models()[name]
    sides = [max(network.min_size, -(-side // network.multiple) * network.multiple) for side in shape[1:]]
    pixels = torch.from_numpy(np.frombuffer(image, np.uint8).reshape(1, *shape).copy()).float()
    if tuple(sides) != shape[1:]:
        pixels = torch.nn.functional.interpolate(pixels, size=tuple(sides), mode="nearest")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ModelConfig(backbone=name), ImageShape(shape[0], sides[0], sides[1]), CLASSES)
    return network_path(model, normalise(pixels.to(torch.uint8), mean, std))


# ---- parts that both have -------------------------------------------------------------------------------------------


def _head(title: str, badges: str, summary: str, paper: str) -> None:
    st.subheader(plain(title), anchor=False)
    if badges:
        st.markdown(badges)
    source = f"[Paper]({paper})" if paper.startswith("http") else plain(paper)
    st.markdown(f"{summary} {source}")


def _source(registered: type) -> None:
    """The class as it is registered, read from its file."""
    st.subheader("The code that runs", anchor=False)
    try:
        text, file = inspect.getsource(registered), inspect.getsourcefile(registered) or ""
    except (OSError, TypeError):
        st.caption("Its source is not in a file that can be read.")
        return
    place = Path(file)
    shown = place.relative_to(paths.ROOT) if place.is_relative_to(paths.ROOT) else Path(place.name)
    st.caption(f"`{shown}`, the source code, without its registration.")
    text = text[text.index("class ") :] if text.startswith("@") else text
    st.code(text, language="python", wrap_lines=True)


@st.cache_resource(max_entries=2, show_spinner=False)
def _pictures(runs: str) -> Pictures | None:
    """Those of the shipped network without attention; `None` without shipped runs."""
    for folder in run_folders(Path(runs)):
        try:
            model, found = folder.config.model, probes_and_classes(folder)
        except FolderError:
            continue
        if found is not None and model.attention == "none" and model.backbone == "small_cnn":
            about = folder.dataset_summary() or {}
            images = found[0].images[:PICTURES]
            return Pictures(images, tuple(about["mean"]), tuple(about["std"]), dataset_name(folder.config))
    return None
