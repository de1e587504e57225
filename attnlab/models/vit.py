"""Vision transformer (Dosovitskiy et al., ICLR 2021, arXiv:2010.11929), with registers (Darcet et al., ICLR 2024,
arXiv:2309.16588) and a convolutional stem (Xiao et al., NeurIPS 2021, arXiv:2106.14881) as options.

    x = [class token, registers, patches] + positions
    block:  x = x + attention(norm(x)),  x = x + mlp(norm(x))          exact GELU
    logits = head(norm(x)[class token])   or   head(norm(mean of the patches))

Each block holds one PAIRWISE map per head; class token and registers are its first queries and keys (``prefix``). Names and
order of the layers are those of timm and DINO, so that their weights load (`attnlab.interop`).

Departures: a picture whose sides are no multiples of the patch is continued with zeros to the right and below; one of another
size than the network was made for gets the position table resampled as in DINO's code. The convolutional stem pools where the
paper strides, so that each patch lies where it does without the stem.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from attnlab.attention import TokenAttention
from attnlab.attention._gates import require_choice
from attnlab.attention._layers import divisors
from attnlab.config import Placement
from attnlab.models._registry import BlockFactory, ImageShape, register_model
from attnlab.models._tokens import TokenParts

Size = tuple[int, int]
Readout = Literal["class_token", "mean", "max", "mean_beside_class_token"]
Stem = Literal["patches", "convolutions"]
Positions = Literal["tokens", "patches"]
HEADS = (4, 1, 2, 3, 6, 8, 12)
EPSILON = 1e-6
"""Of the layer norms, as in timm, torchvision and DINO."""


class Patches(nn.Module):
    """The picture as a map of one vector per patch: (B, C, H, W) -> (B, D, ceil(H / p), ceil(W / p)).

    With the stem ``"convolutions"`` a patch is seen through 3x3 convolutions, each with batch norm, ReLU and a max pooling that
    halves the map; the first has ``width`` * 2 / patch channels, and each further one twice as many.
    """

    def __init__(self, channels: int, width: int, patch: int, stem: Stem) -> None:
        super().__init__()
        self.patch = patch
        self.stem = nn.Sequential()
        halvings = patch.bit_length() - 1 if stem == "convolutions" else 0
        for index in reversed(range(halvings)):
            wide = max(1, width >> index)
            self.stem.append(
                nn.Sequential(
                    nn.Conv2d(channels, wide, 3, padding=1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(), nn.MaxPool2d(2)
                )
            )
            channels = wide
        self.proj = nn.Conv2d(channels, width, patch >> halvings, patch >> halvings)

    def forward(self, x: Tensor) -> Tensor:
        down, right = -x.shape[2] % self.patch, -x.shape[3] % self.patch
        if down or right:
            x = F.pad(x, (0, right, 0, down))
        return self.proj(self.stem(x))


class Block(nn.Module):
    """Attention, then a network of one hidden layer for each token, both on normalised tokens and added to them."""

    def __init__(self, width: int, heads: int, grid: Size, prefix: int, mlp_ratio: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attention = TokenAttention(width, heads, grid, prefix=prefix)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.fc1 = nn.Linear(width, mlp_ratio * width)
        self.fc2 = nn.Linear(mlp_ratio * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, grid: Size) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x), grid=grid))
        hidden = self.dropout(F.gelu(self.fc1(self.norm2(x))))
        return x + self.dropout(self.fc2(hidden))


@register_model(
    "vit",
    title="Vision transformer",
    paper="https://arxiv.org/abs/2010.11929",
    summary="The picture as a sequence of patches, each of which attends to all others in every block, with several heads.",
    width=64,
    min_size=8,
    own_attention="attention between patches",
    options={
        "patch": (4, 2, 8, 16),
        "depth": (4, 1, 2, 3, 6, 8, 12),
        "heads": HEADS,
        "stem": get_args(Stem),
        "readout": get_args(Readout),
        "registers": (0, 4),
        "positions": get_args(Positions),
        "mlp_ratio": (4, 1, 2),
        "dropout": (0.0, 0.1, 0.25),
    },
)
class VisionTransformer(nn.Module):
    """5,717,416 parameters for 1000 classes at 3 x 224 x 224, patch 16, width 192, depth 12 and 3 heads, as in timm's ViT-Tiny.

    Args:
        shape: images of any size; see the top of this file.
        classes: number of logits; with 0 the network returns the features that would be classified, (B, width).
        attention: unused; the network has its own attention.
        placement: unused.
        width: of a token.
        patch: side of a patch in pixels.
        depth: number of blocks.
        heads: of each block; they share the width.
        stem: how a patch becomes a token: one linear layer (``patches``), or convolutions that see across its edges.
        readout: what is classified: the ``class_token``, which comes first and belongs to no patch, or the ``mean`` or ``max``
            of the patches. Then there is no class token, but with ``mean_beside_class_token``, as in timm.
        registers: further tokens without a place, which the blocks can use as they like.
        positions: what has a row in the learned table of positions: all ``tokens``, or ``patches`` alone.
        mlp_ratio: how many times wider than a token the hidden layer of a block is.
        dropout: share dropped of the tokens before the blocks, and of what each block computes.

    Raises:
        ValueError: for an option value that is not offered, a width that the heads cannot share, or a convolutional stem of
            a patch that cannot be halved to one pixel.
    """

    tokens_of = "patch_embed"

    def __init__(
        self,
        shape: ImageShape,
        classes: int,
        attention: BlockFactory,
        *,
        placement: Placement,
        width: int,
        patch: int = 4,
        depth: int = 4,
        heads: int = 4,
        stem: Stem = "patches",
        readout: Readout = "class_token",
        registers: int = 0,
        positions: Positions = "tokens",
        mlp_ratio: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_choice("stem", stem, get_args(Stem))
        require_choice("readout", readout, get_args(Readout))
        require_choice("positions", positions, get_args(Positions))
        check_heads("vit", width, heads)
        if min(patch, depth, mlp_ratio) < 1 or registers < 0:
            raise ValueError("vit: patch, depth and mlp_ratio must be at least 1, and registers at least 0")
        if stem == "convolutions" and patch & (patch - 1):
            raise ValueError(f"vit: the convolutional stem halves the picture, so patch must be 2, 4, 8 or 16; got {patch}")
        self.readout = readout
        self.positions = positions
        self.grid = (-(-shape.height // patch), -(-shape.width // patch))
        token = readout in ("class_token", "mean_beside_class_token")
        self.prefix = int(token) + registers
        self.patch_embed = Patches(shape.channels, width, patch, stem)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.reg_token = nn.Parameter(torch.zeros(1, registers, width)) if registers else None
        rows = math.prod(self.grid) + (self.prefix if positions == "tokens" else 0)
        self.pos_embed = nn.Parameter(torch.empty(1, rows, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, self.grid, self.prefix, mlp_ratio, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.head = nn.Linear(width, classes) if classes else nn.Identity()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for each in (self.cls_token, self.reg_token):
            if each is not None:
                nn.init.trunc_normal_(each, std=0.02)
        start_linear_layers(self)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) to logits (B, classes)."""
        return self.head(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        """What is classified, (B, width)."""
        return self.read(self.tokens(x))

    def read(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, width) -> (B, width): the norm of the class token, or of the mean or maximum of the patches."""
        if self.readout == "class_token":
            return self.norm(tokens)[:, 0]
        patches = tokens[:, self.prefix :]
        return self.norm(patches.amax(dim=1) if self.readout == "max" else patches.mean(dim=1))

    def tokens(self, x: Tensor) -> Tensor:
        """The tokens after the last block, before the last norm: (B, N, width), the class token and registers first."""
        patches = self.patch_embed(x)
        grid = (patches.shape[2], patches.shape[3])
        tokens = patches.flatten(2).transpose(1, 2)
        table = self.position_table(grid)
        if self.positions == "patches":
            tokens = tokens + table
        extra = [each.expand(len(x), -1, -1) for each in (self.cls_token, self.reg_token) if each is not None]
        tokens = torch.cat([*extra, tokens], dim=1) if extra else tokens
        if self.positions == "tokens":
            tokens = tokens + table
        tokens = self.dropout(tokens)
        for block in self.blocks:
            tokens = block(tokens, grid)
        return tokens

    def token_parts(self) -> TokenParts:
        """The parts through which each token can be read as the classified one is."""
        return TokenParts(
            list(self.blocks), self.norm, self.head, lambda tokens: self.head(self.read(tokens)), positions=self.pos_embed
        )

    def position_table(self, grid: Size) -> Tensor:
        """The position table for a grid of patches: as it is for the network's own grid, else resampled."""
        return self.pos_embed if grid == self.grid else resampled_table(self.pos_embed, self.grid, grid)


def start_linear_layers(model: nn.Module) -> None:
    """Xavier's uniform weights and biases of 0, as in the paper's code; queries, keys and values each count as a layer.

    A narrow network hardly learns from weights of standard deviation 0.02, as others use them.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            parts = 3 if name.endswith("qkv") else 1
            bound = math.sqrt(6 / (module.in_features + module.out_features / parts))
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_heads(network: str, width: int, heads: int) -> None:
    """
    Raises:
        ValueError: when heads cannot share the width of a token.
    """
    if heads < 1 or width % heads:
        raise ValueError(f"{network} cannot split a width of {width} into {heads} heads; set heads to {divisors(width, HEADS)}")


def resampled_table(table: Tensor, grid: Size, wanted: Size) -> Tensor:
    """A position table (1, extra + h w, D) for another grid of patches, as DINO's code resamples it.

    Bicubic, with scale factors of a tenth of a patch more than the sizes ask for, which moves the places that are read a
    little. Rows of tokens without a position come first, and stay as they are.
    """
    extra = table.shape[1] - math.prod(grid)
    patches = table[:, extra:].transpose(1, 2).unflatten(2, grid)
    factors = [(new + 0.1) / old for new, old in zip(wanted, grid, strict=True)]
    resampled = F.interpolate(patches, scale_factor=factors, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :extra], resampled.flatten(2).transpose(1, 2)], dim=1)
