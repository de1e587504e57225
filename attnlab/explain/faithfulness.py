"""Do maps point at the object, and does the prediction depend on what they point at?

Against a mask: the share of the weight inside it relative to a uniform map, the pointing game (Zhang et al., IJCV
2018), the overlap at the best threshold. Without one: entropy. Against the network itself: deletion and insertion
(Petsiuk et al., BMVC 2018, arXiv:1806.07421), where pixels go or come in the order of the map.

Maps are (B, h, w), non-negative (see `attnlab.attention.to_spatial`), masks bool (B, H, W). A smaller map is
brought to the mask's size bilinearly. Every function gives one figure an image; `mean_interval` and
`proportion_interval` say how sure their mean is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean over ``count`` images and where it lies with the given confidence."""

    value: float
    low: float
    high: float
    count: int
    confidence: float = 0.95


def weight_on_mask(maps: Tensor, masks: Tensor) -> Figures:
    """Mean weight inside the mask over mean weight of the whole map, (B,): 1 is what a uniform map has.

    NaN for an image whose mask is empty or whose map is zero.
    """
    weights = _resized(maps, masks)
    inside = (weights * masks).sum(dim=(1, 2)) / masks.sum(dim=(1, 2))
    return _figures(inside / weights.mean(dim=(1, 2)))


def pointing_game(maps: Tensor, masks: Tensor) -> NDArray[np.bool_]:
    """Whether the largest weight lies inside the mask, (B,); the first of equal ones counts."""
    largest = _resized(maps, masks).flatten(1).argmax(dim=1)
    hits: NDArray[np.bool_] = masks.flatten(1).gather(1, largest[:, None])[:, 0].numpy()
    return hits


def best_overlap(maps: Tensor, masks: Tensor) -> Figures:
    """Intersection over union with the mask at the threshold that suits each image best, (B,).

    The threshold is chosen by looking at the mask, so this is what the map could do at most.
    """
    weights, order = _resized(maps, masks).flatten(1).sort(dim=1, descending=True)
    hit = masks.flatten(1).gather(1, order).double()
    inside = hit.cumsum(dim=1)
    taken = torch.arange(1, hit.shape[1] + 1, dtype=torch.float64)
    overlap = inside / (taken + hit.sum(dim=1, keepdim=True) - inside)
    # A threshold takes all equal weights or none, so only the last of a run of equal ones is a place to cut.
    cut = torch.ones_like(weights, dtype=torch.bool)
    cut[:, :-1] = weights[:, :-1] > weights[:, 1:]
    return _figures(overlap.where(cut, torch.zeros(())).amax(dim=1))


def relative_entropy(maps: Tensor) -> Figures:
    """Entropy of the weights as a distribution over positions, over its maximum log(N), (B,): 1 is uniform, 0 one position.

    NaN for a map that is zero.
    """
    weights = maps.double().flatten(1)
    share = weights / weights.sum(dim=1, keepdim=True)
    return _figures(-torch.special.xlogy(share, share).sum(dim=1) / np.log(weights.shape[1]))


@dataclass(frozen=True, eq=False)
class PerturbationCurve:
    """Probability of the class while pixels go or come in the order of the map.

    Attributes:
        shares: (S,) share of the pixels changed, from 0 to 1.
        probabilities: (B, S).
        auc: (B,) area under each curve by trapezoids. Deletion: lower is more faithful; insertion: higher.
    """

    shares: Figures
    probabilities: Figures
    auc: Figures


def perturbation_curve(
    predict: Callable[[Tensor], Tensor],
    x: Tensor,
    maps: Tensor,
    classes: Tensor,
    *,
    mode: Literal["deletion", "insertion"],
    steps: int = 16,
) -> PerturbationCurve:
    """Deletion: the pixels with the largest weights go first, replaced by the data's mean colour. Insertion: they come
    first, into a blurred copy of the image.

    Args:
        predict: normalised images (B, C, H, W) -> probabilities (B, classes).
        x: normalised images, so that zero is the mean colour.
        maps: (B, h, w). Equal weights are taken in reading order.
        classes: (B,) the class whose probability is followed.
    """
    count, _, height, width = x.shape
    order = _resized(maps, torch.empty(count, height, width)).flatten(1).argsort(dim=1, descending=True, stable=True)
    rank = order.argsort(dim=1).reshape(count, 1, height, width)
    start, end = (x, torch.zeros_like(x)) if mode == "deletion" else (_blurred(x), x)
    shares = np.linspace(0, 1, steps + 1)
    probabilities = []
    with torch.inference_mode():
        for share in shares:
            changed = torch.where(rank < round(float(share) * height * width), end, start)
            probabilities.append(predict(changed).gather(1, classes[:, None])[:, 0])
    curve = _figures(torch.stack(probabilities, dim=1))
    return PerturbationCurve(shares, curve, np.asarray(np.trapezoid(curve, shares, axis=1)))


def mean_interval(figures: ArrayLike, *, confidence: float = 0.95, resamples: int = 5000, seed: int = 0) -> Interval:
    """Mean with its bias-corrected bootstrap interval (Efron, 1987); NaNs are left out.

    Raises:
        ValueError: when no figure is left.
    """
    values = np.asarray(figures, dtype=np.float64)
    values = values[~np.isnan(values)]
    if not len(values):
        raise ValueError("no figure to take the mean of")
    mean = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:  # nothing to resample
        return Interval(
            mean, mean if len(values) > 1 else -np.inf, mean if len(values) > 1 else np.inf, len(values), confidence
        )
    result = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, n_resamples=resamples, method="BCa", rng=np.random.default_rng(seed)
    )
    return Interval(
        mean, float(result.confidence_interval.low), float(result.confidence_interval.high), len(values), confidence
    )


def proportion_interval(hits: ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Share of hits with Wilson's score interval (1927).

    Raises:
        ValueError: when there is nothing to count.
    """
    values = np.asarray(hits, dtype=bool)
    if not len(values):
        raise ValueError("no trial to take the share of")
    test = stats.binomtest(int(values.sum()), len(values))
    bounds = test.proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(float(values.mean()), float(bounds.low), float(bounds.high), len(values), confidence)


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    """float64 (B, H, W) of the size of ``like`` (B, H, W).

    Raises:
        ValueError: when the numbers of images differ.
    """
    if len(maps) != len(like):
        raise ValueError(f"{len(maps)} maps for {len(like)} masks or images")
    maps = maps.double()
    if maps.shape[1:] == like.shape[1:]:
        return maps
    size = (like.shape[1], like.shape[2])
    return F.interpolate(maps[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def _blurred(x: Tensor) -> Tensor:
    """A box blur, twice, over a quarter of the shorter side; borders are mirrored."""
    reach = max(1, min(x.shape[-2:]) // 8)
    for _ in range(2):
        x = F.avg_pool2d(F.pad(x, (reach, reach, reach, reach), mode="reflect"), 2 * reach + 1, stride=1)
    return x


def _figures(values: Tensor) -> Figures:
    return values.detach().double().cpu().numpy()
