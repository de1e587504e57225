"""What an operation on the attention does: to the prediction for one image, and to the accuracy over many.

Before and after are the same network on the same images, so the comparison is paired. The change in accuracy is
(gained - lost) / n, with the interval of Agresti and Min ("Simple improved confidence intervals for comparing matched
proportions", Statistics in Medicine 24, 2005): a Wald interval after half an image is added to each of the four cells,
so that it has a width even where nothing changed. Whether there is a change at all is told by McNemar's exact test
(Psychometrika 12, 1947), corrected by Holm's method for all operations of a table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from attnlab.data import normalise
from attnlab.explain.faithfulness import Interval, mean_interval
from attnlab.explain.inspection import Inspection, inspect_images
from attnlab.explain.surgery.operations import Intervention, applicable, operated
from attnlab.stats.significance import holm
from attnlab.training.losses import class_probabilities
from attnlab.training.modes import evaluating
from attnlab.training.seeding import mix

_Z = float(stats.norm.ppf(0.975))


@dataclass(frozen=True, eq=False)
class AccuracyChange:
    """What one operation does over n images.

    Attributes:
        operation: what was done.
        n: images.
        before, after: accuracy in [0, 1].
        gained, lost: images that are right only after, and only before.
        change: after - before, with its paired 95 % interval.
        true_class: mean change of the probability of the true class, with its 95 % bootstrap interval.
        p: McNemar's exact test, two-sided. p_holm: corrected for the operations it was asked with.
    """

    operation: Intervention
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
    given: Intervention,
    *,
    probabilities: Callable[[Tensor], Tensor] = class_probabilities,
) -> Inspection:
    """One forward with changed attention: what is predicted then, and the maps as they were changed.

    Args:
        images, mean, std, probabilities: as in `inspect_images`.

    Raises:
        ValueError: as `operated`.
    """
    with operated(model, given) as edited:
        return inspect_images(edited, images, mean, std, probabilities=probabilities)


def standard_interventions(model: nn.Module) -> list[Intervention]:
    """Every operation that needs no hand, at its usual amount and everywhere: sharpened at temperature 0.5, flattened at 2.

    Painting is left out, and gamma: at 0 it is off.
    """
    found = []
    for operation in applicable(model):
        if operation.name == "temperature":
            found += [Intervention("temperature", 0.5), Intervention("temperature", 2.0)]
        elif operation.name not in ("paint", "gamma"):
            found.append(Intervention(operation.name))
    return found


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
        on_progress: gets (batches done, batches in all).
        should_stop: asked between batches. When it says so, the operations that are done are returned.

    Raises:
        ValueError: without images, when labels do not fit them, or as `operated`.
    """
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"one label an image needed, and one image at least; got {len(images)} images, {len(labels)} labels")
    parts = [normalise(part, tuple(mean), tuple(std)) for part in images.split(batch)]
    truth = labels.cpu().numpy()
    done, total = 0, len(parts) * (1 + len(interventions))

    def predicted(given: Intervention | None) -> NDArray[np.float64] | None:
        nonlocal done
        found = []
        for place, part in enumerate(parts):
            if should_stop is not None and should_stop():
                return None
            # a draw of its own for each batch, so that no two images share one
            drawn = given if given is None or place == 0 else replace(given, seed=mix(given.seed, "batch", place))
            changed = nullcontext(model) if drawn is None else operated(model, drawn)
            with changed as network, evaluating(network), torch.inference_mode():
                found.append(probabilities(network(part)).double().cpu().numpy())
            done += 1
            if on_progress is not None:
                on_progress(done, total)
        return np.concatenate(found)

    changes: list[AccuracyChange] = []
    before = predicted(None)
    if before is None:
        return changes
    for given in interventions:
        after = predicted(given)
        if after is None:
            break
        changes.append(_change(given, truth, before, after))
    corrected = holm([change.p for change in changes])
    return [replace(change, p_holm=p) for change, p in zip(changes, corrected, strict=True)]


def paired_interval(gained: int, lost: int, n: int) -> Interval:
    """(gained - lost) / n of n pairs with the 95 % interval of Agresti and Min (2005).

    Raises:
        ValueError: when the counts are not those of n pairs.
    """
    if n < 1 or min(gained, lost) < 0 or gained + lost > n:
        raise ValueError(f"gained {gained} and lost {lost} are not counts out of {n} pairs")
    pairs = n + 2
    middle = (gained - lost) / pairs
    reach = _Z * np.sqrt((gained + lost + 1) / pairs - middle**2) / np.sqrt(pairs)
    return Interval((gained - lost) / n, max(-1.0, float(middle - reach)), min(1.0, float(middle + reach)), n)


def _change(
    given: Intervention, truth: NDArray[np.int64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> AccuracyChange:
    right_before, right_after = before.argmax(axis=1) == truth, after.argmax(axis=1) == truth
    gained, lost = int((right_after & ~right_before).sum()), int((right_before & ~right_after).sum())
    every = np.arange(len(truth))
    p = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    return AccuracyChange(
        operation=given,
        n=len(truth),
        before=float(right_before.mean()),
        after=float(right_after.mean()),
        gained=gained,
        lost=lost,
        change=paired_interval(gained, lost, len(truth)),
        true_class=mean_interval(after[every, truth] - before[every, truth]),
        p=p,
        p_holm=p,
    )
