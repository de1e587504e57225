"""Compact convolutional transformer (Hassani et al., 2021, arXiv:2104.05704).

    tokens = (conv 3x3, ReLU, max pool 3x3 with stride 2) x n, + positions
    block:  s = norm1(s + attention(pre_norm(s))),  s = s + linear2(GELU(linear1(s)))
    a = softmax over the tokens of (w s + b),  logits = fc(sum a s)

There is no class token: the sequence is pooled with weights that the network learns, which are a SPATIAL map beside the
PAIRWISE maps of the heads. By default the network is the public code's ``cct_2_3x2_32``, whose weights load
(`attnlab.interop`).

Departures: linear layers start with Xavier's weights (in the code a normal distribution of 0.02, from which a narrow network
hardly learns). In the code, other than in a pre-norm transformer, the sum of tokens and attention is itself
normalised (norm1).
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import AttentionTap, MapKind, MapScale, TokenAttention
from attnlab.attention._gates import require_choice
from attnlab.config import Placement
from attnlab.models._registry import BlockFactory, ImageShape, register_model
from attnlab.models._tokens import TokenParts
from attnlab.models.vit import check_heads, start_linear_layers

Size = tuple[int, int]
Positions = Literal["learned", "sine", "none"]
STEM = 64
"""Channels of all convolutions but the last."""


class Tokenizer(nn.Sequential):
    """Convolutions without bias or batch norm, each with ReLU and max pooling: (B, C, H, W) -> (B, D, h, w)."""

    def __init__(self, channels: int, width: int, convolutions: int, kernel: int) -> None:
        super().__init__()
        stride = max(1, kernel // 2 - 1)
        for index in range(convolutions):
            wide = width if index == convolutions - 1 else STEM
            convolution = nn.Conv2d(channels, wide, kernel, stride, kernel // 2, bias=False)
            nn.init.kaiming_normal_(convolution.weight)
            self.append(nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(3, 2, 1)))
            channels = wide


class Block(nn.Module):
    """Attention and a network of one hidden layer for each token; the tokens themselves are normalised between them."""

    def __init__(self, width: int, heads: int, grid: Size, mlp_ratio: int, dropout: float, drop_path: float) -> None:
        super().__init__()
        self.pre_norm = nn.LayerNorm(width)
        self.attention = TokenAttention(width, heads, grid, bias=False, dropout=dropout)
        self.norm1 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, mlp_ratio * width)
        self.linear2 = nn.Linear(mlp_ratio * width, width)
        self.drop_path = drop_path

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        x = self.norm1(x + self._dropped(self.attention(self.pre_norm(x), grid=grid)))
        return x + self._dropped(self.linear2(F.gelu(self.linear1(x))))

    def _dropped(self, x: Tensor) -> Tensor:
        """In training, leaves out what is added of some images of the batch, and enlarges it of the others."""
        if not (self.training and self.drop_path):
            return x
        return x * F.dropout(x.new_ones(len(x), 1, 1), self.drop_path)


class SequencePooling(nn.Module):
    """One vector of all tokens, weighted by a softmax of their scores: (B, N, D) -> (B, D)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.score = nn.Linear(width, 1)
        self.tap = AttentionTap(MapKind.SPATIAL, MapScale.SOFTMAX)

    def forward(self, x: Tensor, *, grid: Size) -> Tensor:
        weights = self.score(x).softmax(dim=1).transpose(1, 2).unflatten(2, grid)  # (B, 1, h, w)
        return (self.tap(weights).flatten(2) @ x).squeeze(1)


