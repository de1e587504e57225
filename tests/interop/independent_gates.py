"""Gates of the zoo computed a second time, as `tests.interop.independent` does: from papers and descriptions of the public
code, over its names, in plain functions. Nothing here uses attnlab; convolutions are sums of shifted maps.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.interop.independent import State, batch_norm

TOP = [
    (0, 0),
    (0, 1),
    (6, 0),
    (0, 5),
    (0, 2),
    (1, 0),
    (1, 2),
    (4, 0),
    (5, 0),
    (1, 6),
    (3, 0),
    (0, 4),
    (0, 6),
    (0, 3),
    (3, 5),
    (2, 2),
]
"""The sixteen frequencies of FcaNet's ``top16``, in its order."""


def conv(x: Tensor, state: State, at: str, *, dilation: int = 1) -> Tensor:
    """A convolution that keeps the size, over all channels or depthwise, as the weight's shape says."""
    weight, bias = state[f"{at}.weight"], state.get(f"{at}.bias")
    height, width = x.shape[2:]
    reach = [side // 2 * dilation for side in weight.shape[2:]]
    padded = x.new_zeros(*x.shape[:2], height + 2 * reach[0], width + 2 * reach[1])
    padded[:, :, reach[0] : reach[0] + height, reach[1] : reach[1] + width] = x
    depthwise = weight.shape[1] == 1 and x.shape[1] > 1
    total = torch.zeros((), dtype=x.dtype)
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            shifted = padded[:, :, i * dilation : i * dilation + height, j * dilation : j * dilation + width]
            tap = weight[:, :, i, j]
            total = total + (shifted * tap[:, 0, None, None] if depthwise else torch.einsum("bihw,oi->bohw", shifted, tap))
    return total if bias is None else total + bias[:, None, None]


def linear(x: Tensor, state: State, at: str) -> Tensor:
    """(B, in) -> (B, out); the weight may be that of a 1x1 convolution."""
    y = x @ state[f"{at}.weight"].flatten(1).T
    return y + state[f"{at}.bias"] if f"{at}.bias" in state else y


def sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def mean(x: Tensor) -> Tensor:
    """(B, C)."""
    return x.sum(dim=(2, 3)) / (x.shape[2] * x.shape[3])


def relu(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def coordinate(x: Tensor, state: State, *, train: bool = False) -> Tensor:
    """Row means above column means in one column; h-swish; a gate for each half."""
    height, width = x.shape[2:]
    rows, columns = x.sum(dim=3) / width, x.sum(dim=2) / height
    strip = torch.cat([rows, columns], dim=2)[..., None]
    hidden = batch_norm(conv(strip, state, "conv1"), state, "bn1", train=train)
    hidden = hidden * (hidden + 3).clamp(0, 6) / 6
    by_row = sigmoid(conv(hidden[:, :, :height], state, "conv_h"))[..., 0]
    by_column = sigmoid(conv(hidden[:, :, height:], state, "conv_w"))[..., 0]
    return x * by_column[:, :, None, :] * by_row[:, :, :, None]


def bam(x: Tensor, state: State, *, train: bool = False, merge: str = "product", last_norm: bool = False) -> Tensor:
    """Jongchan's way; with ``sum`` and ``last_norm`` the paper's, whose last batch norms have names of ours."""
    channel = linear(mean(x), state, "channel_att.gate_c.gate_c_fc_0")
    channel = relu(batch_norm(channel, state, "channel_att.gate_c.gate_c_bn_1", train=train))
    channel = linear(channel, state, "channel_att.gate_c.gate_c_fc_final")
    spatial = x
    for layer, norm, dilation in (("conv_reduce0", "bn_reduce0", 1), ("conv_di_0", "bn_di_0", 4), ("conv_di_1", "bn_di_1", 4)):
        spatial = conv(spatial, state, f"spatial_att.gate_s.gate_s_{layer}", dilation=dilation)
        spatial = relu(batch_norm(spatial, state, f"spatial_att.gate_s.gate_s_{norm}", train=train))
    spatial = conv(spatial, state, "spatial_att.gate_s.gate_s_conv_final")
    if last_norm:
        channel = batch_norm(channel, state, "channel.4", train=train)
        spatial = batch_norm(spatial, state, "spatial.10", train=train)
    channel = channel[:, :, None, None]
    return x + x * sigmoid(channel * spatial if merge == "product" else channel + spatial)


def triplet(x: Tensor, state: State, *, train: bool = False) -> Tensor:
    """Each branch on its own turned copy: pool the first side, convolve, gate, turn back; then the mean."""
    turns = {"cw": (0, 2, 1, 3), "hc": (0, 3, 2, 1), "hw": (0, 1, 2, 3)}  # each is its own inverse
    copies = []
    for branch, turn in turns.items():
        if f"{branch}.conv.conv.weight" in state:
            turned = x.permute(turn)
            pooled = torch.stack([turned.max(dim=1).values, turned.sum(dim=1) / turned.shape[1]], dim=1)
            scores = conv(pooled, state, f"{branch}.conv.conv")
            gate = sigmoid(batch_norm(scores, state, f"{branch}.conv.bn", train=train, momentum=0.01))
            copies.append((turned * gate).permute(turn))
    return torch.stack(copies).sum(dim=0) / len(copies)


def srm(x: Tensor, state: State, *, train: bool = False) -> Tensor:
    """Two numbers per channel; the variance over N - 1."""
    count = x.shape[2] * x.shape[3]
    means = mean(x)
    variance = (x - means[:, :, None, None]).pow(2).sum(dim=(2, 3)) / max(count - 1, 1)
    style = state["cfc"][:, 0] * means + state["cfc"][:, 1] * torch.sqrt(variance + 1e-5)
    return x * sigmoid(batch_norm(style[:, :, None, None], state, "bn", train=train))


def fca(x: Tensor, state: State, size: tuple[int, int]) -> Tensor:
    """The map is averaged to ``size`` by windows that may overlap, and summed against one cosine for each group of channels."""
    height, width = x.shape[2:]
    groups = torch.arange(x.shape[1]).reshape(len(TOP), -1)
    numbers = torch.zeros(x.shape[:2], dtype=x.dtype)
    for i in range(size[0]):
        top, bottom = i * height // size[0], -(-(i + 1) * height // size[0])
        for j in range(size[1]):
            left, right = j * width // size[1], -(-(j + 1) * width // size[1])
            window = x[:, :, top:bottom, left:right].mean(dim=(2, 3))
            weights = torch.zeros(x.shape[1], dtype=torch.float32)  # the public code keeps them in single precision
            for group, (u, v) in zip(groups, TOP, strict=True):
                u, v = u * (size[0] // 7), v * (size[1] // 7)
                cosine = math.cos(math.pi * u * (i + 0.5) / size[0]) * math.cos(math.pi * v * (j + 0.5) / size[1])
                weights[group] = cosine * math.sqrt((2 if u else 1) * (2 if v else 1) / (size[0] * size[1]))
            numbers = numbers + window * weights
    gate = sigmoid(linear(relu(linear(numbers, state, "fc.0")), state, "fc.2"))
    return x * gate[:, :, None, None]


def simam(x: Tensor, e_lambda: float) -> Tensor:
    """Image by image and channel by channel."""
    y = torch.empty_like(x)
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            square = (x[i, c] - x[i, c].sum() / x[i, c].numel()) ** 2
            energy = square / (4 * (square.sum() / max(x[i, c].numel() - 1, 1) + e_lambda)) + 0.5
            y[i, c] = x[i, c] * sigmoid(energy)
    return y


def global_context(x: Tensor, state: State) -> Tensor:
    """GCNet's context block with what its state holds: a mask or the mean, a scale, an addition."""
    if "conv_mask.weight" in state:
        scores = conv(x, state, "conv_mask").flatten(1)
        weights = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
        weights = (weights / weights.sum(dim=1, keepdim=True)).view(len(x), 1, *x.shape[2:])
        context = (x * weights).sum(dim=(2, 3))
    else:
        context = mean(x)

    def transform(at: str) -> Tensor:
        hidden = linear(context, state, f"{at}.0")
        centred = hidden - hidden.mean(dim=1, keepdim=True)
        hidden = centred / torch.sqrt(centred.pow(2).mean(dim=1, keepdim=True) + 1e-5)
        hidden = hidden * state[f"{at}.1.weight"].flatten() + state[f"{at}.1.bias"].flatten()
        return linear(relu(hidden), state, f"{at}.3")[:, :, None, None]

    y = x * sigmoid(transform("channel_mul_conv")) if "channel_mul_conv.0.weight" in state else x
    return y + transform("channel_add_conv") if "channel_add_conv.0.weight" in state else y


def scse(x: Tensor, state: State) -> Tensor:
    """Two gated copies, added."""
    channel = sigmoid(linear(relu(linear(mean(x), state, "cSE.1")), state, "cSE.3"))
    return x * channel[:, :, None, None] + x * sigmoid(conv(x, state, "sSE.0"))


def gather_excite(x: Tensor, state: State, extent: int, *, train: bool = False) -> Tensor:
    """A learned gather: convolutions of stride 2, of which every second value is kept, or one weight per position."""
    if extent:
        gathered, steps = x, int(math.log2(extent))
        for step in range(1, steps + 1):
            gathered = conv(gathered, state, f"gather.conv{step}")[:, :, ::2, ::2]
            gathered = batch_norm(gathered, state, f"gather.norm{step}", train=train)
            gathered = relu(gathered) if step < steps else gathered
    else:
        gathered = (x * state["gather.conv1.weight"][:, 0]).sum(dim=(2, 3), keepdim=True)
        gathered = batch_norm(gathered, state, "gather.norm1", train=train)
    scores = conv(relu(conv(gathered, state, "mlp.fc1")), state, "mlp.fc2")
    rows = torch.arange(x.shape[2]) * scores.shape[2] // x.shape[2]
    columns = torch.arange(x.shape[3]) * scores.shape[3] // x.shape[3]
    return x * sigmoid(scores[:, :, rows][:, :, :, columns])


def gct(x: Tensor, state: State, norm: str = "l2") -> Tensor:
    """Channel by channel: its norm against those of all channels, through tanh, around 1."""
    alpha, gamma, beta = (state[name].flatten() for name in ("alpha", "gamma", "beta"))
    images = []
    for image in x:
        if norm == "l2":
            energy = torch.stack([a * torch.sqrt((c * c).sum() + 1e-5) for a, c in zip(alpha, image, strict=True)])
            total = torch.sqrt((energy * energy).sum() / len(energy) + 1e-5)
        else:
            sums = [c.sum() if norm == "l1 after relu" else c.abs().sum() for c in image]
            energy = torch.stack([a * each for a, each in zip(alpha, sums, strict=True)])
            total = energy.abs().sum() / len(energy) + 1e-5
        factors = [1 + torch.tanh(e * g / total + b) for e, g, b in zip(energy, gamma, beta, strict=True)]
        images.append(torch.stack([factor * c for factor, c in zip(factors, image, strict=True)]))
    return torch.stack(images)


def large_kernel(x: Tensor, state: State) -> Tensor:
    """Depthwise near, depthwise far with gaps of three, then all channels."""
    return x * conv(conv(conv(x, state, "conv0"), state, "conv_spatial", dilation=3), state, "conv1")
