"""Maps by position, and where they lie."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from attnlab.geometry import Cells, place_map


class PlacedMaps(NamedTuple):
    """Maps by position, and where they lie.

    Attributes:
        values: float32 (B, h, w).
        cells: where the cells lie in the images; `None` for a map of one weight per pixel.
    """

    values: Tensor
    cells: Cells | None

    def on(self, images: Tensor) -> Tensor:
        """The maps on the pixels of images (B, C, H, W): float32 (B, H, W)."""
        return torch.from_numpy(place_map(self.values.numpy(), self.cells, (images.shape[2], images.shape[3]))).float()
