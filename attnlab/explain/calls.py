"""What goes into and comes out of modules during one forward."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attnlab.attention import OnCall, evaluating, reported_calls


def observe_calls(model: nn.Module, x: Tensor, modules: Mapping[str, nn.Module], on_call: OnCall) -> None:
    """Runs one forward in evaluation mode and reports every call of some modules, see `attnlab.attention.reported_calls`.

    Args:
        x: normalised images (B, C, H, W), on any device.
        modules: parts of ``model``, by any name.
    """
    weight = next(model.parameters(), None)
    with reported_calls(modules, on_call), evaluating(model), torch.inference_mode():
        model(x if weight is None else x.to(weight.device))
