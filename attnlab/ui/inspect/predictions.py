"""What a network predicts for the first test images, computed behind the page, which shows its first map meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray
from torch import Tensor

from attnlab.attention import AttentionMap, weight_rows
from attnlab.data import normalise
from attnlab.explain.cost import count_flops
from attnlab.explain.open_run import OpenRun
from attnlab.maps import SOFTMAX_TOP, MapScale, colour_ends
from attnlab.models import ImageShape
from attnlab.runs.records import RunRecord
from attnlab.ui.background import Job
from attnlab.ui.run_cache import opened_network, pictures_stamp, run_dataset

PREDICTED = 512
"""Test images that are predicted, to tell right predictions from wrong ones."""
PREDICTED_FLOPS = 5e11
"""Fewer are predicted if they would cost more than this: a VGG16 at 224 x 224 would take minutes."""
FEWEST_PREDICTED = 8
RANGE_IMAGES = 16
"""Images that give the range of a map for the scale "this layer"."""
BATCH = 32


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a network computes for the first test images.

    Attributes:
        probabilities: float32 (n, classes).
        ranges: tap -> both ends of a colour scale over the weights of `RANGE_IMAGES` images.
    """

    probabilities: NDArray[np.float32]
    ranges: dict[str, tuple[float, float]]


def predicting(record: RunRecord) -> Job[Predictions]:
    """The predictions of a run, under way or done; started by whoever asks first.

    Raises:
        DataError, OpenError: when the data set or the network cannot be read.
    """
    return _predicting(str(record.folder), pictures_stamp(record), record)


def predicted_count(opened: OpenRun, test_images: int) -> int:
    """How many test images are predicted: fewer where one costs more."""
    flops = count_flops(opened.config.model, ImageShape(*opened.shape), len(opened.class_names))
    return min(test_images, max(FEWEST_PREDICTED, min(PREDICTED, int(PREDICTED_FLOPS / max(1, flops)))))


@st.cache_resource(max_entries=12, show_spinner=False)
def _predicting(folder: str, stamp: str, _record: RunRecord) -> Job[Predictions]:
    opened, images = opened_network(_record), run_dataset(_record).test.images
    return Job(lambda tell: _predict(opened, images[: predicted_count(opened, len(images))], tell))


def _predict(opened: OpenRun, images: Tensor, tell: Callable[[int, int], None]) -> Predictions:
    ends: dict[str, list[tuple[float, float]]] = {}
    parts = []
    tell(0, len(images))
    with torch.inference_mode():
        for batch in images.split(BATCH):
            parts.append(opened.probabilities(opened.model(normalise(batch, opened.mean, opened.std))).numpy())
            tell(sum(map(len, parts)), len(images))
    for image in images[:RANGE_IMAGES].split(1):
        for attention in opened.inspect(image, derived=True).maps:
            ends.setdefault(attention.name, []).append(_ends(attention))
    ranges = {name: (min(low for low, _ in pairs), max(high for _, high in pairs)) for name, pairs in ends.items()}
    return Predictions(np.concatenate(parts), ranges)


def _ends(attention: AttentionMap) -> tuple[float, float]:
    """The smallest and the largest weight, where one softmax weight that is far above all others does not count."""
    if attention.scale is not MapScale.SOFTMAX:
        return float(attention.values.min()), float(attention.values.max())
    rows = weight_rows(attention).numpy()
    positions = rows.shape[-1]
    return colour_ends(rows.reshape(-1, positions), SOFTMAX_TOP / positions)
