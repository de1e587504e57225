"""Maps of transformers that put all layers together, by position, as any other map: to be looked at, measured and compared.

They exist for every network whose maps are attention of all layers over the same tokens (`attnlab.explain.transformers`). What
is shown is what reaches the tokens that the classifier reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attnlab.data import normalise
from attnlab.explain.open_run import OpenRun
from attnlab.explain.placed import PlacedMaps
from attnlab.explain.transformers.layers import TokenLayers, token_layers
from attnlab.explain.transformers.relevance import (
    class_relevance,
    gradient_rollout,
    layers_with_gradients,
    legrad,
    own_score_gradients,
)
from attnlab.explain.transformers.rollout import ROLLOUT, attention_rollout
from attnlab.models import token_parts


@dataclass(frozen=True, eq=False)
class TokenReading:
    """The attention of all layers, and how the score of a class depends on it.

    Attributes:
        gradients: of each layer, of the shape of its weights.
        own_gradients: the same of the score that the network gives by the tokens after this layer, where it tells how it
            classifies them, else the gradients themselves.
    """

    layers: TokenLayers
    gradients: tuple[Tensor, ...]
    own_gradients: tuple[Tensor, ...]


@dataclass(frozen=True)
class TokenMap:
    """One way to put the layers together.

    Attributes:
        name: key in `TOKEN_MAPS`. title: as a heading. phrase: inside a sentence.
        meaning: how the map comes about, without a full stop.
        joint: the matrix (B, N, N) of what each token at the end has of each token at the start.
    """

    name: str
    title: str
    phrase: str
    meaning: str
    joint: Callable[[TokenReading], Tensor]


TOKEN_MAPS: dict[str, TokenMap] = {
    each.name: each
    for each in (
        TokenMap(
            ROLLOUT,
            "Attention rollout",
            "attention rollout",
            "attention of all blocks multiplied, each with the path around it; the same for every class",
            lambda reading: attention_rollout(reading.layers.weights),
        ),
        TokenMap(
            "gradient_rollout",
            "Gradient rollout",
            "gradient rollout",
            "attention rollout with weights that count as much as they raise the score of the class",
            lambda reading: gradient_rollout(reading.layers.weights, reading.gradients),
        ),
        TokenMap(
            "class_relevance",
            "Class relevance",
            "class relevance",
            "attention of all blocks, weighted by its gradient for the class and added up (Chefer et al. 2021)",
            lambda reading: class_relevance(reading.layers.weights, reading.gradients),
        ),
        TokenMap(
            "legrad",
            "LeGrad",
            "LeGrad",
            "how much more attention to a place would raise the score of the class, on average over all blocks and heads "
            "(Bousselham et al. 2024)",
            lambda reading: legrad(reading.own_gradients)[:, None].expand_as(reading.layers.weights[0][:, 0]),
        ),
    )
}
"""Every way, by name."""


def read_tokens(run: OpenRun, images: Tensor, classes: Tensor | None = None) -> TokenReading | None:
    """The attention of all layers with its gradients for some classes; `None` where the network is no transformer.

    Args:
        images: uint8 (B, C, H, W).
        classes: (B,); the predicted ones when `None`.
    """
    weight = next(run.model.parameters(), images)
    x = normalise(images, run.mean, run.std).to(weight.device)
    chosen: list[Tensor] = [] if classes is None else [classes.to(weight.device)]

    def score(logits: Tensor) -> Tensor:
        scores = run.class_scores(logits)
        if not chosen:  # by the network's own output, which is scored first
            chosen.append(scores.argmax(dim=1))
        return scores.gather(1, chosen[0][:, None])[:, 0]

    layers, gradients = layers_with_gradients(run.model, x, score, run.cells)
    if layers is None:
        return None
    parts = token_parts(run.model)
    return TokenReading(layers, gradients, gradients if parts is None else own_score_gradients(run.model, x, score, parts))


def has_token_maps(run: OpenRun) -> bool:
    """Whether the network is a transformer in the sense of `attnlab.explain.transformers.layers`. Takes one forward."""
    return token_layers(run.inspect(torch.zeros(1, *run.shape, dtype=torch.uint8)).maps) is not None


def token_map(run: OpenRun, images: Tensor, name: str, classes: Tensor | None = None) -> PlacedMaps:
    """One of `TOKEN_MAPS` of some images. Arguments as of `read_tokens`.

    Raises:
        ValueError: where the network has no such map.
    """
    reading = read_tokens(run, images, classes)
    if reading is None:
        raise ValueError(f"{TOKEN_MAPS[name].title} needs attention of several blocks over the same tokens")
    return token_maps_of(reading, [name])[name]


def token_maps_of(reading: TokenReading, names: list[str] | None = None) -> dict[str, PlacedMaps]:
    """Some of `TOKEN_MAPS`, all when `None`, of what was read."""
    return {
        name: PlacedMaps(reading.layers.on_patches(TOKEN_MAPS[name].joint(reading)).float().cpu(), reading.layers.cells)
        for name in names or TOKEN_MAPS
    }
