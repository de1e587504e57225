"""What goes into attention blocks: the feature maps that their weights are about to multiply."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn

from attnlab.data import normalise
from attnlab.explain.calls import observe_calls
from attnlab.maps import tap_of


def features_before(
    model: nn.Module, images: Tensor, mean: Sequence[float], std: Sequence[float], taps: Collection[str]
) -> dict[str, Tensor]:
    """All channels that enter the blocks of some taps, from one forward.

    Args:
        images: uint8 (B, C, H, W) of the size the network was made for.
        mean, std: per channel, on images in [0, 1].
        taps: names of maps, as in `attnlab.attention.AttentionMap.name`.

    Returns:
        tap -> float32 (B, C, h, w) on the CPU. A tap whose block does not take one feature map is left out.
    """
    features: dict[str, Tensor] = {}

    def keep(tap: str, entering: Tensor, output: Tensor) -> None:
        if entering.ndim == 4:
            features[tap] = entering.detach().float().cpu()

    blocks = {tap: model.get_submodule(tap_of(tap).rpartition(".")[0]) for tap in taps}
    observe_calls(model, normalise(images, tuple(mean), tuple(std)), blocks, keep)
    return features
