"""How concentrated are the maps of a network, by layer and class, and are they on the object?

The article "Image Classification with Attention" looks at pool-3 and pool-4 of a VGG16 and says: pool-3 is diffuse,
pool-4 is concentrated on the lesion in malignant images. `concentration` measures that over a set of images, and
`article_claims` says of each part of that sentence whether the measurements support it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attnlab.attention import to_strength
from attnlab.data import Split
from attnlab.explain.faithfulness import ImageValues, pointing_game, relative_entropy, weight_on_mask
from attnlab.explain.open_run import OpenRun
from attnlab.stats.intervals import Interval, difference_interval, mean_interval, proportion_interval

BATCH = 32


@dataclass(frozen=True, eq=False)
class LayerMeasures:
    """Measures of the maps of one tap, one value per image, in the order of the split.

    Attributes:
        tap: path of the tap.
        entropy: relative entropy (B,), 1 for a uniform map and 0 for a single position.
        on_mask: mean weight inside the mask over mean weight, (B,); NaN without a mask.
        pointing: whether the largest weight lies inside the mask, (B,); `None` without masks.
    """

    tap: str
    entropy: ImageValues
    on_mask: ImageValues
    pointing: NDArray[np.bool_] | None


@dataclass(frozen=True, eq=False)
class Concentration:
    """The measures of every layer over one split.

    Attributes:
        layers: in the order of the forward.
        labels: (B,) true classes.
        probabilities: (B, classes).
    """

    layers: tuple[LayerMeasures, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def table(self, class_names: tuple[str, ...]) -> list[dict[str, Any]]:
        """One row per layer and class, with each measure as an `Interval`, or `None` without masks.

        Columns: layer, class, images (their number), entropy, on_mask and pointing.
        """
        rows: list[dict[str, Any]] = []
        for layer in self.layers:
            for label, name in enumerate(class_names):
                of_class = self.labels == label
                if not of_class.any():
                    continue
                masked = of_class & ~np.isnan(layer.on_mask)
                rows.append(
                    {
                        "layer": layer.tap,
                        "class": name,
                        "images": int(of_class.sum()),
                        "entropy": mean_interval(layer.entropy[of_class]),
                        "on_mask": mean_interval(layer.on_mask[masked]) if masked.any() else None,
                        "pointing": proportion_interval(layer.pointing[masked])
                        if layer.pointing is not None and masked.any()
                        else None,
                    }
                )
        return rows


def concentration(run: OpenRun, split: Split, progress: Callable[[float], None] | None = None) -> Concentration:
    """Runs the network over a split and measures its spatial maps.

    Args:
        split: images of the run's shape; masks may be missing.
        progress: called with the share of images that are done, in [0, 1].

    Raises:
        ValueError: when the network makes no map with positions, or the split is empty.
    """
    if not len(split):
        raise ValueError("there is no image to measure maps on")
    entropy: dict[str, list[ImageValues]] = {}
    on_mask: dict[str, list[ImageValues]] = {}
    pointing: dict[str, list[NDArray[np.bool_]]] = {}
    probabilities = []
    for index in torch.arange(len(split)).split(BATCH):
        inspection = run.inspect(split.images[index])
        probabilities.append(inspection.probabilities)
        for attention in inspection.maps:
            maps = to_strength(attention)
            if maps.shape[1] * maps.shape[2] == 1:
                continue
            entropy.setdefault(attention.name, []).append(relative_entropy(maps))
            if split.masks is not None:
                masks = split.masks[index]
                on_mask.setdefault(attention.name, []).append(weight_on_mask(maps, masks, attention.cells))
                pointing.setdefault(attention.name, []).append(pointing_game(maps, masks, attention.cells))
        if progress is not None:
            progress((int(index[-1]) + 1) / len(split))
    if not entropy:
        raise ValueError(f"the network of {run.folder.name} makes no map with positions to measure")
    layers = tuple(
        LayerMeasures(
            tap,
            np.concatenate(values),
            np.concatenate(on_mask[tap]) if tap in on_mask else np.full(len(split), np.nan),
            np.concatenate(pointing[tap]) if tap in pointing else None,
        )
        for tap, values in entropy.items()
    )
    return Concentration(layers, split.labels.numpy(), np.concatenate(probabilities))


@dataclass(frozen=True)
class Claim:
    """One part of the article's sentence, tested.

    Attributes:
        sentence: the claim.
        holds: `True` (supported) or `False` (contradicted) where the interval lies on one side of ``null``; `None`
            (inconclusive) where it includes ``null``.
        interval: of the measured quantity.
        null: the quantity's value if there were no effect.
        figure: the quantity in words.
    """

    sentence: str
    holds: bool | None
    interval: Interval
    null: float
    figure: str


def article_claims(measured: Concentration, positive: int) -> list[Claim]:
    """The article's claims about its two gates; the first layer is pool-3, the last is pool-4.

    Claims about the lesion need masks and are left out where there are none.

    Args:
        positive: label of the malignant class.
    """
    early, late = measured.layers[0], measured.layers[-1]
    malignant = measured.labels == positive
    claims = [
        _claim(
            "The later gate is more concentrated than the earlier one.",
            mean_interval(early.entropy - late.entropy),
            0.0,
            "relative entropy, earlier minus later gate, on the same images",
        )
    ]
    if np.isfinite(late.on_mask[malignant]).any():
        claims += [
            _claim(
                "In malignant images, the later gate puts above-average weight on the lesion.",
                mean_interval(late.on_mask[malignant]),
                1.0,
                "weight on the lesion (1 = uniform)",
            ),
            _claim(
                "In malignant images, the later gate puts more weight on the lesion than the earlier one does.",
                mean_interval((late.on_mask - early.on_mask)[malignant]),
                0.0,
                "weight on the lesion, later minus earlier gate, on the same images",
            ),
        ]
        if np.isfinite(late.on_mask[~malignant]).any():
            claims.append(
                _claim(
                    "The later gate puts more weight on the lesion in malignant images than in benign ones.",
                    difference_interval(late.on_mask[malignant], late.on_mask[~malignant]),
                    0.0,
                    "weight on the lesion, malignant minus benign images",
                )
            )
    return claims


def _claim(sentence: str, interval: Interval, null: float, figure: str) -> Claim:
    holds = True if interval.low > null else False if interval.high < null else None
    return Claim(sentence, holds, interval, null, figure)
