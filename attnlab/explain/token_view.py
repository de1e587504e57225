"""What the Inspect page shows of a transformer on one image, as arrays: heads, distances, positions, and the patches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from attnlab.data import normalise
from attnlab.explain.open_run import OpenRun
from attnlab.explain.placed import PlacedMaps
from attnlab.explain.token_maps import read_tokens, token_maps_of
from attnlab.explain.transformers.reading import attention_distances, patch_distances, position_similarity, read_rows
from attnlab.explain.transformers.tokens import patch_logits, token_norms, token_states
from attnlab.maps import head_name
from attnlab.models import TokenParts, token_parts

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TokenView:
    """One image through a transformer of L layers over a grid of (h, w) patches.

    Attributes:
        grid: (h, w).
        class_token: whether one token without a position is classified; else the patches are, together.
        layers: path of the tap of each layer.
        rows: (L, heads, h, w), what is read attends to, relative to uniform attention over the patches.
        maps: name in `attnlab.explain.token_maps.TOKEN_MAPS` -> the map (1, h, w), for the predicted class.
        distances: (L, heads), how far each head looks on this image, in pixels.
        uniform: the distance of a head that looks at all patches alike.
        similarity: (h, w, h, w), cosine between position embeddings; `None` where the network has or offers no table.
        patches: (L, h, w, classes), the probabilities that the head of the network gives each patch after each layer; `None`
            where the network does not offer its parts.
        lengths: (L, h, w), of each patch after each layer; and ``others``, (L, prefix), of tokens without a position. `None` as
            `patches`.
    """

    grid: tuple[int, int]
    class_token: bool
    layers: tuple[str, ...]
    rows: Array
    maps: dict[str, PlacedMaps]
    distances: NDArray[np.float64]
    uniform: float
    similarity: Array | None = None
    patches: Array | None = None
    lengths: Array | None = None
    others: Array | None = None

    def map_name(self, layer: int, head: int) -> str:
        """The name of the map of a head, as in `attnlab.attention.AttentionMap.name`."""
        return head_name(self.layers[layer], head) if self.rows.shape[1] > 1 else self.layers[layer]


def view_tokens(run: OpenRun, image: Tensor) -> TokenView | None:
    """Everything of one image; `None` where the network is no transformer, or its layers differ in their number of heads.

    Args:
        image: uint8 (1, C, H, W).
    """
    reading = read_tokens(run, image)
    if reading is None or len({each.shape[1] for each in reading.layers.weights}) > 1:
        return None
    layers = reading.layers
    patches = layers.grid[0] * layers.grid[1]
    view = TokenView(
        layers.grid,
        layers.class_token,
        layers.names,
        (read_rows(layers)[0] * patches).float().cpu().numpy(),
        token_maps_of(reading),
        attention_distances(layers, run.shape[1:]),
        float(patch_distances(layers, run.shape[1:]).mean()),
    )
    parts = token_parts(run.model)
    return view if parts is None else _with_tokens(view, run, image, parts)


def _with_tokens(view: TokenView, run: OpenRun, image: Tensor, parts: TokenParts) -> TokenView:
    device = next((weight.device for weight in run.model.parameters()), image.device)
    states = token_states(run.model, normalise(image, run.mean, run.std).to(device), parts)
    logits = patch_logits(states, parts, view.grid)[:, 0]  # (L, h, w, classes)
    probabilities = run.probabilities(logits.flatten(0, 2)).reshape(*logits.shape[:3], -1)
    others, lengths = token_norms(states, view.grid)
    patches, table = view.grid[0] * view.grid[1], parts.positions
    if table is not None and table.numel() // table.shape[-1] not in (patches, patches + others.shape[2]):
        table = None  # of images of another size
    return replace(
        view,
        similarity=None if table is None else position_similarity(table, view.grid).cpu().numpy(),
        patches=probabilities.float().cpu().numpy(),
        lengths=lengths[:, 0].float().cpu().numpy(),
        others=others[:, 0].float().cpu().numpy(),
    )
