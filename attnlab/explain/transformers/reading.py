"""Figures that papers on vision transformers show of attention and of position embeddings.

read_rows             the rows of the token that is classified, for every head of every layer (DINO, arXiv:2104.14294, fig. 1)
attention_distances   how far a head looks (ViT, arXiv:2010.11929, fig. 7 right)
position_similarity   how alike the embeddings of two positions are (ViT, fig. 7 centre)
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from attnlab.explain.transformers.layers import TokenLayers
from attnlab.geometry import Size, stretched


def read_rows(layers: TokenLayers) -> Tensor:
    """What the token that is classified attends to, of every layer and head, by patch: (B, layers, heads, H, W).

    Where several tokens are classified together, the mean of their rows, as they are read.

    Raises:
        ValueError: when layers have different numbers of heads.
    """
    if len({each.shape[1] for each in layers.weights}) > 1:
        raise ValueError("the layers have different numbers of heads")
    return torch.stack([layers.on_patches(weights) for weights in layers.weights], dim=1)


def attention_distances(layers: TokenLayers, picture: Size) -> NDArray[np.float64]:
    """How far each head looks on average, in pixels: (layers, heads), the mean over images and patches of sum_k A * distance.

    Tokens without a position count neither as queries nor as keys. As in the figure of the paper, what goes to them is not
    shared out among the patches, so a head that attends to the class token alone has distance 0.

    Args:
        picture: (H, W) in pixels. Cells whose place is not known divide it evenly.
    """
    apart = torch.from_numpy(patch_distances(layers, picture))
    return np.stack(
        [
            (weights[:, :, layers.prefix :, layers.prefix :].cpu().double() * apart).sum(dim=-1).mean(dim=(0, 2)).numpy()
            for weights in layers.weights
        ]
    )


def patch_distances(layers: TokenLayers, picture: Size) -> NDArray[np.float64]:
    """Between the centres of all patches, in pixels: (H * W, H * W). Arguments of `attention_distances`."""
    cells = layers.cells or stretched(layers.grid, picture)
    rows, columns = np.meshgrid(cells.rows.centres(layers.grid[0]), cells.columns.centres(layers.grid[1]), indexing="ij")
    y, x = rows.ravel(), columns.ravel()
    distances: NDArray[np.float64] = np.hypot(y[:, None] - y, x[:, None] - x)
    return distances


def position_similarity(table: Tensor, grid: Size) -> Tensor:
    """Cosine of the embeddings of each two positions: (H, W, H, W), the first two say from where it is looked.

    Args:
        table: position embeddings (N, D) or (1, N, D), of tokens without a position first, then of H * W patches.

    Raises:
        ValueError: when the table has fewer embeddings than there are patches.
    """
    patches = grid[0] * grid[1]
    embeddings = table.detach().reshape(-1, table.shape[-1])
    if len(embeddings) < patches:
        raise ValueError(f"{len(embeddings)} position embeddings for a grid of {grid[0]} x {grid[1]} patches")
    unit = F.normalize(embeddings[len(embeddings) - patches :].float(), dim=-1)
    return (unit @ unit.T).reshape(*grid, *grid)
