"""What an operation on the attention does: to the prediction for one image, and to the accuracy over many.

Before and after are the same network on the same images, so the comparison is paired. The change in accuracy is
(gained - lost) / n with Agresti and Min's interval; whether there is a change at all is decided by McNemar's exact test,
corrected by Holm's method for all operations of a table (`attnlab.stats`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attnlab.attention import evaluating
from attnlab.data import normalise
from attnlab.explain.inspection import Inspection, inspect_images
from attnlab.explain.surgery.operations import Intervention, applicable, operated
from attnlab.stats.intervals import Interval, mean_interval, paired_interval
from attnlab.stats.significance import holm, mcnemar_test
from attnlab.training.losses import class_probabilities
from attnlab.training.seeding import mix


@dataclass(frozen=True, eq=False)
class AccuracyChange:
    """What one operation does over n images.

    Attributes:
        intervention: the operation, its amount and the maps it changed.
        n: images.
        before, after: accuracy in [0, 1].
        gained, lost: images that are right only after, and only before.
        change: after - before, with its paired 95% interval.
        true_class: mean change of the probability of the true class, with its 95% bootstrap interval.
        p: McNemar's exact test, two-sided. p_holm: corrected for all operations of the same table.
    """

    intervention: Intervention
    n: int
    before: float
    after: float
    gained: int
    lost: int
    change: Interval
    true_class: Interval
    p: float
    p_holm: float


def operate(
    model: nn.Module,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    intervention: Intervention,
    *,
    probabilities: Callable[[Tensor], Tensor] = class_probabilities,
) -> Inspection:
    """One forward with changed attention: the prediction, and the maps as they were changed.

    Args:
        images, mean, std, probabilities: as in `inspect_images`.

    Raises:
        ValueError: as `operated`.
    """
    with operated(model, intervention) as edited:
        return inspect_images(edited, images, mean, std, probabilities=probabilities)


def standard_interventions(model: nn.Module) -> list[Intervention]:
    """Every operation that needs no drawing by hand, at its default amount, on all maps.

    Temperature occurs twice: sharper at 0.5 and flatter at 2. Gamma is left out, since at its default of 0 it is "off".
    """
    interventions = []
    for operation in applicable(model):
        if operation.name == "temperature":
            interventions += [Intervention("temperature", 0.5), Intervention("temperature", 2.0)]
        elif operation.name not in ("paint", "gamma"):
            interventions.append(Intervention(operation.name))
    return interventions


def accuracy_change(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    interventions: Sequence[Intervention],
    *,
    probabilities: Callable[[Tensor], Tensor] = class_probabilities,
    batch: int = 32,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[AccuracyChange]:
    """Accuracy over the images before and after each operation.

    Args:
        images: uint8 (n, C, H, W) of the network's size. labels: (n,).
        batch: images per forward.
        on_progress: called with (batches done, batches in all).
        should_stop: called between batches; once it returns true, the finished operations are returned.

    Raises:
        ValueError: without images, when their number is not that of the labels, or as `operated`.
    """
    if not len(images) or len(images) != len(labels):
        raise ValueError(
            f"one label per image and at least one image are needed, got {len(images)} images, {len(labels)} labels"
        )
    parts = [normalise(part, tuple(mean), tuple(std)) for part in images.split(batch)]
    truth = labels.cpu().numpy()
    done, total = 0, len(parts) * (1 + len(interventions))

    def predicted(intervention: Intervention | None) -> NDArray[np.float64] | None:
        """Probabilities (n, classes) of all images; `None` when stopped."""
        nonlocal done
        outputs = []
        for number, part in enumerate(parts):
            if should_stop is not None and should_stop():
                return None
            drawn = intervention
            if drawn is not None and number:  # each batch draws its own permutations, so that no two images share one
                drawn = replace(drawn, seed=mix(drawn.seed, "batch", number))
            changed = nullcontext(model) if drawn is None else operated(model, drawn)
            with changed as network, evaluating(network), torch.inference_mode():
                outputs.append(probabilities(network(part)).double().cpu().numpy())
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        return np.concatenate(outputs)

    changes: list[AccuracyChange] = []
    before = predicted(None)
    if before is None:
        return changes
    for intervention in interventions:
        after = predicted(intervention)
        if after is None:
            break
        changes.append(_change(intervention, truth, before, after))
    corrected = holm([change.p for change in changes])
    return [replace(change, p_holm=p) for change, p in zip(changes, corrected, strict=True)]


def changed_predictions(
    model: nn.Module,
    images: Tensor,
    predicted: NDArray[np.int64],
    mean: Sequence[float],
    std: Sequence[float],
    intervention: Intervention,
    *,
    probabilities: Callable[[Tensor], Tensor] = class_probabilities,
    most: int = 5,
    on_progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[tuple[int, int]]:
    """The first images whose predicted class the operation changes, as (index, class after it).

    Each image is run by itself, so that what is drawn at random is what `operate` draws for this image.

    Args:
        images: uint8 (n, C, H, W) of the network's size. predicted: (n,), the class of each without the operation.
        most: the search ends when so many are found.
        on_progress: called with (images done, images in all).
        should_stop: called between images; once it returns true, what is found so far is returned.

    Raises:
        ValueError: as `operated`.
    """
    found: list[tuple[int, int]] = []
    with operated(model, intervention) as edited, evaluating(edited), torch.inference_mode():
        for index, image in enumerate(images.split(1)):
            if len(found) == most or (should_stop is not None and should_stop()):
                break
            after = int(probabilities(edited(normalise(image, tuple(mean), tuple(std)))).argmax(dim=1))
            if after != predicted[index]:
                found.append((index, after))
            if on_progress is not None:
                on_progress(index + 1, len(images))
    return found


def _change(
    intervention: Intervention, truth: NDArray[np.int64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> AccuracyChange:
    right_before, right_after = before.argmax(axis=1) == truth, after.argmax(axis=1) == truth
    gained, lost = int((right_after & ~right_before).sum()), int((right_before & ~right_after).sum())
    rows = np.arange(len(truth))
    p = mcnemar_test(gained, lost)
    return AccuracyChange(
        intervention=intervention,
        n=len(truth),
        before=float(right_before.mean()),
        after=float(right_after.mean()),
        gained=gained,
        lost=lost,
        change=paired_interval(gained, lost, len(truth)),
        true_class=mean_interval(after[rows, truth] - before[rows, truth]),
        p=p,
        p_holm=p,
    )
