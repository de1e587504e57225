"""The principle of a gate, X' = X * f(X), with a person in the place of f: a mask on features of a network without attention.

The mask is put where a block of an attention variant would lie.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.attention import locate_calls
from attnlab.data import normalise
from attnlab.explain.calls import observe_calls
from attnlab.explain.open_run import OpenRun
from attnlab.geometry import Cells

MOST_POSITIONS = 256
"""So many positions at most can be painted by hand."""


@dataclass(frozen=True, eq=False)
class GateByHand:
    """A network with a place for a mask.

    Attributes:
        run: the network.
        place: the module whose output is masked.
    """

    run: OpenRun
    place: str

    @cached_property
    def cells(self) -> Cells | None:
        """Where the features lie in the picture."""
        return locate_calls(self.run.model, self.run.shape, {"": self.run.model.get_submodule(self.place)})[""].leaving

    def strength(self, image: Tensor) -> NDArray[np.float32]:
        """How strong the features are at each position, the strongest as 1: (h, w) for one image, uint8 (C, H, W)."""
        found: list[Tensor] = []
        module = {"": self.run.model.get_submodule(self.place)}
        observe_calls(self.run.model, self._input(image), module, lambda name, taken, given: found.append(given))
        size = found[0][0].abs().mean(dim=0)
        return np.asarray((size / size.max().clamp_min(1e-12)).cpu(), np.float32)

    def probabilities(self, image: Tensor, mask: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the network says, (classes,), when its features are multiplied by a mask (h, w).

        It works on a copy: other sessions use the network meanwhile.
        """
        model = copy.deepcopy(self.run.model).eval()
        factor = torch.from_numpy(mask)
        model.get_submodule(self.place).register_forward_hook(lambda module, taken, given: given * factor)
        with torch.inference_mode():
            return np.asarray(self.run.probabilities(model(self._input(image)))[0].cpu(), np.float32)

    def _input(self, image: Tensor) -> Tensor:
        return normalise(image[None], self.run.mean, self.run.std)


def gate_by_hand(run: OpenRun) -> GateByHand | None:
    """The first place of a network for an attention block that is small enough; `None` where it keeps no such place.

    Args:
        run: a network that was built without attention: an `nn.Identity` stands where a block could.
    """
    sizes: dict[str, int] = {}

    def measure(path: str, taken: Tensor, given: Tensor) -> None:
        if given.ndim == 4:
            sizes[path] = given.shape[2] * given.shape[3]

    places = {path: module for path, module in run.model.named_modules() if type(module) is nn.Identity}
    observe_calls(run.model, torch.zeros(1, *run.shape), places, measure)
    small = [path for path, size in sizes.items() if 1 < size <= MOST_POSITIONS]
    return GateByHand(run, small[0]) if small else None
