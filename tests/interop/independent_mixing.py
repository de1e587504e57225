"""Blocks that mix positions or channels, computed position by position from their papers and public descriptions.

Nothing here is shared with attnlab. ``state`` holds the weights by the names of the public code.
"""

from __future__ import annotations

import torch
from torch import Tensor

State = dict[str, Tensor]


def _mix(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution, as a sum over channels."""
    y = torch.einsum("oc,bchw->bohw", weight.reshape(weight.shape[0], -1), x)
    return y if bias is None else y + bias[None, :, None, None]


def _softmax(scores: Tensor) -> Tensor:
    powers = (scores - scores.max()).exp()
    return powers / powers.sum()


def _batch_norm(x: Tensor, state: State, name: str, train: bool) -> Tensor:
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    if train:
        count = x.numel() / x.shape[1]
        batch_mean, batch_var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), unbiased=False)
        with torch.no_grad():
            mean.mul_(0.9).add_(0.1 * batch_mean)
            var.mul_(0.9).add_(0.1 * batch_var * count / (count - 1))
            state[f"{name}.num_batches_tracked"].add_(1)
        mean, var = batch_mean, batch_var
    shift = (x - mean[None, :, None, None]) / (var + 1e-5).sqrt()[None, :, None, None]
    return shift * state[f"{name}.weight"][None, :, None, None] + state[f"{name}.bias"][None, :, None, None]


def external(x: Tensor, state: State, *, train: bool) -> Tensor:
    """EANet's block: a softmax over the positions for each slot, then shares of the slots at each position."""
    f = _mix(x, state["conv1.weight"], state["conv1.bias"])
    out = []
    for image in f:
        c, height, width = image.shape
        columns = [image[:, row, column] for row in range(height) for column in range(width)]
        slots = [_softmax(torch.stack([key[:, 0] @ each for each in columns])) for key in state["linear_0.weight"]]
        values = state["linear_1.weight"][:, :, 0].unbind(dim=1)
        read = []
        for place in range(len(columns)):
            total = 1e-9 + sum(slot[place] for slot in slots)
            read.append(sum(slot[place] / total * value for slot, value in zip(slots, values, strict=True)))
        out.append(torch.stack(read, dim=1).view(c, height, width))
    y = _batch_norm(_mix(torch.stack(out), state["conv2.0.weight"]), state, "conv2.1", train)
    return torch.relu(y + x)


def double_attention(x: Tensor, state: State, *, train: bool, over_descriptors: bool, residual: bool) -> Tensor:
    """A2-Nets: descriptors by a softmax over the positions, handed out by one over descriptors or over positions."""
    a, b, v = (_mix(x, state[f"conv{one}.weight"], state[f"conv{one}.bias"]).flatten(2) for one in "ABV")
    out = []
    for features, gather, spread in zip(a, b, v, strict=True):
        descriptors = [sum(w * f for w, f in zip(_softmax(row), features.unbind(1), strict=True)) for row in gather]
        shares = [_softmax(part) for part in (spread.unbind(1) if over_descriptors else spread)]
        places = []
        for place in range(spread.shape[1]):
            weights = shares[place] if over_descriptors else [share[place] for share in shares]
            places.append(sum(w * g for w, g in zip(weights, descriptors, strict=True)))
        out.append(torch.stack(places, dim=1))
    z = torch.stack(out).view(len(x), -1, *x.shape[2:])
    y = _mix(z, state["conv_reconstruct.weight"], state["conv_reconstruct.bias"])
    return x + y if residual else y


def dual(x: Tensor, state: State, *, train: bool, reversed_scores: bool) -> Tensor:
    """DANet's two modules on the same input, which is counted once."""
    q, k, v = (
        _mix(x, state[f"sa.{one}_conv.weight"], state[f"sa.{one}_conv.bias"]).flatten(2) for one in ("query", "key", "value")
    )
    out = []
    for number, image in enumerate(x.flatten(2)):
        gathered = []
        for place in range(image.shape[1]):
            weights = _softmax(torch.stack([q[number, :, place] @ key for key in k[number].unbind(1)]))
            gathered.append(sum(w * value for w, value in zip(weights, v[number].unbind(1), strict=True)))
        mixed = []
        for channel in image:
            scores = torch.stack([channel @ other for other in image])
            weights = _softmax(scores.max() - scores if reversed_scores else scores)
            mixed.append(sum(w * other for w, other in zip(weights, image, strict=True)))
        out.append(image + state["sa.gamma"] * torch.stack(gathered, dim=1) + state["sc.gamma"] * torch.stack(mixed))
    return torch.stack(out).view_as(x)


def halo(x: Tensor, state: State, *, train: bool, heads: int, block: int, halo: int) -> Tensor:
    """HaloNet query by query. Places outside the map have keys and values of zero and are not left out."""
    query, kv = _mix(x, state["q.weight"]), _mix(x, state["kv.weight"])
    height, width = x.shape[2:]
    d = query.shape[1] // heads
    v = kv.shape[1] // heads - d
    window = block + 2 * halo
    parts = []
    for head in range(heads):
        q = query[:, head * d : (head + 1) * d]
        keys, values = kv[:, head * (d + v) : (head + 1) * (d + v)].split([d, v], dim=1)
        rows = []
        for y in range(height):
            row = []
            for across in range(width):
                own, scores, found = q[:, :, y, across], [], []
                top, left = y // block * block - halo, across // block * block - halo
                for i in range(window):
                    for j in range(window):
                        apart = (
                            state["pos_embed.height_rel"][i - y % block + window - 1]
                            + state["pos_embed.width_rel"][j - across % block + window - 1]
                        )
                        inside = 0 <= top + i < height and 0 <= left + j < width
                        fit = (own * keys[:, :, top + i, left + j]).sum(dim=1) / d**0.5 if inside else 0
                        scores.append(own @ apart + fit)
                        found.append(values[:, :, top + i, left + j] if inside else torch.zeros_like(values[:, :, 0, 0]))
                powers = torch.stack(scores, dim=1).exp()
                row.append(torch.einsum("bk,bvk->bv", powers / powers.sum(dim=1, keepdim=True), torch.stack(found, dim=2)))
            rows.append(torch.stack(row, dim=2))
        parts.append(torch.stack(rows, dim=2))
    return torch.cat(parts, dim=1)
