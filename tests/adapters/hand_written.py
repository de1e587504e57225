"""Blocks as people write them, without a thought of attnlab."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SequentialSE(nn.Sequential):
    """A gate that is a sequence of its parts, so that nothing can be put among them."""

    def __init__(self, channels: int) -> None:
        squeeze, excite = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)
        super().__init__(nn.AdaptiveAvgPool2d(1), squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x)


class ExpandedSE(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Linear(channels, 4), nn.Linear(4, channels)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(x.mean((2, 3))))))
        return x * gate[:, :, None, None].expand_as(x)


class InPlaceHardSE(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc(x.mean((2, 3), keepdim=True)).add_(3.0).clamp_(0.0, 6.0).div_(6.0)
        return x.clone().mul_(gate)


class Cbam(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Conv2d(channels, 4, 1), nn.ReLU(), nn.Conv2d(4, channels, 1))
        self.conv = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        x = x * torch.sigmoid(self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1)))
        return x * torch.sigmoid(self.conv(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))


class Bam(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * (1 + torch.sigmoid(self.channel(x.mean((2, 3), keepdim=True)) + self.spatial(x)))


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + x * torch.sigmoid(self.conv(x))


class Scse(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channel, self.spatial = nn.Conv2d(channels, channels, 1), nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.channel(x.mean((2, 3), keepdim=True))) + x * torch.sigmoid(self.spatial(x))


class Coordinate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 1)
        self.h, self.w = nn.Conv2d(8, channels, 1), nn.Conv2d(8, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        strips = torch.cat([x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)], 2)
        rows, columns = F.hardswish(self.conv(strips)).split([height, width], 2)
        return x * torch.sigmoid(self.h(rows)) * torch.sigmoid(self.w(columns.transpose(2, 3)))


class Triplet(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(2, 1, 7, padding=3) for _ in range(3))

    def gated(self, branch: int, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.convs[branch](torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)))

    def forward(self, x: Tensor) -> Tensor:
        first = self.gated(0, x.permute(0, 2, 1, 3).contiguous()).permute(0, 2, 1, 3)
        second = self.gated(1, x.permute(0, 3, 2, 1).contiguous()).permute(0, 3, 2, 1)
        return (first + second + self.gated(2, x)) / 3


class Sagan(nn.Module):
    """The weights stand on the right of the values, transposed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Conv2d(channels, 4, 1), nn.Conv2d(channels, 4, 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def weights(self, x: Tensor) -> Tensor:
        return torch.softmax(torch.bmm(self.query(x).flatten(2).permute(0, 2, 1), self.key(x).flatten(2)), -1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(self.value(x).flatten(2), self.weights(x).permute(0, 2, 1)).view_as(x) + x


class Einsum(nn.Module):
    def __init__(self, channels: int, heads: int = 2) -> None:
        super().__init__()
        self.qkv, self.heads = nn.Conv2d(channels, 3 * channels, 1), heads

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).flatten(2).unflatten(1, (3, self.heads, -1)).unbind(1)
        weights = (torch.einsum("bhci,bhcj->bhij", query, key) / query.shape[2] ** 0.5).softmax(-1)
        return x + torch.einsum("bhij,bhcj->bhci", weights, value).reshape(x.shape)


class GlobalContext(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mask, self.transform = nn.Conv2d(channels, 1, 1), nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mask = self.mask(x).flatten(2).softmax(2).unsqueeze(-1)
        return x + self.transform(torch.matmul(x.flatten(2).unsqueeze(1), mask).view(*x.shape[:2], 1, 1))


class SelectiveKernel(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.small = nn.Conv2d(channels, channels, 3, padding=1)
        self.large = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.select = nn.Linear(channels, 2 * channels)

    def forward(self, x: Tensor) -> Tensor:
        branches = torch.stack([self.small(x), self.large(x)], 1)
        weights = self.select(branches.sum(1).mean((2, 3))).view(len(x), 2, -1).softmax(1)
        return (branches * weights[:, :, :, None, None]).sum(1)


class Multihead(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return x + self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(x.shape)


class Encoder(nn.Module):
    """In evaluation torch runs its layers as one fused operation each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(channels, 2, 32, batch_first=True), 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)


class Rows(nn.Module):
    """Each row attends to itself alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        tokens = self.project(x).permute(0, 2, 3, 1).reshape(batch * height, width, channels)
        weights = (tokens @ tokens.transpose(1, 2) / 4).softmax(-1)
        return x + (weights @ tokens).view(batch, height, width, channels).permute(0, 3, 1, 2)


class Alone(nn.Module):
    """Twice attention of each position to itself alone, whose products of queries and keys are no attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2).unsqueeze(2)  # (B, N, 1, C): windows of one position
        for _ in range(2):
            weights = (tokens @ tokens.transpose(-2, -1) / 4).softmax(-1)
            tokens = tokens + weights @ tokens
        return tokens.squeeze(2).transpose(1, 2).reshape(x.shape)


class BetweenChannels(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        return x + torch.bmm(torch.softmax(torch.bmm(flat, flat.transpose(1, 2)), -1), flat).view_as(x)


class OneNumber(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.alpha)


class Activations(nn.Module):
    """Each multiplies by a sigmoid, of its own input: none is attention."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        x = F.hardswish(F.silu(x))
        x = x * torch.sigmoid(1.702 * x)
        return x * (F.relu6(x + 3) / 6) + x * torch.sigmoid(x)


class PatchTransformer(nn.Module):
    """Patches are cut out and projected by a linear layer, without a convolution; a class token stands in front."""

    def __init__(self, patch: int = 4, width: int = 16) -> None:
        super().__init__()
        self.patch = patch
        self.embed, self.qkv = nn.Linear(3 * patch * patch, width), nn.Linear(width, 3 * width)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.head = nn.Linear(width, 10)

    def forward(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        p = self.patch
        cut = images.view(batch, channels, height // p, p, width // p, p).permute(0, 2, 4, 3, 5, 1)
        tokens = torch.cat([self.token.expand(batch, -1, -1), self.embed(cut.reshape(batch, -1, p * p * channels))], 1)
        query, key, value = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in self.qkv(tokens).chunk(3, -1))
        attended = F.scaled_dot_product_attention(query, key, value)
        return self.head((tokens + attended.transpose(1, 2).flatten(2))[:, 0])


def network(block: type[nn.Module], channels: int = 16) -> nn.Module:
    """A block in a small network for images of 3 x 12 x 16."""
    return nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.ReLU(),
        block(channels),
        nn.AdaptiveMaxPool2d((3, 4)),
        nn.Flatten(),
        nn.Linear(channels * 12, 10),
    )
