"""A transformer small enough to be told by hand, whose attention passes through taps as that of any network of the house."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import AttentionTap, MapKind, MapScale
from attnlab.models import TokenParts


class TokenAttention(nn.Module):
    """Self-attention that uses its weights only where somebody changes them, as fast implementations do."""

    def __init__(self, width: int, heads: int, prefix: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.heads, self.prefix, self.grid = heads, prefix, grid
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.tap = AttentionTap(MapKind.PAIRWISE, MapScale.SOFTMAX)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value)
        if self.tap.active:
            before = (query @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1)
            after = self.tap.heads(before, self.grid, queries=self.grid, prefix=self.prefix)
            attended = attended if after is before else after @ value
        return self.out(attended.transpose(1, 2).flatten(2))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, prefix: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = TokenAttention(width, heads, prefix, grid)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TokenNetwork(nn.Module):
    """Patches of 4 x 4, a class token (unless ``prefix`` is 0: then the mean of the tokens is classified), and registers."""

    def __init__(
        self, shape: tuple[int, int, int] = (3, 16, 12), *, prefix: int = 1, layers: int = 3, heads: int = 2, width: int = 8
    ) -> None:
        super().__init__()
        grid = shape[1] // 4, shape[2] // 4
        self.prefix = prefix
        self.patches = nn.Conv2d(shape[0], width, 4, 4)
        self.first = nn.Parameter(torch.randn(1, prefix, width))
        self.positions = nn.Parameter(torch.randn(1, prefix + grid[0] * grid[1], width))
        self.blocks = nn.ModuleList(Layer(width, heads, prefix, grid) for _ in range(layers))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), tokens], dim=1) + self.positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.classified(tokens)

    def classified(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        return self.head(tokens[:, 0] if self.prefix else tokens.mean(dim=1))

    def token_parts(self) -> TokenParts:
        return TokenParts(list(self.blocks), self.norm, self.head, self.classified, positions=self.positions)
