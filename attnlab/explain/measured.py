"""Networks measured side by side: what they cost, and what the maps of their trainings find."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from attnlab.config import ModelConfig
from attnlab.explain.cost import measure_networks
from attnlab.explain.honesty.confirm import confirm
from attnlab.models import ImageShape
from attnlab.runs.folder import RunFolder
from attnlab.runs.measured import Measured
from attnlab.training.device import describe_device

BATCH = 32
IMAGES = 100
"""Test images on which maps are confirmed, and at most so many validation images on which they are chosen."""


def measure_side_by_side(
    networks: Mapping[str, ModelConfig],
    shape: ImageShape,
    classes: int,
    trained: Mapping[str, Mapping[int, RunFolder]],
    *,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """What networks cost per image, and what is found of their maps.

    Of each group the first seed chooses among the maps of the network, and the others confirm the choice, see
    `attnlab.explain.honesty.confirm.confirm`.

    Args:
        networks: group of runs -> network.
        trained: group of runs -> seed -> a run of it that has weights. Seeds that not all groups have are left out.
        tell: called with the pieces of work done, and those in all.
    """
    rounds = 10
    total = rounds + len(trained)
    costs = measure_networks(networks, shape, classes, batch=BATCH, rounds=rounds - 1, tell=lambda done, of: tell(done, total))
    seeds = sorted(set.intersection(*(set(runs) for runs in trained.values()))) if trained else []
    maps = None
    if len(seeds) > 1:
        done = iter(range(rounds, total + 1))
        maps = confirm(
            trained, choosing=seeds[:1], confirming=seeds[1:], images=IMAGES, on_group=lambda name: tell(next(done), total)
        )
    tell(total, total)
    return Measured(machine=describe_device(torch.device("cpu")), batch=BATCH, costs=costs, maps=maps)
