"""Tokens on their way through the layers: what each would be classified as, and how long it is.

    patch_logits  the head of the network, applied to each token after each layer, head(norm(x_l)) ("logit lens",
                  nostalgebraist 2020; of patches, ViT-Prisma). The head was trained for what is classified after the last
                  layer, so what it says of earlier layers and of patches is a reading, not what the network decides.
    token_norms   the Euclidean length of each token after each layer; a few very long patches are a sign of tokens that
                  serve as registers (Darcet et al., ICLR 2024, arXiv:2309.16588)

A network offers these readings by a method `token_parts`, see `attnlab.models.TokenParts`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from attnlab.attention import evaluating, reported_calls
from attnlab.models import TokenParts


def token_states(model: nn.Module, x: Tensor, parts: TokenParts) -> Tensor:
    """The tokens after each layer, before the final norm: (layers, B, N, D). Takes one forward.

    Args:
        x: normalised images (B, C, H, W).

    Raises:
        ValueError: when a layer does not return tokens (B, N, D), or does not run once.
    """
    states: dict[str, Tensor] = {}

    def keep(name: str, entering: Tensor, leaving: Tensor) -> None:
        states[name] = leaving.detach()

    blocks = {str(index): block for index, block in enumerate(parts.blocks)}
    with reported_calls(blocks, keep), evaluating(model), torch.inference_mode():
        model(x)
    if list(states) != list(blocks) or any(state.ndim != 3 for state in states.values()):
        raise ValueError("the layers of this network do not return tokens (B, N, D)")
    return torch.stack(list(states.values()))


def patch_logits(states: Tensor, parts: TokenParts, grid: tuple[int, int]) -> Tensor:
    """The logits of each patch after each layer: (layers, B, H, W, classes).

    Args:
        states: as `token_states` gives them. grid: (H, W) of the patches, which are the last H * W tokens.
    """
    with torch.inference_mode():
        logits: Tensor = parts.head(parts.norm(states[:, :, -grid[0] * grid[1] :]))
    return logits.unflatten(2, grid)


def token_norms(states: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """How long each token is after each layer: (layers, B, P) of tokens without a position, (layers, B, H, W) of patches."""
    norms = states.norm(dim=-1)
    patches = grid[0] * grid[1]
    return norms[:, :, :-patches], norms[:, :, -patches:].unflatten(2, grid)
