"""Maps of the probe images while the network learns: few, small, and enough to see attention form.

Eight probe images, one of each class where possible, are shown to the network at about forty steps, close together
early and far apart late. What is kept of a map, in uint8 with 255 standing for the image's largest weight:

    CHANNEL   (C,)    every k-th channel where C is large
    SPATIAL   (h, w)  area means on a smaller grid; of softmax weights, sums, so that they still sum to 1
    ELEMENT   (h, w)  the mean over the channels, then as SPATIAL
    PAIRWISE  (h, w)  the attention each position receives (mean over the queries), then as SPATIAL

h, w and k follow from the budget: all snapshots of a run stay under `RUN_BYTES` even if nothing compresses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import AttentionMap, MapKind, MapScale, attention_scalars, attention_taps, record_attention
from attnlab.data import ImageDataset
from attnlab.training.events import ProbeEvent, SnapshotEvent
from attnlab.training.losses import Objective
from attnlab.training.modes import evaluating

PROBES = 8
SNAPSHOTS = 40
RUN_BYTES = 480_000
_FILE_BYTES = 900  # of the .npz itself and its four array headers
_TAP_BYTES = 220  # of one tap, and of a scalar beside it, in the header
_MAX_SIDE = 32


def choose_probes(dataset: ImageDataset) -> ProbeEvent:
    """Up to `PROBES` test images, taken from the classes in turn, the first of each; the same for every run."""
    labels = dataset.test.labels
    by_class = [torch.nonzero(labels == label)[:, 0].tolist() for label in range(len(dataset.class_names))]
    in_turn = [indices[turn] for turn in range(PROBES) for indices in by_class if turn < len(indices)]
    chosen = dataset.test.select(torch.tensor(in_turn[:PROBES]))
    return ProbeEvent(
        images=chosen.images.numpy(),
        labels=chosen.labels.numpy(),
        masks=None if chosen.masks is None else chosen.masks.numpy(),
        names=chosen.names or tuple(str(index) for index in in_turn[:PROBES]),
    )


def snapshot_steps(total: int, count: int = SNAPSHOTS) -> tuple[int, ...]:
    """Step 0, then steps with even spacing of their logarithms, then the last: at most ``count``, without repeats."""
    spaced = np.geomspace(1, total, count - 1).round().astype(int)
    return (0, *(int(step) for step in np.unique(spaced)))


def to_spatial(attention: AttentionMap) -> Tensor:
    """A map by position only: (B, H, W) on its grid.

    SPATIAL as it is; ELEMENT the mean over the channels; PAIRWISE the mean over the queries, which is the attention each
    position receives; CHANNEL has no positions: its mean, on a grid of 1 x 1.
    """
    values = attention.values.float()
    if attention.kind is MapKind.PAIRWISE:
        return values.mean(dim=1).reshape(len(values), *attention.grid)
    return values.mean(dim=1)


@dataclass(frozen=True)
class _Plan:
    """How small maps must be: the longest side of a grid, and the most channels."""

    side: int
    channels: int


class Snapshots:
    """Takes snapshots of one network. The budget is split when the first is taken, since only a forward shows the maps."""

    def __init__(self, probes: ProbeEvent, dataset: ImageDataset, total_steps: int) -> None:
        self.steps = frozenset(snapshot_steps(total_steps))
        self._x = dataset.normalise(torch.from_numpy(probes.images))
        self._plan: _Plan | None = None

    def take(self, model: nn.Module, objective: Objective, step: int, device: torch.device) -> SnapshotEvent:
        """Shows the probes to ``model`` in evaluation mode."""
        # Full pairwise maps are N x N for each image, so these go through one by one.
        pairwise = any(tap.kind is MapKind.PAIRWISE for tap in attention_taps(model).values())
        parts: list[dict[str, Tensor]] = []
        probabilities: list[Tensor] = []
        with evaluating(model), torch.inference_mode():
            for x in self._x.split(1 if pairwise else len(self._x)):
                with record_attention(model) as recorded:
                    probabilities.append(objective.probabilities(model(x.to(device))).cpu())
                named = unique_names(recorded)
                parts.append({name: _reduce(seen).cpu() for name, seen in named.items()})
        about = {name: (str(seen.kind), str(seen.scale), seen.grid) for name, seen in named.items()}
        values = {name: torch.cat([part[name] for part in parts]) for name in about}
        if self._plan is None:
            self._plan = _plan(values, len(self._x), probabilities[0].shape[1], len(self.steps))
        maps, peaks = {}, {}
        for name, value in values.items():
            small = _shrink(value, self._plan)
            if about[name][1] == MapScale.SOFTMAX and value.ndim > 2:
                small = small * (value.sum((1, 2)) / small.sum((1, 2)).clamp_min(1e-12))[:, None, None]
            maps[name], peaks[name] = quantise(small)
        return SnapshotEvent(
            step=step,
            maps=maps,
            peaks=peaks,
            probabilities=torch.cat(probabilities).numpy().astype(np.float16),
            kinds={name: kind for name, (kind, _, _) in about.items()},
            scales={name: scale for name, (_, scale, _) in about.items()},
            grids={name: grid if values[name].ndim > 2 else (1, values[name].shape[1]) for name, (_, _, grid) in about.items()},
            scalars=attention_scalars(model),
        )


def unique_names(maps: Sequence[AttentionMap]) -> dict[str, AttentionMap]:
    """Maps by name; a tap that let weights through twice in one forward gets ``#2`` behind its name."""
    named: dict[str, AttentionMap] = {}
    for seen in maps:
        name, count = seen.name, 1
        while name in named:
            count += 1
            name = f"{seen.name}#{count}"
        named[name] = seen
    return named


