"""Do maps point at the object, and does the prediction depend on what they point at?

Against a mask: the share of the weight inside it relative to a uniform map, the pointing game (Zhang et al., IJCV
2018), the overlap at the best threshold. Without one: entropy. Against the network itself: deletion and insertion
(Petsiuk et al., BMVC 2018, arXiv:1806.07421), where pixels are removed or added in the order of the map.

Maps are (B, h, w), non-negative (see `attnlab.attention.to_strength`), masks bool (B, H, W). A map is laid over the picture
by ``cells``, where its network looks (`attnlab.geometry.place_map`); without them it is stretched evenly. Every function
returns one number per image; `attnlab.stats.intervals` says how sure their mean is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnlab.geometry import Cells, centre_pixels, place_map

ImageValues = NDArray[np.float64]
"""One number per image, (B,); NaN where an image has none."""


def weight_on_mask(maps: Tensor, masks: Tensor, cells: Cells | None = None) -> ImageValues:
    """Mean weight inside the mask over mean weight of the whole map, (B,): 1 for a uniform map.

    NaN for an image whose mask is empty or whose map is zero.

    Raises:
        ValueError: when the numbers of maps and masks differ; so do the other functions that take both.
    """
    weights = _placed(maps, masks, cells)
    inside = (weights * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2))
    return _to_numpy(inside / weights.mean(dim=(1, 2)))


def pointing_game(maps: Tensor, masks: Tensor, cells: Cells | None = None) -> NDArray[np.bool_]:
    """Whether the cell with the largest weight is centred inside the mask, (B,); the first of equal weights counts."""
    _check_counts(maps, masks)
    pixels = torch.from_numpy(centre_pixels(cells, (maps.shape[1], maps.shape[2]), (masks.shape[1], masks.shape[2]))).flatten()
    largest = pixels[maps.flatten(1).argmax(dim=1)]
    hits: NDArray[np.bool_] = masks.flatten(1).gather(1, largest[:, None])[:, 0].numpy()
    return hits


def best_overlap(maps: Tensor, masks: Tensor, cells: Cells | None = None) -> ImageValues:
    """Intersection over union with the mask at the best threshold of each image, (B,), in [0, 1].

    The threshold is chosen by looking at the mask, so this is an upper bound of what the map can do.
    """
    weights, order = _placed(maps, masks, cells).flatten(1).sort(dim=1, descending=True)
    hit = masks.flatten(1).gather(1, order).double()
    inside = hit.cumsum(dim=1)
    selected = torch.arange(1, hit.shape[1] + 1, dtype=torch.float64)
    overlap = inside / (selected + hit.sum(dim=1, keepdim=True) - inside)
    # A threshold selects all equal weights or none, so the order can be cut only after the last of equal weights.
    cut = torch.ones_like(weights, dtype=torch.bool)
    cut[:, :-1] = weights[:, :-1] > weights[:, 1:]
    return _to_numpy(overlap.where(cut, torch.zeros(())).amax(dim=1))


def relative_entropy(maps: Tensor) -> ImageValues:
    """Entropy of the weights as a distribution over positions, over its maximum log(N), (B,).

    1 for a uniform map, 0 for a map with all its weight at one position, NaN for a map that is zero.
    """
    weights = maps.double().flatten(1)
    share = weights / weights.sum(dim=1, keepdim=True)
    return _to_numpy(-torch.special.xlogy(share, share).sum(dim=1) / np.log(weights.shape[1]))


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """Probability of the class while pixels are removed, or added, in the order of the map.

    Attributes:
        shares: (S,) share of the pixels changed, from 0 to 1.
        probabilities: (B, S).
        auc: (B,) area under each curve by trapezoids. Deletion: lower is more faithful; insertion: higher.
    """

    shares: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    auc: ImageValues


def perturbation_curve(
    predict: Callable[[Tensor], Tensor],
    x: Tensor,
    maps: Tensor,
    classes: Tensor,
    *,
    mode: Literal["deletion", "insertion"],
    steps: int = 16,
    cells: Cells | None = None,
) -> PerturbationCurve:
    """Deletion replaces pixels by the data's mean colour, those with the largest weights first. Insertion puts them, in
    the same order, into a blurred copy of the image.

    Args:
        predict: normalised images (B, C, H, W) -> probabilities (B, classes).
        x: normalised images, so that zero is the mean colour.
        maps: (B, h, w). Equal weights are taken in reading order.
        classes: (B,) the class whose probability is recorded.
        steps: in which the pixels are changed; the curve has one point more.

    Raises:
        ValueError: when the numbers of images and maps differ.
    """
    count, _, height, width = x.shape
    order = _placed(maps, torch.empty(count, height, width), cells).flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).reshape(count, 1, height, width)
    start, end = (x, torch.zeros_like(x)) if mode == "deletion" else (_blurred(x), x)
    shares = np.linspace(0, 1, steps + 1)
    probabilities = []
    with torch.inference_mode():
        for share in shares:
            changed = torch.where(rank < round(float(share) * height * width), end, start)
            probabilities.append(predict(changed).gather(1, classes[:, None])[:, 0])
    curve = _to_numpy(torch.stack(probabilities, dim=1))
    return PerturbationCurve(shares, curve, np.asarray(np.trapezoid(curve, shares, axis=1)))


def _placed(maps: Tensor, like: Tensor, cells: Cells | None) -> Tensor:
    """Maps as float64 (B, H, W), on the pixels of ``like`` (B, H, W).

    Raises:
        ValueError: when the numbers of images differ.
    """
    _check_counts(maps, like)
    size = (like.shape[1], like.shape[2])
    if cells is None and maps.shape[1:] == like.shape[1:]:
        return maps.double()
    return torch.from_numpy(place_map(maps.double().numpy(), cells, size))


def _check_counts(maps: Tensor, like: Tensor) -> None:
    if len(maps) != len(like):
        raise ValueError(f"{len(maps)} maps for {len(like)} masks or images")


def _blurred(x: Tensor) -> Tensor:
    """Two box blurs over a quarter of the shorter side each; borders are mirrored."""
    reach = max(1, min(x.shape[-2:]) // 8)
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x, (reach, reach, reach, reach), mode="reflect"), 2 * reach + 1, stride=1)
    return x


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.detach().double().cpu().numpy()