@register_model(
    "cct",
    title="Compact convolutional transformer",
    paper="https://arxiv.org/abs/2104.05704",
    summary="Convolutions make the tokens, a small transformer compares them, and a learned map of weights pools them.",
    width=128,
    min_size=8,
    own_attention="attention between patches",
    options={
        "depth": (2, 1, 4, 6, 7, 14),
        "heads": (2, 1, 4, 6),
        "convolutions": (2, 1),
        "kernel": (3, 7),
        "positions": get_args(Positions),
        "mlp_ratio": (1, 2, 3),
        "dropout": (0.1, 0.0),
        "drop_path": (0.1, 0.0),
    },
)
class CompactTransformer(nn.Module):
    """283,723 parameters for ten classes at 3 x 32 x 32 by default, as in the public code.

    Args:
        shape: images of any size; afterwards, with positions, any that makes as many tokens.
        classes: number of logits.
        attention: unused; the network has its own attention.
        placement: unused.
        width: of a token.
        depth: number of blocks.
        heads: of each block; they share the width.
        convolutions: of the tokenizer; each halves the picture.
        kernel: their side; those of 7 have stride 2, so halve the picture once more.
        positions: a table that is ``learned``, of sines and cosines, or none.
        mlp_ratio: how many times wider than a token the hidden layer of a block is.
        dropout: share of the attention weights that is dropped in training.
        drop_path: share of the images for which what the last block adds is left out in training; it rises from 0 in the first.

    Raises:
        ValueError: for an option value that is not offered, or a width that the heads cannot share.
    """

    tokens_of = "tokenizer"
    positions: Tensor | None

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        depth: int = 2,
        heads: int = 2,
        convolutions: int = 2,
        kernel: int = 3,
        positions: Positions = "learned",
        mlp_ratio: int = 1,
        dropout: float = 0.1,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        require_choice("positions", positions, get_args(Positions))
        require_choice("kernel", kernel, (3, 5, 7))
        check_heads("cct", width, heads)
        if min(depth, convolutions, mlp_ratio) < 1:
            raise ValueError("cct: depth, convolutions and mlp_ratio must be at least 1")
        self.tokenizer = Tokenizer(shape.channels, width, convolutions, kernel)
        grid = token_grid((shape.height, shape.width), convolutions, kernel)
        count = math.prod(grid)
        if positions == "learned":
            self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, count, width), std=0.2))
        else:
            self.register_buffer("positions", sine_table(count, width) if positions == "sine" else None, persistent=False)
        rates = [drop_path * index / max(1, depth - 1) for index in range(depth)]
        self.blocks = nn.ModuleList(Block(width, heads, grid, mlp_ratio, dropout, rate) for rate in rates)
        self.norm = nn.LayerNorm(width)
        self.pooling = SequencePooling(width)
        self.fc = nn.Linear(width, classes)
        start_linear_layers(self)

    def token_parts(self) -> TokenParts:
        """The parts through which each token can be read as what is pooled of them is."""
        return TokenParts(list(self.blocks), self.norm, self.fc, self._classified, positions=self.positions)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes).

        Raises:
            ValueError: for images that make another number of tokens than there are positions.
        """
        features = self.tokenizer(x)
        grid = (features.shape[2], features.shape[3])
        tokens = features.flatten(2).transpose(1, 2)
        if self.positions is not None:
            if tokens.shape[1] != self.positions.shape[1]:
                raise ValueError(
                    f"this cct has positions for {self.positions.shape[1]} tokens; images of {x.shape[2]} x {x.shape[3]} make "
                    f"{tokens.shape[1]}"
                )
            tokens = tokens + self.positions
        for block in self.blocks:
            tokens = block(tokens, grid)
        return self._classified(tokens, grid)

    def _classified(self, tokens: Tensor, grid: Size | None = None) -> Tensor:
        """(B, N, width) -> (B, classes); the grid only tells the map of weights its shape."""
        return self.fc(self.pooling(self.norm(tokens), grid=grid or (1, tokens.shape[1])))


def token_grid(size: Size, convolutions: int, kernel: int) -> Size:
    """How many tokens down and across the tokenizer makes of an image of ``size``."""
    halvings = convolutions * (1 if kernel < 6 else 2)
    height, width = size
    for _ in range(halvings):
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def sine_table(count: int, width: int) -> Tensor:
    """(1, count, width): sin(p / 10000^(2 floor(i / 2) / width)) of position p at even i, the cosine at odd i."""
    index = torch.arange(width)
    angles = (torch.arange(count)[:, None] / 10000 ** (2 * (index // 2).double() / width)).float()
    return torch.where(index % 2 == 0, angles.sin(), angles.cos())[None]
