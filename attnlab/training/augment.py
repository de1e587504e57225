"""Augmentations of a whole batch at once, on its device.

``flip``: left-right with probability 1/2. ``crop_flip``: a crop of the image padded with black by an eighth of its side
(4 pixels at 32, as in He et al., 2016), then the flip. ``rotate_flip``: the rotation of the melanoma article, by up to 10
degrees about the centre with black corners, then the flip; ``rotate_nearest_flip`` the same with the nearest pixel instead of
a bilinear mean of four, as the article's transformation does. Random numbers come from the default generator of the device,
which the training seeds before each step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MAX_ANGLE = math.radians(10)


def augment(images: Tensor, how: str) -> Tensor:
    """The augmented batch: same shape, values in [0, 255]; float32 after a rotation, else uint8.

    Args:
        images: uint8 (B, C, H, W).
        how: ``none``, ``flip``, ``crop_flip``, ``rotate_flip`` or ``rotate_nearest_flip``.

    Raises:
        ValueError: for another name.
    """
    if how == "none":
        return images
    if how == "crop_flip":
        return flip(crop(images, max(1, images.shape[-1] // 8)))
    if how in ("rotate_flip", "rotate_nearest_flip"):
        angles = _draw(images, -MAX_ANGLE, MAX_ANGLE)
        return flip(rotate(images, angles, mode="nearest" if how == "rotate_nearest_flip" else "bilinear"))
    if how == "flip":
        return flip(images)
    raise ValueError(f"unknown augmentation {how!r}; known: none, flip, crop_flip, rotate_flip, rotate_nearest_flip")


def flip(images: Tensor) -> Tensor:
    """Mirrors each image left-right with probability 1/2."""
    mirrored = _draw(images, 0, 1) < 0.5
    return torch.where(mirrored[:, None, None, None], images.flip(-1), images)


def crop(images: Tensor, pad: int) -> Tensor:
    """Pads each image with ``pad`` black pixels on every side and crops it back to its size at a random place."""
    count, channels, height, width = images.shape
    padded = F.pad(images, (pad, pad, pad, pad))
    top = torch.randint(2 * pad + 1, (count, 1), device=images.device)
    left = torch.randint(2 * pad + 1, (count, 1), device=images.device)
    rows = (top + torch.arange(height, device=images.device))[:, None, :, None]  # (B, 1, H, 1)
    columns = (left + torch.arange(width, device=images.device))[:, None, None, :]  # (B, 1, 1, W)
    image = torch.arange(count, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return padded[image, channel, rows, columns]


def rotate(images: Tensor, angles: Tensor, *, mode: str = "bilinear") -> Tensor:
    """Rotates each image anticlockwise by its angle about its centre, with black corners. float32.

    Args:
        angles: (B,) in radians.
        mode: ``bilinear`` or ``nearest``.
    """
    height, width = images.shape[-2:]
    cos, sin = angles.cos(), angles.sin()
    zero = torch.zeros_like(cos)
    # affine_grid maps output to input in coordinates where each side runs from -1 to 1; the factors keep angles right
    # on images that are not square.
    x = torch.stack([cos, -sin * height / width, zero], dim=1)
    y = torch.stack([sin * width / height, cos, zero], dim=1)
    grid = F.affine_grid(torch.stack([x, y], dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, mode=mode, padding_mode="zeros", align_corners=False)


def _draw(images: Tensor, low: float, high: float) -> Tensor:
    return torch.rand(len(images), device=images.device) * (high - low) + low
