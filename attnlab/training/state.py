"""Everything a training needs to be resumed, as tensors and JSON.

It holds no generator state: randomness is a function of (seed, step), see `attnlab.training.seeding`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

FORMAT = 1
Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Best:
    """The best epoch so far.

    Attributes:
        epoch: counted from 1.
        score: what it was chosen by, higher is better (see `ProtocolConfig.best_epoch`).
        accuracy: of the validation.
        weights: on the CPU.
    """

    epoch: int
    score: float
    accuracy: float
    weights: Weights


@dataclass(frozen=True, eq=False)
class TrainState:
    """The state of a training between two steps.

    Attributes:
        config_hash: of the config it belongs to.
        step: optimizer steps done.
        epoch: epochs finished, validation included.
        batch: steps done in the epoch in progress; all of them when only its validation is missing.
        seconds: training time so far, over all attempts.
        step_seconds: of these, the time spent in steps, without validation and snapshots.
        model: current weights and buffers (CPU).
        optimizer: its ``state_dict`` (CPU).
        schedule: its ``state_dict``.
        sums: running sums of the epoch in progress.
        best: the best epoch so far; `None` before the first validation.
        highest: the highest score of any epoch so far, also of one that was replaced by a lower one.
    """

    config_hash: str
    step: int
    epoch: int
    batch: int
    seconds: float
    step_seconds: float
    model: Weights
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    sums: dict[str, Tensor] = field(default_factory=dict)
    best: Best | None = None
    highest: float | None = None

    def to_parts(self, *, best_weights: bool = True) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(tensors, scalars): contiguous CPU tensors that share no memory, and a dict that is strict JSON.

        Args:
            best_weights: ``False`` leaves out the weights of the best epoch, which then go to `from_parts` by themselves.
        """
        tensors = {f"model/{name}": value for name, value in self.model.items()}
        tensors |= {f"sums/{name}": value for name, value in self.sums.items()}
        for index, slots in self.optimizer["state"].items():
            tensors |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items() if value is not None}
        if self.best is not None and best_weights:
            tensors |= {f"best/{name}": value for name, value in self.best.weights.items()}
        scalars: dict[str, Any] = {
            "format": FORMAT,
            "config_hash": self.config_hash,
            "step": self.step,
            "epoch": self.epoch,
            "batch": self.batch,
            "seconds": self.seconds,
            "step_seconds": self.step_seconds,
            "optimizer_groups": self.optimizer["param_groups"],
            "schedule": self.schedule,
            "best_epoch": None if self.best is None else self.best.epoch,
            "best_score": None if self.best is None else self.best.score,
            "best_accuracy": None if self.best is None else self.best.accuracy,
            "highest_score": self.highest,
        }
        return tensors, scalars

    @classmethod
    def from_parts(
        cls, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any], best_weights: Mapping[str, Tensor] | None = None
    ) -> TrainState:
        """The inverse of `to_parts`, after a round trip through safetensors and JSON.

        Args:
            best_weights: the weights of the best epoch, where ``tensors`` does not hold them.

        Raises:
            ValueError: for another format, or when the best epoch's weights are missing.
        """
        if scalars.get("format") != FORMAT:
            raise ValueError(f"training state has format {scalars.get('format')!r}; this version reads format {FORMAT}")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optimizer": {}, "sums": {}, "best": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = value
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            index, _, slot = name.partition("/")
            slots.setdefault(int(index), {})[slot] = value
        best = None
        if scalars["best_epoch"] is not None:
            weights = dict(best_weights) if best_weights is not None else parts["best"]
            if not weights:
                raise ValueError(f"training state names epoch {scalars['best_epoch']} as the best, but its weights are missing")
            best = Best(scalars["best_epoch"], scalars["best_score"], scalars["best_accuracy"], weights)
        return cls(
            config_hash=scalars["config_hash"],
            step=scalars["step"],
            epoch=scalars["epoch"],
            batch=scalars["batch"],
            seconds=scalars["seconds"],
            step_seconds=scalars["step_seconds"],
            model=parts["model"],
            optimizer={"state": slots, "param_groups": [_with_tuples(group) for group in scalars["optimizer_groups"]]},
            schedule=scalars["schedule"],
            sums=parts["sums"],
            best=best,
            highest=scalars.get("highest_score", scalars["best_score"]),  # states of the first version lack it
        )


def to_cpu(tree: Any) -> Any:
    """A copy of a state dict with contiguous tensors on the CPU that share no memory with the original."""
    if isinstance(tree, Tensor):
        return tree.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    if isinstance(tree, Mapping):
        return {key: to_cpu(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [to_cpu(value) for value in tree]
    return tree


def _with_tuples(group: Mapping[str, Any]) -> dict[str, Any]:
    """JSON turns Adam's betas into a list."""
    return {key: tuple(value) if key == "betas" else value for key, value in group.items()}
