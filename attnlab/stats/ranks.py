"""Agreement in order: how well scores rank two classes, and how alike two maps rank their positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def roc_auc(labels: NDArray[np.int64], scores: NDArray[np.float32]) -> float | None:
    """Area under the ROC curve: the share of (class 1, class 0) pairs that the scores put in the right order.

    Args:
        labels: (n,) of 0 and 1. scores: (n,), larger for class 1.

    Returns:
        In [0, 1]; `None` where only one class occurs or a score is not finite.

    Three of the four pairs are in the right order:

    >>> roc_auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.4], np.float32))
    0.75
    """
    from sklearn.metrics import roc_auc_score  # slow to import, and most pages show no AUC

    if len(np.unique(labels)) < 2 or not np.isfinite(scores).all():
        return None
    return float(roc_auc_score(labels, scores))


def rank_correlation(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two arrays of the same shape (American Journal of Psychology 15, 1904).

    Returns:
        In [-1, 1]; NaN where one of them is constant, which ranks nothing.

    >>> rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 9.0]))
    1.0
    """
    if not np.ptp(one) or not np.ptp(other):
        return float("nan")
    return float(stats.spearmanr(one.ravel(), other.ravel()).statistic)
