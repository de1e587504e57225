"""Which tokens the score of one class depends on, by gradients with respect to the attention of every layer.

    relevance         Chefer, Gur and Wolf, ICCV 2021, arXiv:2103.15679, for self-attention alone:
                      E_l = mean over heads of relu(dS/dA_l * A_l)       R_l = R_(l-1) + E_l R_(l-1),  R_0 = I
    gradient rollout  Gildenblat's variant of attention rollout: F_l = relu(mean over heads of dS/dA_l * A_l), then the product
                      of F_l + I with rows that sum to 1 (in his code they do not, see `rollout`)

Row q says from where token q at the end has what speaks for the class. dS/dA is the gradient of the score with respect to each
weight of each head, all else as the network makes it: what follows from the weight in later layers counts, also through their
queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionMap, edit_attention, evaluating, with_cells
from attnlab.explain.transformers.layers import TokenLayers, token_layers
from attnlab.explain.transformers.rollout import with_residual
from attnlab.geometry import Cells
from attnlab.maps import MapKind


def attention_gradients(
    model: nn.Module, x: Tensor, score: Callable[[Tensor], Tensor]
) -> tuple[tuple[AttentionMap, ...], tuple[Tensor, ...]]:
    """All attention maps of one forward, and the gradient of a score with respect to each.

    A block may go a faster way that does not use the weights it shows (`attnlab.attention.record_attention`), so a recording
    has no gradient. An edit that returns the same weights in a tensor of its own makes the block use it.

    Args:
        x: normalised images (B, C, H, W).
        score: the network's output -> one number per image (B,), or their sum; images must not depend on each other.

    Returns:
        Maps with detached values, and for each the gradient, of the same shape; 0 where the score does not depend on a map.
    """
    seen: list[AttentionMap] = []

    def keep(attention: AttentionMap) -> Tensor:
        own = attention.values.clone()
        if not own.requires_grad:
            own.requires_grad_()
        seen.append(replace(attention, values=own))
        return own

    with torch.inference_mode(False), torch.enable_grad(), evaluating(model), edit_attention(model, keep):
        total = score(model(x.clone())).sum()
        weights = [each.values for each in seen]
        found = torch.autograd.grad(total, weights, allow_unused=True) if weights and total.requires_grad else ()
    gradients = found or [None] * len(seen)
    return (
        tuple(replace(each, values=each.values.detach()) for each in seen),
        tuple(
            torch.zeros_like(each.values) if gradient is None else gradient.detach()
            for each, gradient in zip(seen, gradients, strict=True)
        ),
    )


def layers_with_gradients(
    model: nn.Module, x: Tensor, score: Callable[[Tensor], Tensor], cells: Mapping[str, Cells] | None = None
) -> tuple[TokenLayers | None, tuple[Tensor, ...]]:
    """The layers of a transformer, which know what of their tokens is read, and the gradient of a score for each.

    Arguments of `attention_gradients`, and where the maps lie, see `attnlab.attention.locate_maps`.

    Returns:
        Layers, `None` where the network is no transformer, and for each layer the gradient (B, heads, N, N).
    """
    maps, gradients = attention_gradients(model, x, score)
    layers = token_layers([with_cells(each, cells or {}) for each in maps])
    if layers is None:
        return None, ()
    of_heads = [gradient for each, gradient in zip(maps, gradients, strict=True) if each.kind is MapKind.PAIRWISE]
    parts = torch.stack(of_heads, dim=1).split([each.shape[1] for each in layers.weights], dim=1)
    return replace(layers, read=tokens_read(layers, parts)), tuple(parts)


def tokens_read(layers: TokenLayers, gradients: Sequence[Tensor]) -> Tensor:
    """How much of each token the classifier reads after the last layer, (B, N): those whose attention there changes the score.

    Tokens count alike, unless the network shows how it pools them. So a class token is told from registers, and from one that
    is there though the mean of the patches is read. Where no attention there changes the score, `TokenLayers.read` stays.

    Args:
        gradients: of a score with respect to the attention of each layer, (B, heads, N, N).
    """
    changes = (gradients[-1] != 0).any(dim=-1).any(dim=1)
    if layers.pooled or not changes.any(dim=1).all():
        return layers.read
    return changes / changes.sum(dim=1, keepdim=True)


def class_relevance(layers: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Chefer's relevance of each token at the start for each token at the end: (B, N, N), never negative.

    Args:
        layers: attention of each layer, the first one first, (B, heads, N, N).
        gradients: of the class's score with respect to it, of the same shapes.
    """
    first = layers[0]
    relevance = torch.eye(first.shape[-1], dtype=first.dtype, device=first.device).expand(len(first), -1, -1)
    for weights, gradient in zip(layers, gradients, strict=True):
        relevance = relevance + (weights * gradient).clamp_min(0).mean(dim=1) @ relevance
    return relevance


def gradient_rollout(layers: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
    """Attention rollout with weights that count as much as they speak for the class: (B, N, N), rows sum to 1.

    Arguments of `class_relevance`.
    """
    joint: Tensor | None = None
    for weights, gradient in zip(layers, gradients, strict=True):
        mixed = with_residual((weights * gradient).mean(dim=1).clamp_min(0))
        joint = mixed if joint is None else mixed @ joint
    assert joint is not None
    return joint
