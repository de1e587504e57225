"""What a network predicts for some images, and every map it makes on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.adapters import logits_of
from attnlab.attention import AttentionMap, evaluating, locate_maps, record_attention, record_derived, with_cells
from attnlab.data import normalise
from attnlab.explain.transformers.layers import token_layers
from attnlab.explain.transformers.relevance import layers_with_gradients
from attnlab.explain.transformers.rollout import rollout_map
from attnlab.geometry import Cells
from attnlab.maps import unique_names
from attnlab.training.losses import class_probabilities, output_probabilities


@dataclass(frozen=True, eq=False)
class Inspection:
    """One forward over some images.

    Attributes:
        probabilities: float32 (B, classes); (B, 0) of a network that does not tell classes apart.
        maps: in the order of the forward, on the CPU, float32; names are unique. Derived maps come last.
    """

    probabilities: NDArray[np.float32]
    maps: tuple[AttentionMap, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenNetwork:
    """A network, ready for inspection.

    Attributes:
        model: any network that takes images (B, C, H, W); its mode and its device stay as they are.
        class_names: in the order of its outputs; none where it does not tell classes apart.
        mean, std: per channel, on images in [0, 1].
        shape: (C, H, W) of the images.
        name: what it is called in captions and file names.
    """

    model: nn.Module
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    name: str

    def probabilities(self, output: Tensor) -> Tensor:
        """What the network returns -> float32 (B, classes), see `output_probabilities`."""
        return output_probabilities(output)

    def class_scores(self, output: Any) -> Tensor:
        """Scores before the softmax, (B, classes), for gradients; a single output is the score of class 1 of two."""
        logits = logits_of(output)
        return torch.cat([-logits, logits], dim=1) / 2 if logits.shape[1] == 1 else logits

    @cached_property
    def class_token(self) -> bool:
        """Whether the network is a transformer that classifies a first token without a position; found by one gradient."""
        if not self.class_names:
            return False
        black = torch.zeros(1, *self.shape, device=next((weight.device for weight in self.model.parameters()), None))
        layers = layers_with_gradients(self.model, black, lambda output: self.class_scores(output).amax(dim=1))[0]
        return layers is not None and layers.class_token

    @cached_property
    def cells(self) -> dict[str, Cells]:
        """Where each tap's features lie in the picture, see `attnlab.attention.locate_maps`; found once, by one forward."""
        return locate_maps(self.model, self.shape)

    def inspect(self, images: Tensor, *, derived: bool = False) -> Inspection:
        """Predictions and maps for uint8 (B, C, H, W) of the network's shape. The maps know where their cells lie.

        Args:
            derived: see `inspect_images`.
        """
        return inspect_images(
            self.model,
            images,
            self.mean,
            self.std,
            probabilities=self.probabilities,
            cells=self.cells,
            derived=derived,
        )


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
