"""Optimizer and learning rate schedule of a run.

``one_cycle`` and ``cosine`` change the learning rate after every step. They span the run, or one epoch where the protocol
starts the optimizer afresh in each. ``plateau`` changes it after a validation: after more than ``plateau_patience`` epochs in
a row without a lower loss it divides the rate by 10.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from attnlab.config import TrainingConfig


def build_optimizer(model: nn.Module, training: TrainingConfig, device: torch.device) -> Optimizer:
    """The optimizer of the config for all parameters of ``model``, in one pass over them where the device has one."""
    fused = True if device.type in {"cuda", "cpu"} else None
    weights = list(model.parameters())
    if training.optimizer == "sgd":
        return SGD(weights, lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay, fused=fused)
    adam = Adam if training.optimizer == "adam" else AdamW
    return adam(weights, lr=training.lr, weight_decay=training.weight_decay, fused=fused)


def lay_out_as_weights(optimizer: Optimizer) -> None:
    """Lays the state of ``optimizer`` out in memory as its weights are.

    A fused update goes through weights and state in the order of memory. A state that was stored and read again is contiguous;
    beside weights that are channels last its averages would be added to the wrong weights.
    """
    for weight, slots in optimizer.state.items():
        for name, value in slots.items():
            if isinstance(value, Tensor) and value.shape == weight.shape:
                slots[name] = torch.empty_like(weight).copy_(value)


class Schedule:
    """A learning rate schedule over ``steps`` steps, whose state is JSON-ready."""

    def __init__(self, optimizer: Optimizer, training: TrainingConfig, steps: int) -> None:
        self.optimizer = optimizer
        self._left = steps
        self._by_step: LRScheduler | None = None
        self._plateau: ReduceLROnPlateau | None = None
        if training.schedule == "cosine":
            self._by_step = CosineAnnealingLR(optimizer, T_max=steps)
        elif training.schedule == "one_cycle":
            self._by_step = OneCycleLR(optimizer, max_lr=training.lr, total_steps=steps)
        elif training.schedule == "plateau":
            self._plateau = ReduceLROnPlateau(optimizer, patience=training.plateau_patience)

    @property
    def lr(self) -> float:
        return float(self.optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        self._left -= 1
        if self._by_step is not None and self._left > 0:
            self._by_step.step()

    def after_validation(self, loss: float) -> None:
        if self._plateau is not None:
            self._plateau.step(loss)

    def state_dict(self) -> dict[str, Any]:
        scheduler = self._by_step or self._plateau
        state = {} if scheduler is None else scheduler.state_dict()
        return {"left": self._left, "scheduler": {key: _to_json(value) for key, value in state.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._left = state["left"]
        scheduler = self._by_step or self._plateau
        if scheduler is not None:
            scheduler.load_state_dict({key: _from_json(value) for key, value in state["scheduler"].items()})


def _to_json(value: Any) -> Any:
    """JSON has no infinity, which is where the best loss of the plateau schedule starts."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _from_json(value: Any) -> Any:
    return float(value) if value in ("inf", "-inf", "nan") else value
