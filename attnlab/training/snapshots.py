"""Maps of the probe images during training: few and small, yet enough to see attention form.

The network is shown eight probe images, one per class where possible, at about forty steps, close together early and far
apart late. A map is stored as uint8 codes, where 255 stands for the image's largest weight, and 0 for weight 0, or for the
image's smallest weight where the weights are factors:

    CHANNEL   (C,)    every k-th channel where C is large
    SPATIAL   (h, w)  area means on a smaller grid; softmax weights are summed instead, so that they still sum to 1
    ELEMENT   (h, w)  the mean over the channels, then as SPATIAL
    PAIRWISE  (h, w)  the attention each position receives (mean over the queries), then as SPATIAL
    BRANCH    (M, c)  every k-th channel where there are many; of more than `MOST_BRANCHES` branches the mean share over the
                      channels (M, 1), summed over groups of neighbours where M is large

Derived maps (`attnlab.attention.record_derived`) are stored like those of taps, after them.

h, w, k and the groups follow from the budget: all snapshots of a run stay under `RUN_BYTES` even if nothing compresses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import (
    AttentionMap,
    attention_scalars,
    attention_taps,
    evaluating,
    record_attention,
    record_derived,
    to_spatial,
)
from attnlab.data import ImageDataset
from attnlab.maps import MapKind, MapScale, quantise, unique_names
from attnlab.training.events import ProbeEvent, SnapshotEvent, SnapshotMap

PROBES = 8
SNAPSHOTS = 40
RUN_BYTES = 480_000
MOST_BRANCHES = 16
_FILE_BYTES = 1150  # the .npz itself and its five array headers
_MAP_BYTES = 220  # one map, and a scalar beside it, in the JSON header
_MAX_SIDE = 32


def choose_probes(dataset: ImageDataset) -> ProbeEvent:
    """Up to `PROBES` test images: the classes in turn, each time the next image of the class; the same for every run."""
    labels = dataset.test.labels
    by_class = [torch.nonzero(labels == label)[:, 0].tolist() for label in range(len(dataset.class_names))]
    in_turn = [indices[turn] for turn in range(PROBES) for indices in by_class if turn < len(indices)]
    split = dataset.test.select(torch.tensor(in_turn[:PROBES]))
    return ProbeEvent(
        images=split.images.numpy(),
        labels=split.labels.numpy(),
        masks=None if split.masks is None else split.masks.numpy(),
        names=split.names or tuple(str(index) for index in in_turn[:PROBES]),
    )


def snapshot_steps(total: int, count: int = SNAPSHOTS) -> tuple[int, ...]:
    """Step 0, then steps spaced evenly on a logarithmic scale up to the last: at most ``count``, without repeats."""
    spaced = np.geomspace(1, total, count - 1).round().astype(int)
    return (0, *(int(step) for step in np.unique(spaced)))


@dataclass(frozen=True)
class _Plan:
    """How small stored maps must be: the longest side of a grid, and the most channels."""

    side: int
    channels: int


class Normaliser(Protocol):
    """Makes uint8 images into what a network takes, as a data set does."""

    def normalise(self, images: Tensor, /) -> Tensor: ...


class Outputs(Protocol):
    """Makes what a network returns into probabilities (B, classes), as the loss of a run does."""

    def probabilities(self, logits: Tensor, /) -> Tensor: ...


class Snapshots:
    """Takes snapshots of one network. How small maps must be is decided at the first one: only a forward shows the maps.

    Args:
        dataset: normalises the probe images.
        total_steps: of the training.
        most: bytes that all snapshots together may take.
    """

    def __init__(self, probes: ProbeEvent, dataset: Normaliser, total_steps: int, *, most: int = RUN_BYTES) -> None:
        self.steps = frozenset(snapshot_steps(total_steps))
        self._most = most
        self._x = dataset.normalise(torch.from_numpy(probes.images))
        self._plan: _Plan | None = None

    def take(self, model: nn.Module, objective: Outputs, step: int, device: torch.device) -> SnapshotEvent:
        """The maps and predictions of the probe images, by ``model`` in evaluation mode."""
        # A PAIRWISE map is N x N per image, so networks that make one see the images one by one.
        pairwise = any(tap.kind is MapKind.PAIRWISE for tap in attention_taps(model).values())
        parts: list[list[Tensor]] = []
        probabilities: list[Tensor] = []
        with evaluating(model), torch.inference_mode():
            for x in self._x.split(1 if pairwise else len(self._x)):
                with record_attention(model, required=False) as recorded, record_derived(model, recorded) as derived:
                    probabilities.append(objective.probabilities(model(x.to(device))).cpu())
                recorded += derived
                parts.append([_reduced(attention).cpu() for attention in recorded])
        weights = [torch.cat(images) for images in zip(*parts, strict=True)]
        if self._plan is None:
            self._plan = _plan(recorded, weights, probabilities[0].shape[1], self._most // len(self.steps))
        names = unique_names([attention.name for attention in recorded])
        return SnapshotEvent(
            step=step,
            maps=[_stored(*each, self._plan) for each in zip(names, recorded, weights, strict=True)],
            probabilities=torch.cat(probabilities).numpy().astype(np.float16),
            scalars=attention_scalars(model),
        )


def _reduced(attention: AttentionMap) -> Tensor:
    """(B, C) of CHANNEL, (B, M, C) of BRANCH, (B, H, W) of every other kind."""
    return to_spatial(attention) if attention.kind.placed else attention.values.float()[..., 0, 0]


def _stored(name: str, attention: AttentionMap, weights: Tensor, plan: _Plan) -> SnapshotMap:
    """A map of all probe images as the snapshot holds it; ``weights`` as `_reduced` gives them."""
    small = _shrunk(attention.kind, weights, plan)
    if attention.scale is MapScale.SOFTMAX and attention.kind.placed:
        small = small * (weights.sum((1, 2)) / small.sum((1, 2)).clamp_min(1e-12))[:, None, None]
    # Weights that are not finite, as a network makes in its last step before the training fails, count as 0.
    finite = torch.nan_to_num(small, nan=0, posinf=0, neginf=0)
    signed = attention.scale is MapScale.FACTOR
    codes, floors, peaks = quantise(finite.flatten(1).numpy(), floor=None if signed else 0)
    grid = attention.grid if attention.kind.placed else (weights.shape[1:-1].numel(), weights.shape[-1])
    stored = codes.reshape(small.shape)
    return SnapshotMap(
        name,
        attention.kind,
        attention.scale,
        grid,
        stored,
        peaks,
        floors if signed else None,
        attention.neutral,
        attention.branches,
    )


def _shrunk(kind: MapKind, weights: Tensor, plan: _Plan) -> Tensor:
    """Weights as `_reduced` gives them, no larger than the plan allows."""
    if kind is MapKind.BRANCH:
        branches = weights.shape[1]
        if branches > MOST_BRANCHES:
            groups = min(branches, plan.channels)
            shares = F.adaptive_avg_pool1d(weights.mean(dim=2), groups)[..., None]
            return shares / shares.sum(dim=1, keepdim=True).clamp_min(1e-12)
        return weights[..., :: _stride(branches * weights.shape[2], plan.channels)]
    if kind is MapKind.CHANNEL:
        return weights[:, :: _stride(weights.shape[1], plan.channels)]
    return F.adaptive_avg_pool2d(weights[:, None], _grid(weights.shape[1], weights.shape[2], plan.side))[:, 0]


def _stride(channels: int, most: int) -> int:
    return math.ceil(channels / most)


def _grid(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _plan(maps: Sequence[AttentionMap], weights: Sequence[Tensor], classes: int, most: int) -> _Plan:
    """The largest maps with which a snapshot takes at most so many bytes."""
    images = len(weights[0]) if weights else 0
    fixed = _FILE_BYTES + len(weights) * (_MAP_BYTES + images * 8) + images * classes * 2
    room = most - fixed
    for side in range(_MAX_SIDE, 0, -1):
        plan = _Plan(side, max(8, side * side))
        size = sum(_shrunk(one.kind, reduced[:1], plan).numel() for one, reduced in zip(maps, weights, strict=True))
        if size * images <= room:
            return plan
    return plan
