"""What a network predicts for some images, and every map it makes on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.attention import AttentionMap, evaluating, record_attention, record_derived, with_cells
from attnlab.data import normalise
from attnlab.explain.transformers.layers import token_layers
from attnlab.explain.transformers.rollout import rollout_map
from attnlab.geometry import Cells
from attnlab.maps import unique_names
from attnlab.training.losses import class_probabilities


@dataclass(frozen=True, eq=False)
class Inspection:
    """One forward over some images.

    Attributes:
        probabilities: float32 (B, classes).
        maps: in the order of the forward, on the CPU, float32; names are unique. Derived maps come last.
    """

    probabilities: NDArray[np.float32]
    maps: tuple[AttentionMap, ...]


def inspect_images(
    model: nn.Module,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    *,
    probabilities: Callable[[Tensor], Tensor] = class_probabilities,
    cells: Mapping[str, Cells] | None = None,
    derived: bool = False,
) -> Inspection:
    """Runs ``model`` in evaluation mode on ``images`` and puts its mode back.

    Args:
        images: uint8 (B, C, H, W) of the size the network was made for.
        mean, std: per channel, on images in [0, 1].
        probabilities: logits -> probabilities (B, classes); for a run whose loss head is not plain logits pass
            `OpenRun.probabilities`.
        cells: what `attnlab.attention.locate_maps` found; without it the maps do not know where they lie.
        derived: also the maps of `attnlab.attention.record_derived`, and attention rollout of a transformer, which are to be
            looked at, and not edited.
    """
    x = normalise(images, tuple(mean), tuple(std)).to(_device(model))
    with evaluating(model), torch.inference_mode(), record_attention(model, required=False) as recorded, ExitStack() as stack:
        more = stack.enter_context(record_derived(model, recorded)) if derived else []
        predicted = probabilities(model(x)).cpu().numpy()
    recorded += more
    names = unique_names([attention.name for attention in recorded])
    maps = [
        with_cells(replace(attention, name=name, values=attention.values.float().cpu()), cells or {})
        for name, attention in zip(names, recorded, strict=True)
    ]
    if derived and (layers := token_layers(maps)) is not None:
        maps.append(rollout_map(layers))
    return Inspection(predicted, tuple(maps))


def _device(model: nn.Module) -> torch.device:
    weight = next(model.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
