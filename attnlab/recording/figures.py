"""The figures that a training loop logs, by the names that people give them, as the app knows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

STEP_FIGURES = ("loss", "lr")
EPOCH_FIGURES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "train_auc", "validation_auc")
"""What the app draws, of steps and of epochs."""

_WORDS = {"acc": "accuracy", "val": "validation", "valid": "validation", "eval": "validation", "learning": "lr", "rate": ""}
_OF_EPOCH = {"loss": "train_loss", "accuracy": "train_accuracy", "auc": "train_auc"}
_KEPT = frozenset({"kind", "step", "epoch"})


def sorted_figures(figures: Mapping[str, Any], *, of_epoch: bool) -> tuple[dict[str, float], dict[str, float], list[str]]:
    """(figures of the step, figures of the epoch, what was left out and why).

    Args:
        figures: numbers, or tensors and arrays that hold one. `None` is left out without a word.
        of_epoch: whether ``loss``, ``accuracy`` and names that are not known are those of the epoch.

    >>> sorted_figures({"loss": 0.5, "val_acc": 0.9}, of_epoch=False)
    ({'loss': 0.5}, {'validation_accuracy': 0.9}, [])
    >>> sorted_figures({"loss": 0.5, "acc": 93.0}, of_epoch=True)
    ({}, {'train_loss': 0.5}, ['acc is left out: 93 is no share from 0 to 1'])
    """
    of_steps: dict[str, float] = {}
    of_epochs: dict[str, float] = {}
    left_out = []
    for given, value in figures.items():
        if value is None:
            continue
        name = figure_name(given, of_epoch=of_epoch)
        try:
            number = float(value.detach() if hasattr(value, "detach") else value)
        except (TypeError, ValueError):
            left_out.append(f"{given} is left out: it is not one number")
            continue
        if name in _KEPT:
            left_out.append(f"{given} is left out: the recorder writes it itself")
        elif not math.isfinite(number):
            left_out.append(f"{given} is left out where it is not a finite number")
        elif name.endswith(("accuracy", "auc")) and not 0 <= number <= 1:
            left_out.append(f"{given} is left out: {number:g} is no share from 0 to 1")
        elif name in EPOCH_FIGURES or (of_epoch and name not in STEP_FIGURES):
            of_epochs[name] = number
        else:
            of_steps[name] = number
    return of_steps, of_epochs, left_out


def figure_name(given: str, *, of_epoch: bool = False) -> str:
    """As the app calls it: ``val_acc``, ``val/accuracy`` and ``valid-acc`` are all ``validation_accuracy``."""
    parts = given.lower().replace("/", "_").replace("-", "_").split("_")
    name = "_".join(filter(None, (_WORDS.get(part, part) for part in parts)))
    return _OF_EPOCH.get(name, name) if of_epoch else name
