"""Which tokens the score of one class depends on, by gradients with respect to the attention of every layer.

    relevance         Chefer, Gur and Wolf, ICCV 2021, arXiv:2103.15679, for self-attention alone:
                      E_l = mean over heads of relu(dS/dA_l * A_l)       R_l = R_(l-1) + E_l R_(l-1),  R_0 = I
    gradient rollout  Gildenblat's variant of attention rollout: F_l = relu(mean over heads of dS/dA_l * A_l), then the product
                      of F_l + I with rows that sum to 1 (in his code they do not, see `rollout`)
    LeGrad            Bousselham, Boggust, Chaybouti, Strobelt and Kuehne 2024, arXiv:2404.03214:
                      E_k = mean over layers l, heads and queries q of relu(dS_l/dA_l[q, k])

In LeGrad S_l is the score that the classifier gives the class by the tokens after layer l, as if it were the last one, so it
says nothing of a query but how much more weight on each key would raise the score. Departures: a network that does not tell
how it classifies tokens (`attnlab.models.TokenParts`), as those of others, is asked by its own score S for every layer; the
map is not stretched to [0, 1] image by image; attention that pools the tokens, as in `cct`, counts through the score alone.

Of the first two, row q says from where token q at the end has what speaks for the class. dS/dA is the gradient of the score
with respect to each weight of each head, all else as the network makes it: what follows from the weight in later layers counts,
also through their queries and keys.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionMap, edit_attention, evaluating, reported_calls, with_cells
from attnlab.explain.transformers.layers import TokenLayers, token_layers
from attnlab.explain.transformers.rollout import with_residual
from attnlab.geometry import Cells
from attnlab.maps import MapKind
from attnlab.models import TokenParts


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
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        output, seen = _with_graph(model, x)
        gradients = _gradients(score(output).sum(), seen)
    return tuple(replace(each, values=each.values.detach()) for each in seen), gradients


def own_score_gradients(
    model: nn.Module, x: Tensor, score: Callable[[Tensor], Tensor], parts: TokenParts
) -> tuple[Tensor, ...]:
    """Of each layer (B, heads, N, N): the gradient of the score that the classifier gives by the tokens after this layer.

    Args:
        x, score: as of `attention_gradients`.

    Raises:
        ValueError: when a layer does not return tokens (B, N, D), or makes no map between them.
    """
    with torch.inference_mode(False), torch.enable_grad(), evaluating(model):
        states: list[Tensor] = []
        before: list[int] = []  # how many maps there are after each layer

        def keep(name: str, entering: Tensor, leaving: Tensor) -> None:
            states.append(leaving)
            before.append(len(seen))

        seen: list[AttentionMap] = []
        with reported_calls({str(index): block for index, block in enumerate(parts.blocks)}, keep):
            _with_graph(model, x, seen)
        found = []
        for state, first, last in zip(states, [0, *before], before, strict=False):
            heads = [each for each in seen[first:last] if each.kind is MapKind.PAIRWISE]
            if state.ndim != 3 or not heads:
                raise ValueError("the layers of this network do not return tokens (B, N, D) that attend to each other")
            found.append(torch.stack(_gradients(score(parts.classify(state)).sum(), heads), dim=1))
    return tuple(found)


def _with_graph(model: nn.Module, x: Tensor, seen: list[AttentionMap] | None = None) -> tuple[Tensor, list[AttentionMap]]:
    """What the network returns, and its maps, of whose values it is made. ``seen`` is filled while it runs."""
    maps: list[AttentionMap] = [] if seen is None else seen

    def keep(attention: AttentionMap) -> Tensor:
        own = attention.values.clone()
        if not own.requires_grad:
            own.requires_grad_()
        maps.append(replace(attention, values=own))
        return own

    with edit_attention(model, keep, required=False):
        return model(x.clone()), maps


def _gradients(total: Tensor, maps: Sequence[AttentionMap]) -> tuple[Tensor, ...]:
    """Of a number with respect to the values of some maps; 0 where it does not depend on them."""
    weights = [each.values for each in maps]
    found: Sequence[Tensor | None] = [None] * len(maps)
    if weights and total.requires_grad:
        found = torch.autograd.grad(total, weights, allow_unused=True, retain_graph=True)
    return tuple(
        torch.zeros_like(each) if gradient is None else gradient.detach() for each, gradient in zip(weights, found, strict=True)
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


def legrad(gradients: Sequence[Tensor]) -> Tensor:
    """How much more weight on each token would raise the score, over all layers, heads and queries: (B, N), never negative.

    Args:
        gradients: of each layer (B, heads, N, N), as `own_score_gradients` or, without the parts, `attention_gradients` give
            them.
    """
    return torch.stack([each.clamp_min(0).mean(dim=(1, 2)) for each in gradients]).mean(dim=0)
