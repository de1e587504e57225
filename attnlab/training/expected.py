"""The test accuracy to expect after a number of epochs, for configurations somebody has measured it for.

The figures are in ``expected.json`` beside this file; ``python -m benchmarks.one_minute --expected`` writes it. A
configuration that differs from a measured one in anything but the seed, the epochs and the device has no figure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from attnlab.config import RunConfig

FILE = Path(__file__).with_name("expected.json")
_FORMAT = 1

Curve = Sequence[tuple[int, float]]
"""(epochs, mean test accuracy in [0, 1]) of a configuration, by rising epochs."""


def expected_accuracy(config: RunConfig) -> float | None:
    """The mean test accuracy of such runs, between measured numbers of epochs interpolated; `None` where it is not known."""
    epochs = config.training.epochs
    curve = _curves().get(_key(config), ())
    for (before, low), (after, high) in pairwise(curve):
        if before <= epochs <= after:
            return low + (high - low) * (epochs - before) / (after - before)
    return next((accuracy for at, accuracy in curve if at == epochs), None)


def save_expected(curves: Sequence[tuple[RunConfig, Curve]], seeds: int) -> None:
    """Writes the figures of these configurations, in place of all others.

    Args:
        seeds: runs behind each figure.
    """
    entries = [
        {"config": config.model_dump(mode="json"), "points": [list(point) for point in curve]} for config, curve in curves
    ]
    FILE.write_text(json.dumps({"format": _FORMAT, "seeds": seeds, "entries": entries}, indent=1) + "\n")


@lru_cache
def _curves() -> dict[str, list[tuple[int, float]]]:
    curves = {}
    for entry in json.loads(FILE.read_bytes())["entries"]:
        measured = RunConfig.model_validate(entry["config"])
        curves[_key(measured)] = [(int(at), float(accuracy)) for at, accuracy in entry["points"]]
    return curves


def _key(config: RunConfig) -> str:
    return config.changed(training__epochs=1, training__device="auto", seed=0).config_hash
