"""Metrics: running sums over a training epoch, and the results of a whole evaluation (scikit-learn)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import evaluating
from attnlab.config import ProtocolConfig
from attnlab.stats.intervals import auc_interval
from attnlab.stats.ranks import roc_auc
from attnlab.training.feed import Feed
from attnlab.training.losses import Objective

CURVE_POINTS = 200


class Stopped(Exception):
    """The training was asked to stop."""


class RunningMetrics:
    """Loss, accuracy and, for two classes, ROC AUC over an epoch, summed on the device without waiting for it.

    Args:
        protocol: says how the accuracy and the loss are averaged. ``samples`` weighs all images equally; ``batches`` is the
            mean over batches, in which a short last batch weighs as much as a full one.
    """

    def __init__(self, device: torch.device, *, binary: bool, protocol: ProtocolConfig) -> None:
        self.binary = binary
        self.protocol = protocol
        # The sums of: loss over images, images, correct ones, accuracies of batches, batches, losses of batches.
        self._sums = torch.zeros(6, dtype=torch.float64, device=device)
        self._scores: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, loss: Tensor, probabilities: Tensor, labels: Tensor) -> None:
        """Adds a batch: its mean loss, probabilities (B, classes) and labels (B,)."""
        count = len(labels)
        right = (probabilities.argmax(dim=1) == labels).sum().double()
        one = torch.ones_like(right)
        mean = loss.detach().double()
        self._sums += torch.stack([mean * count, one * count, right, right / count, one, mean])
        if self.binary:
            self._scores.append(probabilities[:, 1].detach())
            self._labels.append(labels)

    @property
    def loss(self) -> float:
        part, whole = (5, 4) if self.protocol.loss_average == "batches" else (0, 1)
        return float(self._sums[part] / self._sums[whole])

    @property
    def accuracy(self) -> float:
        part, whole = (3, 4) if self.protocol.accuracy_average == "batches" else (2, 1)
        return float(self._sums[part] / self._sums[whole])

    @property
    def auc(self) -> float | None:
        """Over all images so far; `None` unless there are two classes and both occurred."""
        if not self._scores:
            return None
        return roc_auc(torch.cat(self._labels).cpu().numpy(), torch.cat(self._scores).cpu().numpy())

    def state_dict(self) -> dict[str, Tensor]:
        state = {"sums": self._sums}
        if self._scores:
            state |= {"scores": torch.cat(self._scores), "labels": torch.cat(self._labels)}
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        device = self._sums.device
        sums = state["sums"].to(device)
        self._sums = F.pad(sums, (0, 6 - len(sums)))  # five in states of the first version, which averaged losses over images
        self._scores = [state["scores"].to(device)] if "scores" in state else []
        self._labels = [state["labels"].to(device)] if "labels" in state else []


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of a pass over a split.

    Attributes:
        auc: `None` unless there are two classes and both occur.
        probabilities: float32 (n, classes), in the order of the split.
        labels: int64 (n,).
    """

    loss: float
    accuracy: float
    auc: float | None
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]


def evaluate(
    model: nn.Module,
    feed: Feed,
    objective: Objective,
    *,
    batch_size: int,
    protocol: ProtocolConfig,
    should_stop: Callable[[], bool],
    autocast: Callable[[], Any],
) -> Evaluation:
    """Runs ``model`` over a split in the mode of the protocol, and restores its mode.

    Raises:
        Stopped: when ``should_stop`` returns ``True`` before a batch.
    """
    sums: RunningMetrics | None = None
    collected: list[Tensor] = []
    with evaluating(model, in_training_mode=protocol.evaluation_mode == "training"), torch.inference_mode():
        for index in torch.arange(len(feed)).split(batch_size):
            if should_stop():
                raise Stopped
            x, labels = feed.batch(index)
            with autocast():
                logits = model(x)
            probabilities = objective.probabilities(logits)
            if sums is None:
                sums = RunningMetrics(feed.device, binary=probabilities.shape[1] == 2, protocol=protocol)
            sums.add(objective.loss(logits, labels), probabilities, labels)
            collected.append(probabilities)
    assert sums is not None  # see `check_labels`: no split is empty
    return Evaluation(sums.loss, sums.accuracy, sums.auc, torch.cat(collected).cpu().numpy(), feed.labels.cpu().numpy())


def describe_test(evaluation: Evaluation) -> dict[str, Any]:
    """The results of a test, JSON-ready: the confusion matrix (row: true class, column: predicted), and for two classes the
    ROC and precision-recall curves (at most `CURVE_POINTS` points each), the scores of class 1 and the labels.
    """
    labels, probabilities = evaluation.labels, evaluation.probabilities
    classes = probabilities.shape[1]
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), labels=np.arange(classes))
    figures: dict[str, Any] = {"confusion": matrix.tolist(), "images": len(labels)}
    if classes == 2:
        scores = probabilities[:, 1]
        figures |= {"probabilities": [round(float(score), 6) for score in scores], "labels": labels.tolist()}
        if evaluation.auc is not None:
            figures |= ranking_curves(labels, scores)
            figures["auc_interval"] = auc_interval(labels, scores)
    return figures


def ranking_curves(labels: NDArray[np.int64], scores: NDArray[np.float32]) -> dict[str, Any]:
    """ROC and precision-recall curves as lists, thinned evenly to `CURVE_POINTS` with both ends kept."""
    false_positive, true_positive, thresholds = roc_curve(labels, scores)
    # At the first point of the curve nothing is predicted positive: its threshold is infinite, which JSON cannot express.
    thresholds = np.where(np.isfinite(thresholds), thresholds, np.nextafter(scores.max(), np.float32(np.inf)))
    precision, recall, cuts = precision_recall_curve(labels, scores)
    cuts = np.append(cuts, np.nextafter(scores.max(), np.float32(np.inf)))  # the last point has no threshold
    return {
        "roc": _thin(false_positive_rate=false_positive, true_positive_rate=true_positive, threshold=thresholds),
        "precision_recall": _thin(precision=precision, recall=recall, threshold=cuts),
    }


def _thin(**columns: NDArray[Any]) -> dict[str, list[float]]:
    count = len(next(iter(columns.values())))
    kept = np.unique(np.linspace(0, count - 1, min(count, CURVE_POINTS)).round().astype(int))
    return {name: [float(value) for value in values[kept]] for name, values in columns.items()}
