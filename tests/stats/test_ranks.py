"""Figures that depend on order only."""

import numpy as np

from attnlab.stats.ranks import roc_auc


def test_auc_of_one_class_is_undefined() -> None:
    assert roc_auc(np.zeros(3, np.int64), np.array([0.1, 0.5, 0.9], np.float32)) is None
