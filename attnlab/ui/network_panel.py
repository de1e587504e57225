"""One image through one network, as a panel of the viewer."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.explain.block_features import features_before
from attnlab.explain.inspection import OpenNetwork
from attnlab.maps import MapKind, derived, tap_of, tap_titles
from attnlab.viz.panels import Layer, Panel, layer
from attnlab.viz.snapshots import map_note

FEATURE_BYTES = 131_072
"""Most bytes of features of one block that are sent to the browser."""


def network_panel(
    opened: OpenNetwork,
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
        image: uint8 (C, H, W) of the network's shape.
        picture: uint8 (h, w, 3), the same image at a higher resolution, drawn instead of it.
        ranges: tap -> smallest and largest weight, for the scale "this layer".
    """
    inspection = opened.inspect(image[None], derived=True)
    titles = tap_titles([attention.name for attention in inspection.maps])
    shown = [attention for attention in inspection.maps if attention.kind is MapKind.CHANNEL]
    channel_taps = [attention.name for attention in shown if derived(attention.name) is None]
    features = features_before(opened.model, image[None], opened.mean, opened.std, channel_taps) if channel_taps else {}
    layers = [
        layer(
            attention.name,
            attention.kind,
            attention.values[0].numpy(),
            title=titles[attention.name],
            scale=attention.scale,
            neutral=attention.neutral,
            grid=attention.grid,
            queries=attention.queries,
            prefix=attention.prefix,
            class_token=attention.prefix > 0 and opened.class_token,
            branches=attention.branches,
            reference=(ranges or {}).get(attention.name),
            window=_window(opened, attention.name),
            note=map_note(attention.name, attention.kind, attention.scale, attention.grid),
            cells=attention.cells,
            picture=opened.shape[1:],
            features=_features(features.get(attention.name), opened, attention.name),
        )
        for attention in inspection.maps
    ]
    return Panel(
        title=title,
        subtitle=subtitle,
        image=image.permute(1, 2, 0).numpy() if picture is None else picture,
        layers=layers,
        classes=opened.class_names,
        probabilities=inspection.probabilities[0] if opened.class_names else None,
        truth=truth,
        mask=mask,
        colour=colour,
        run=opened.name,
    )


def _features(entering: Tensor | None, opened: OpenNetwork, tap: str) -> Layer | None:
    """The features as the viewer takes them, averaged down until they take at most `FEATURE_BYTES`."""
    if entering is None:
        return None
    cells = opened.cells.get(tap_of(tap))
    while entering.numel() > FEATURE_BYTES and min(entering.shape[2:]) > 1:
        entering = torch.nn.functional.avg_pool2d(entering, 2, ceil_mode=True)
        cells = cells and cells.merged(2)
    return layer("features", MapKind.ELEMENT, entering[0].numpy(), cells=cells, picture=opened.shape[1:])


def _window(opened: OpenNetwork, tap: str) -> int:
    """How many neighbouring channels decide one gate: the width of the block's 1-D convolution, 0 without one."""
    if derived(tap) is not None:
        return 0
    block = opened.model.get_submodule(tap_of(tap).rpartition(".")[0])
    widths = [module.kernel_size[0] for module in block.children() if isinstance(module, torch.nn.Conv1d)]
    return widths[0] if widths else 0
