"""Pictures as people hand them over in Python (tensors, arrays, Pillow images, paths), and as a network is shown them.

Files are read through `attnlab.data.decode` alone. Torch is imported only for tensors.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attnlab.data.decode import decode_image, fit_array, fit_image
from attnlab.paths import written_path

if TYPE_CHECKING:
    from torch import Tensor, nn

Pixels: TypeAlias = NDArray[np.uint8]
SHARP_SIDE = 384
"""A picture is drawn at least this large, though the network sees fewer pixels."""
_LARGEST_SIDE = 640
"""A picture of a longer side is not shown to a network that says nothing of the size it takes."""
_CHANNELS = (1, 3)
_SLACK = 1e-3
"""How far numbers may lie outside of [0, 1], since resizing rounds."""
_NORMALISED_SLACK = 0.02
"""The same, where a mean was taken off in half precision."""


def pictures(given: Any, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> list[Pixels]:
    """The pictures in whatever holds them, one after the other.

    Args:
        given: a picture or several: a tensor (B, C, H, W) or (C, H, W), an array (H, W), (H, W, C) or (B, H, W, C), a Pillow
            image, the path of an image file, or a list of these. Numbers are 0 to 255 where they are uint8, else 0 to 1.
        mean, std: per channel. With them numbers outside of [0, 1] are taken as normalised, ``(x - mean) / std``, and turned
            back into a picture.

    Returns:
        uint8 (H, W, 3), or (H, W, 1) of grey ones. Numbers with a fraction are rounded to 1/255.

    Raises:
        ValueError: for anything else; the message says what is wrong.
        ImageRefused: when a file is not an image that can be read.
        FileNotFoundError: when there is no such file.
    """
    if isinstance(given, list | tuple):
        return [pixels for each in given for pixels in pictures(each, mean, std)]
    if isinstance(given, str | Path):
        return [decode_image(written_path(str(given))).pixels]
    if isinstance(given, Image.Image):
        return [np.array(given.convert("RGB"))]
    if (torch := sys.modules.get("torch")) is not None and isinstance(given, torch.Tensor):
        batch = _numbers(given.detach().cpu(), torch)
        if batch.ndim not in (3, 4) or batch.shape[-3] not in _CHANNELS:
            raise ValueError(f"a tensor of pictures is (B, C, H, W) or (C, H, W) C being 1 or 3, and not {tuple(given.shape)}")
        batch = np.moveaxis(batch, -3, -1)
        return _whole(batch if batch.ndim == 4 else batch[None], mean, std)
    if isinstance(given, np.ndarray):
        batch = given[..., None] if given.ndim == 2 else given
        if batch.ndim not in (3, 4) or batch.shape[-1] not in _CHANNELS:
            hint = "; a tensor may be (C, H, W)" if batch.ndim > 2 and batch.shape[-3] in _CHANNELS else ""
            raise ValueError(
                f"an array of pictures is (H, W, C), (B, H, W, C) or (H, W) with 1 or 3 channels, not {given.shape}{hint}"
            )
        return _whole(batch if batch.ndim == 4 else batch[None], mean, std)
    raise ValueError(
        f"{type(given).__name__} is not a picture: give a tensor (B, C, H, W), an array (H, W, 3), a Pillow image, the path of "
        "an image file, or a list of these"
    )


def _numbers(tensor: Any, torch: Any) -> NDArray[Any]:
    """A tensor as an array; NumPy knows no bfloat16."""
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _whole(batch: NDArray[Any], mean: Sequence[float] | None, std: Sequence[float] | None) -> list[Pixels]:
    """(B, H, W, C) as uint8."""
    if not batch.size:
        raise ValueError("there is no picture in it")
    if batch.dtype == np.uint8:
        return list(batch)
    if batch.dtype.kind != "f":
        raise ValueError(f"pictures are uint8 from 0 to 255, or numbers from 0 to 1; these are {batch.dtype}")
    if not np.isfinite(batch).all():
        raise ValueError("the pictures hold numbers that are not finite")
    low, high = float(batch.min()), float(batch.max())
    if low < -_SLACK or high > 1 + _SLACK:
        said = f"the numbers go from {low:.3g} to {high:.3g}, and not from 0 to 1"
        if mean is None or std is None:
            raise ValueError(
                f"{said}. If they are normalised, pass the mean= and std= they were normalised with, so that the picture can "
                "be shown; if they go up to 255, divide by 255 or make them uint8"
            )
        batch = batch * np.asarray(std, np.float64) + np.asarray(mean, np.float64)
        low, high = float(batch.min()), float(batch.max())
        if low < -_NORMALISED_SLACK or high > 1 + _NORMALISED_SLACK:
            raise ValueError(f"{said}; with this mean and std the picture would go from {low:.3g} to {high:.3g}")
    return list(np.rint(batch.clip(0, 1) * 255).astype(np.uint8))


@dataclass(frozen=True, eq=False)
class Seen:
    """An image as the network sees it, uint8 (C, H, W), and the picture that is drawn in its place, (h, w, C)."""

    image: Tensor
    picture: Pixels | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.image.shape
        return channels, height, width


def images_for(
    model: nn.Module,
    given: Any,
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    size: int | tuple[int, int] | None,
) -> tuple[list[Seen], tuple[float, ...], tuple[float, ...]]:
    """(the images as the network sees them, mean, std): what is left open is what the network says of itself.

    Args:
        given: as in `pictures`. Tensors stay as they are; other pictures are made to fit.
        mean, std: one number, or one for each channel.
        size: (H, W), or the side of a square.

    Raises:
        ValueError: when something is missing or does not fit; the message says what to do.
    """
    import torch

    usual = usual_images(model)
    means, stds = _channels(mean) or usual.mean, _channels(std) or usual.std
    if means is None or stds is None:
        missing = " and ".join(name for name, value in (("mean=", means), ("std=", stds)) if value is None)
        raise ValueError(
            f"it is not known how the images of {type(model).__name__} are normalised: pass {missing} as in its training, per "
            "channel, on images in [0, 1]; mean=0, std=1 where they are not"
        )
    seen = [
        as_it_is(pixels) if isinstance(each, torch.Tensor) else fitted(pixels, _shape(pixels, means, size or usual.size))
        for each in (given if isinstance(given, list | tuple) else [given])
        for pixels in pictures(each, means, stds)
    ]
    if not seen:
        raise ValueError("at least one image is needed")
    channels = seen[0].shape[0]
    means, stds = (each * channels if len(each) == 1 else each for each in (means, stds))
    if not len(means) == len(stds) == channels:
        raise ValueError(f"mean and std must have {channels} numbers, one for each channel of the images")
    return seen, means, stds


@dataclass(frozen=True)
class Usual:
    """What a network says of the images it takes; `None` where it says nothing."""

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None


def usual_images(model: nn.Module) -> Usual:
    """As timm writes it at its networks (``pretrained_cfg``), torchvision and transformers the size alone."""
    for module in model.modules():
        about = getattr(module, "pretrained_cfg", None)
        if isinstance(about, dict) and {"mean", "std", "input_size"} <= about.keys():
            _, height, width = about["input_size"]
            return Usual(_channels(about["mean"]), _channels(about["std"]), (int(height), int(width)))
        side = getattr(module, "image_size", None) or getattr(getattr(module, "config", None), "image_size", None)
        if isinstance(side, int):
            return Usual(size=(side, side))
    return Usual()


def _channels(value: Sequence[float] | float | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    return (float(value),) if isinstance(value, int | float) else tuple(float(each) for each in value)


def _shape(pixels: Pixels, mean: tuple[float, ...], size: int | tuple[int, int] | None) -> tuple[int, int, int]:
    """The shape in which a network is shown a picture of this many pixels."""
    height, width = pixels.shape[:2]
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
    elif max(height, width) > _LARGEST_SIDE:
        raise ValueError(
            f"the picture has {height} x {width} pixels, and the network does not say how large its images are: pass size="
        )
    return len(mean) if len(mean) > 1 else pixels.shape[2], height, width


def as_it_is(pixels: Pixels) -> Seen:
    """A picture that is shown to the network as it is."""
    import torch

    return Seen(torch.from_numpy(pixels).permute(2, 0, 1).contiguous())


def fitted(pixels: Pixels, shape: tuple[int, int, int]) -> Seen:
    """A picture in the shape of the network's images, drawn finer where it has more pixels than the network sees."""
    if (pixels.shape[2], *pixels.shape[:2]) == shape:
        return as_it_is(pixels)
    colours = pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels
    _, height, width = shape
    finer = max(1, min(math.ceil(SHARP_SIDE / max(height, width)), min(pixels.shape[:2]) // max(1, min(height, width))))
    picture = fit_array(colours, (height * finer, width * finer)) if finer > 1 else None
    return Seen(fit_image(colours, shape), picture)
