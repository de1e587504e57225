"""The loss of a run, and its network's outputs as probabilities.

Focal loss (Lin et al., ICCV 2017, arXiv:1708.02002), with p_t the probability given to the true class:

    FL = -alpha_t (1 - p_t)^gamma log(p_t)

In the paper alpha_t weighs the classes (alpha for class 1, 1 - alpha for class 0); the melanoma article multiplies every
term by the same alpha. Here a number is the factor of the article, and a sequence has one weight per class, so the balance
of the paper is ``(1 - alpha, alpha)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from attnlab.adapters import logits_of
from attnlab.config import RunConfig

_NEARLY = 1e-3  # how far the sum of shares may be from 1
_TINY = 1e-7  # probabilities are raised to this before a logarithm or power


def focal_loss(
    outputs: Tensor,
    labels: Tensor,
    *,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_probabilities: bool = False,
) -> Tensor:
    """Mean focal loss of a batch.

    Args:
        outputs: (B, K) logits of K classes; (B, 1) or (B,) for a binary network with one output.
        labels: (B,) integers in [0, K), or 0 and 1.
        alpha: one factor for all classes, or one weight per class.
        gamma: 0 gives alpha times cross entropy.
        from_probabilities: ``outputs`` are probabilities already (softmax for K classes, sigmoid for one output).

    Raises:
        ValueError: for another number of weights than classes.
    """
    log_true = _log_probability(outputs, labels, from_probabilities)
    classes = outputs.shape[1] if outputs.ndim == 2 and outputs.shape[1] > 1 else 2
    weight: float | Tensor
    if isinstance(alpha, Sequence):
        if len(alpha) != classes:
            raise ValueError(f"focal loss got {len(alpha)} class weights for {classes} classes")
        weight = torch.tensor(alpha, dtype=log_true.dtype, device=log_true.device)[labels]
    else:
        weight = alpha
    missing = (-torch.expm1(log_true)).clamp_min(_TINY)  # a power below 1 has no slope at 0
    return (-weight * missing**gamma * log_true).mean()


def _log_probability(outputs: Tensor, labels: Tensor, from_probabilities: bool) -> Tensor:
    """Logarithm of the probability of the true class, (B,)."""
    if outputs.ndim == 1 or outputs.shape[1] == 1:
        score = outputs.reshape(-1)
        if from_probabilities:
            p_true = torch.where(labels == 1, score, 1 - score)
            return p_true.clamp_min(_TINY).log()
        return F.logsigmoid(torch.where(labels == 1, score, -score))
    logs = outputs.clamp_min(_TINY).log() if from_probabilities else outputs.log_softmax(dim=1)
    return logs.gather(1, labels[:, None])[:, 0]


class Objective:
    """The loss and the probabilities of a run, by its config.

    The single output of a network for two classes is the logit of class 1.
    """

    def __init__(self, config: RunConfig) -> None:
        self.training = config.training
        self.relu_softmax = config.protocol.loss_head == "relu_softmax"

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch, float32. ``logits`` (B, classes) or (B, 1), ``labels`` int64 (B,)."""
        logits = logits.float()
        if self.training.loss == "focal":
            return focal_loss(logits, labels, alpha=self.training.focal_alpha, gamma=self.training.focal_gamma)
        smoothing = self.training.label_smoothing
        if logits.shape[1] == 1:
            target = labels.to(logits.dtype) * (1 - smoothing) + smoothing / 2
            return F.binary_cross_entropy_with_logits(logits[:, 0], target)
        # A departure of the published code: softmax before a loss that applies softmax again.
        outputs = logits.relu().softmax(dim=1) if self.relu_softmax else logits
        return F.cross_entropy(outputs, labels, label_smoothing=smoothing)

    def probabilities(self, logits: Tensor) -> Tensor:
        """float32 (B, classes); two classes for a network with one output."""
        logits = logits.float()
        cut = self.relu_softmax and logits.shape[1] > 1  # the published network has one output per class
        return class_probabilities(logits.relu() if cut else logits)


def class_probabilities(logits: Tensor) -> Tensor:
    """Softmax over (B, K) logits, float32; (B, 1) is the logit of class 1 of two."""
    logits = logits.float()
    if logits.shape[1] == 1:
        positive = logits.sigmoid()
        return torch.cat([1 - positive, positive], dim=1)
    return logits.softmax(dim=1)


def output_probabilities(output: Any) -> Tensor:
    """What any network returns -> float32 (B, classes); (B, 0) where it does not look like scores of classes.

    Scores are a tensor (B, classes), alone, first of several, or under the name ``logits``, as networks of transformers return
    them. Rows of shares that sum to 1 are probabilities already.
    """
    try:
        found = logits_of(output)
    except ValueError:
        return torch.zeros(1, 0)
    if found.ndim != 2 or not found.is_floating_point():
        return torch.zeros(len(found) if found.ndim else 1, 0)
    scores = found.float()
    shares = scores.shape[1] > 1 and bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < _NEARLY).all())
    return scores if shares else class_probabilities(scores)
