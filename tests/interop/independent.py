"""The public networks and blocks computed a second time: from the descriptions of their code, over its names, in plain
functions. Nothing here uses attnlab, so it can be compared with it.

A state is a dict of tensors under the reference's names. In training mode batch norm normalises by the batch and changes
the running statistics of the state, and dropout draws from the default generator.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

State = dict[str, Tensor]
AUTOENCODER_LAST = {32: (2, 1, 1), 30: (3, 3, 0), 15: (4, 1, 2), 13: (4, 1, 1)}
"""Stride, padding and output padding of the last layer of the convolutional autoencoder, by the width of the map."""


def batch_norm(x: Tensor, state: State, at: str, *, train: bool = False, momentum: float = 0.1) -> Tensor:
    """Over all axes but the second; eps 1e-5."""
    mean, variance = state[f"{at}.running_mean"], state[f"{at}.running_var"]
    if train:
        axes = [axis for axis in range(x.dim()) if axis != 1]
        count = x.numel() // x.shape[1]
        new_mean, new_variance = x.mean(axes), x.var(axes, unbiased=False)
        with torch.no_grad():
            mean.mul_(1 - momentum).add_(momentum * new_mean)
            variance.mul_(1 - momentum).add_(momentum * new_variance * count / (count - 1))
            state[f"{at}.num_batches_tracked"] += 1
        mean, variance = new_mean, new_variance
    shape = (1, -1, *[1] * (x.dim() - 2))
    scaled = (x - mean.view(shape)) / (variance.view(shape) + 1e-5).sqrt()
    return scaled * state[f"{at}.weight"].view(shape) + state[f"{at}.bias"].view(shape)


# Blocks


def eca(x: Tensor, state: State, at: str) -> Tensor:
    """A convolution along the channels of their means, padded with zeros."""
    weight = state[f"{at}conv.weight"]
    means = F.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(1, 2)  # (B, 1, C)
    gate = torch.sigmoid(F.conv1d(means, weight, padding=weight.shape[-1] // 2))
    return x * gate.transpose(1, 2).unsqueeze(-1)


def cbam_channel(x: Tensor, state: State, at: str) -> Tensor:
    """One MLP for the mean and the maximum of each channel."""

    def mlp(pooled: Tensor) -> Tensor:
        hidden = F.relu(F.linear(pooled.flatten(1), state[f"{at}mlp.1.weight"], state[f"{at}mlp.1.bias"]))
        return F.linear(hidden, state[f"{at}mlp.3.weight"], state[f"{at}mlp.3.bias"])

    scores = mlp(F.adaptive_avg_pool2d(x, 1)) + mlp(F.adaptive_max_pool2d(x, 1))
    return x * torch.sigmoid(scores)[:, :, None, None]


def cbam_spatial(x: Tensor, state: State, at: str, *, train: bool = False) -> Tensor:
    """A convolution over [max, mean] of the channels, then batch norm of momentum 0.01."""
    pooled = torch.stack([x.max(dim=1).values, x.mean(dim=1)], dim=1)
    weight = state[f"{at}conv.weight"]
    scores = F.conv2d(pooled, weight, padding=weight.shape[-1] // 2)
    return x * torch.sigmoid(batch_norm(scores, state, f"{at}bn", train=train, momentum=0.01))


def cbam(x: Tensor, state: State, at: str, *, train: bool = False) -> Tensor:
    """The channel part, then the spatial part."""
    return cbam_spatial(cbam_channel(x, state, f"{at}ChannelGate."), state, f"{at}SpatialGate.spatial.", train=train)


def conv_autoencoder(x: Tensor, state: State, at: str) -> Tensor:
    """Three convolutions and three transposed ones, for square maps of the published sides."""
    code = x
    for i in (0, 2, 4):
        code = F.relu(F.conv2d(code, state[f"{at}encoder.{i}.weight"], state[f"{at}encoder.{i}.bias"], stride=2, padding=1))
    for i in (0, 2, 4):
        stride, padding, output_padding = AUTOENCODER_LAST[x.shape[-1]] if i == 4 else (2, 1, 0)
        weight, bias = state[f"{at}decoder.{i}.weight"], state[f"{at}decoder.{i}.bias"]
        code = F.conv_transpose2d(code, weight, bias, stride=stride, padding=padding, output_padding=output_padding)
        code = torch.sigmoid(code) if i == 4 else F.relu(code)
    return x * code


def linear_autoencoder(x: Tensor, state: State, at: str) -> Tensor:
    """Six linear layers along the last axis; ReLU after all but the third, whose 12 numbers are the code, and the last."""
    code = x
    for half in ("encoder", "decoder"):
        for i in (0, 2, 4):
            code = F.linear(code, state[f"{at}{half}.{i}.weight"], state[f"{at}{half}.{i}.bias"])
            code = code if i == 4 else F.relu(code)
    return x * torch.sigmoid(code)


def self_attention(x: Tensor, state: State, at: str) -> Tensor:
    """Row n of the attention holds the weights of query n over all keys; the scores are not scaled."""
    query, key, value = (
        F.conv2d(x, state[f"{at}{part}_conv.weight"], state[f"{at}{part}_conv.bias"]).flatten(2)
        for part in ("query", "key", "value")
    )
    attention = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
    return state[f"{at}gamma"] * (value @ attention.transpose(1, 2)).view_as(x) + x


# The report


def _attend(x: Tensor, state: State, layer: str, place: int, train: bool) -> Tensor:
    if f"{layer}.eca{place}.conv.weight" in state:
        x = eca(x, state, f"{layer}.eca{place}.")
    if f"{layer}.ae{place}.encoder.0.weight" in state:
        linear = state[f"{layer}.ae{place}.encoder.0.weight"].dim() == 2
        x = (linear_autoencoder if linear else conv_autoencoder)(x, state, f"{layer}.ae{place}.")
    if place == 1 and f"{layer}.att.ChannelGate.conv.weight" in state:
        x = eca(x, state, f"{layer}.att.ChannelGate.")
    if place == 1 and f"{layer}.att.ChannelGate.mlp.1.weight" in state:
        x = cbam_channel(x, state, f"{layer}.att.ChannelGate.")
    if place == 1 and f"{layer}.att.SpatialGate.spatial.conv.weight" in state:
        x = cbam_spatial(x, state, f"{layer}.att.SpatialGate.spatial.", train=train)
    return x


def report_logits(x: Tensor, state: State, *, train: bool = False) -> Tensor:
    """Two blocks and the classifier, without the ReLU and softmax after it; a third block is never called."""
    for layer in ("layer1", "layer2"):
        for place, padding in ((1, 1), (2, 0)):
            x = F.conv2d(x, state[f"{layer}.conv{place}.weight"], state[f"{layer}.conv{place}.bias"], padding=padding)
            x = batch_norm(F.relu(_attend(x, state, layer, place, train)), state, f"{layer}.bn{place}", train=train)
        x = F.dropout2d(F.max_pool2d(x, 2), 0.25, training=train)
    hidden = F.relu(F.linear(x.flatten(1), state["fc1.weight"], state["fc1.bias"]))
    return F.linear(F.dropout(hidden, 0.5, training=train), state["fc2.weight"], state["fc2.bias"])


# Guided attention


def _convolutions(x: Tensor, state: State, block: str, count: int, train: bool, *, pooled: bool = False) -> Tensor:
    """``count`` times convolution, batch norm, ReLU (and pooling), over names numbered as in a sequence of layers."""
    for index in range(count):
        at = (4 if pooled else 3) * index
        x = F.conv2d(x, state[f"{block}.{at}.weight"], state[f"{block}.{at}.bias"], padding=1)
        x = F.relu(batch_norm(x, state, f"{block}.{at + 1}", train=train))
        x = F.max_pool2d(x, 2) if pooled else x
    return x


def _read(local: Tensor, scores: Tensor, normalize: str) -> Tensor:
    """Sum under softmax weights, mean under sigmoid weights, (B, C)."""
    if normalize == "softmax":
        weights = torch.softmax(scores.reshape(len(scores), -1), dim=-1).reshape(scores.shape)
        return torch.einsum("bchw,bohw->bc", local, weights)
    return (local * torch.sigmoid(scores)).mean(dim=(2, 3))


def learn_to_pay_attention(x: Tensor, state: State, pooling: str, normalize: str, *, train: bool = False) -> Tensor:
    """Logits of the concatenated readings; those of the plain network where the state has no attention."""
    x = _convolutions(_convolutions(x, state, "conv_block1.op", 2, train), state, "conv_block2.op", 2, train)
    local = []
    for block in (3, 4, 5):
        full = _convolutions(x, state, f"conv_block{block}.op", 3, train)
        x = F.max_pool2d(full, 2)
        local.append(full if pooling == "before" else x)
    x = _convolutions(x, state, "conv_block6.op", 2, train, pooled=True)
    guide = F.conv2d(x, state["dense.weight"], state["dense.bias"])
    if "attn1.op.weight" not in state:
        return F.linear(guide[:, :, 0, 0], state["classify.weight"], state["classify.bias"])
    local[0] = F.conv2d(local[0], state["projector.op.weight"])
    readings = [
        _read(one, F.conv2d(one + guide, state[f"attn{i}.op.weight"]), normalize) for i, one in enumerate(local, start=1)
    ]
    return F.linear(torch.cat(readings, dim=1), state["classify.weight"], state["classify.bias"])


def vgg16_with_gates(x: Tensor, state: State, normalize: str, *, train: bool = False) -> Tensor:
    """The melanoma article's network, without dropout."""
    pools = []
    for block, count in enumerate((2, 2, 3, 3, 3), start=1):
        x = F.max_pool2d(_convolutions(x, state, f"conv_block{block}", count, train), 2)
        pools.append(x)
    guide = pools[4]
    readings = [F.avg_pool2d(guide, guide.shape[2:])[:, :, 0, 0]]
    for gate, local, factor in ((1, pools[2], 4), (2, pools[3], 2)):
        directed = F.conv2d(guide, state[f"attn{gate}.W_g.weight"])
        directed = F.interpolate(directed, scale_factor=factor, mode="bilinear", align_corners=False)
        hidden = F.relu(F.conv2d(local, state[f"attn{gate}.W_l.weight"]) + directed)
        scores = F.conv2d(hidden, state[f"attn{gate}.phi.weight"], state[f"attn{gate}.phi.bias"])
        readings.append(_read(local, scores, normalize))
    return F.linear(torch.cat(readings, dim=1), state["cls.weight"], state["cls.bias"])


# Residual networks


def resnet_cifar(x: Tensor, state: State, *, train: bool = False) -> Tensor:
    """He et al. (2016), section 4.2, at depth 8: one residual block per stage, shortcuts of option A (no parameters)."""

    def conv(x: Tensor, at: str, stride: int = 1) -> Tensor:
        return F.conv2d(x, state[f"{at}.weight"], stride=stride, padding=1)

    x = F.relu(batch_norm(conv(x, "stem.0"), state, "stem.1", train=train))
    for stage in (1, 2, 3):
        at = f"layer{stage}.0"
        y = F.relu(batch_norm(conv(x, f"{at}.conv1", 1 if stage == 1 else 2), state, f"{at}.bn1", train=train))
        y = batch_norm(conv(y, f"{at}.conv2"), state, f"{at}.bn2", train=train)
        if stage > 1:
            x = x[:, :, ::2, ::2]
            x = torch.cat([x, torch.zeros_like(x)], dim=1)
        x = F.relu(x + y)
    return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), state["fc.weight"], state["fc.bias"])
