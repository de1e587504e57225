"""What goes into attention blocks: the feature maps that their weights are about to multiply."""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from attnlab.data import normalise
from attnlab.maps import tap_of
from attnlab.training.modes import evaluating


def features_before(
    model: nn.Module, images: Tensor, mean: Sequence[float], std: Sequence[float], taps: Collection[str]
) -> dict[str, Tensor]:
    """All channels that enter the blocks of some taps, from one forward.

    Args:
        images: uint8 (B, C, H, W) of the size the network was made for.
        taps: names of maps, as in `attnlab.attention.AttentionMap.name`.

    Returns:
        tap -> float32 (B, C, h, w) on the CPU. A tap whose block does not take one feature map is left out.
    """
    found: dict[str, Tensor] = {}
    here = threading.get_ident()

    def keep(tap: str, module: nn.Module, given: tuple[object, ...]) -> None:
        if threading.get_ident() != here:  # the network is shared: another thread's forward is not of these images
            return
        if given and isinstance(given[0], Tensor) and given[0].ndim == 4:
            found[tap] = given[0].detach().float().cpu()

    x = normalise(images, tuple(mean), tuple(std)).to(next(model.parameters()).device)
    with ExitStack() as hooks:
        for tap in taps:
            block = model.get_submodule(tap_of(tap).rpartition(".")[0])
            hooks.callback(block.register_forward_pre_hook(partial(keep, tap)).remove)
        with evaluating(model), torch.inference_mode():
            model(x)
    return found