def quantise(values: Tensor) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """(n, ...) weights >= 0 -> uint8 of the same shape, and per image the weight that 255 stands for, (n,).

    Weights that are not finite, as a network makes in its last step before the training fails, count as 0.
    """
    weights = torch.nan_to_num(values.float(), nan=0, posinf=0, neginf=0).numpy()
    peaks = weights.reshape(len(weights), -1).max(axis=1)
    scale = np.where(peaks > 0, peaks, 1).reshape(-1, *[1] * (weights.ndim - 1))
    return (weights / scale * 255).round().clip(0, 255).astype(np.uint8), peaks.astype(np.float32)


def _reduce(seen: AttentionMap) -> Tensor:
    """(B, C) of CHANNEL, (B, H, W) of every other kind."""
    return seen.values.float()[:, :, 0, 0] if seen.kind is MapKind.CHANNEL else to_spatial(seen)


def _shrink(values: Tensor, plan: _Plan) -> Tensor:
    if values.ndim == 2:
        return values[:, :: _stride(values.shape[1], plan.channels)]
    return F.adaptive_avg_pool2d(values[:, None], _grid(values.shape[1], values.shape[2], plan.side))[:, 0]


def _stride(channels: int, most: int) -> int:
    return math.ceil(channels / most)


def _grid(height: int, width: int, side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _plan(values: dict[str, Tensor], images: int, classes: int, snapshots: int) -> _Plan:
    """The largest maps with which every snapshot of the run stays in the budget."""
    fixed = _FILE_BYTES + len(values) * (_TAP_BYTES + images * 4) + images * classes * 2
    room = RUN_BYTES / snapshots - fixed
    for side in range(_MAX_SIDE, 0, -1):
        plan = _Plan(side, max(8, side * side))
        size = 0
        for value in values.values():
            if value.ndim == 2:
                size += math.ceil(value.shape[1] / _stride(value.shape[1], plan.channels))
            else:
                size += math.prod(_grid(value.shape[1], value.shape[2], side))
        if size * images <= room:
            return plan
    return plan
