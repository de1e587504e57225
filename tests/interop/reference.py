"""State dicts under the reference implementations' names and shapes, filled with random weights."""

import json
import math
from pathlib import Path

import torch
from torch import Tensor

KEYS: dict[str, dict] = json.loads((Path(__file__).parent / "reference_state_dicts.json").read_text())


def random_state_dict(network: str) -> dict[str, Tensor]:
    """Weights of the order that initialisation gives, so that logits are of order one; running variances are positive."""
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}
    for name, shape in KEYS[network]["state_dict"]:
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
            continue
        value = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            value = value.abs() + 0.5
        elif len(shape) >= 2:
            value *= math.sqrt(2 / math.prod(shape[1:]))
        elif name.endswith("weight"):
            value = 1 + 0.2 * value  # of a batch norm
        else:
            value *= 0.1
        state[name] = value
    return state


def random_input(network: str) -> Tensor:
    return torch.randn(KEYS[network]["inputs"][0], generator=torch.Generator().manual_seed(1))
