"""The one place where foreign bytes become pixels: training, inspection and uploads all come through here.

Pillow alone reads the bytes, behind a list of formats and a pixel cap that is checked on the header, before anything
is allocated. (OpenCV 5.0 allocates gigabytes for a 45-byte PNG, so it only ever sees arrays.) What a picture means is
fixed by rule, so that a network is shown in inspection what it was shown in training:

* the EXIF orientation is applied;
* transparency is laid on white;
* 16-bit and 32-bit grey is scaled by the range of its type, never clipped;
* CMYK, palette, grey and 1-bit become RGB; colour profiles are ignored;
* of an animation the first frame is taken;
* a picture that is cut off or damaged is refused, never guessed at.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
"""File names that are taken for images; the content decides what they are."""

MAX_PIXELS = 25_000_000
MAX_BYTES = 100_000_000


class ImageRefused(ValueError):
    """These bytes are not taken as an image; the message says why in plain words."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A picture as every part of the project sees it.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright.
        notices: what was done to it that a person should know of, as sentences.
    """

    pixels: np.ndarray
    notices: tuple[str, ...] = ()


def decode_image(data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Reads a picture from bytes or from a file.

    Raises:
        ImageRefused: for no image, another format, too many pixels, or a damaged file.
    """
    content = _content(data)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageRefused(
                    f"the image has {width} x {height} = {width * height / 1e6:.0f} million pixels; "
                    f"at most {max_pixels / 1e6:.0f} million are read, so make it smaller first"
                )
            return _convert(image)
    except ImageRefused:
        raise
    except Exception as error:  # Pillow's parsers raise more than OSError on foreign bytes: SyntaxError, struct.error, ...
        raise ImageRefused(_reason(error)) from error


def image_size(data: bytes | Path) -> tuple[int, int]:
    """(H, W) as the header says, upright or not; nothing is decoded.

    Raises:
        ImageRefused: as `decode_image` for what the header shows.
    """
    content = _content(data)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.height, image.width
    except Exception as error:
        raise ImageRefused(_reason(error)) from error


def fit_array(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The geometry every image, mask and upload goes through: the shorter side is resized, then the middle is cut out.

    Resized by area when it shrinks and linearly when it grows; nothing is squashed.

    Args:
        pixels: uint8 (h, w) or (h, w, C).
        size: (H, W).

    Returns:
        uint8 (H, W) or (H, W, C).
    """
    height, width = pixels.shape[:2]
    scale = max(size[0] / height, size[1] / width)
    new = max(size[0], round(height * scale)), max(size[1], round(width * scale))
    if new != (height, width):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (new[1], new[0]), interpolation=method)
    top, left = (new[0] - size[0]) // 2, (new[1] - size[1]) // 2
    return pixels[top : top + size[0], left : left + size[1]]


def fit_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`fit_array` for a mask, uint8 or bool (h, w) -> bool (H, W): true where at least half of the area is covered."""
    return fit_array((mask > 127 if mask.dtype != bool else mask).astype(np.uint8) * 255, size) > 127


def fit_channels(pixels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 RGB (h, w, 3) -> uint8 (C, H, W) for ``shape = (C, H, W)``; one channel means grey (luma of BT.601)."""
    channels, height, width = shape
    fitted = fit_array(pixels, (height, width))
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(fitted), cv2.COLOR_RGB2GRAY)[None]
    return np.ascontiguousarray(fitted.transpose(2, 0, 1))


def fit_image(pixels: np.ndarray, shape: tuple[int, int, int]) -> Tensor:
    """A decoded picture as a network of this data set takes it: uint8 (h, w, 3) -> uint8 tensor (C, H, W)."""
    import torch

    return torch.from_numpy(fit_channels(pixels, shape))


def _content(data: bytes | Path) -> bytes:
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    if not size:
        raise ImageRefused("the file is empty")
    if size > MAX_BYTES:
        raise ImageRefused(f"the file has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are read")
    return data if isinstance(data, bytes) else data.read_bytes()


def _convert(image: Image.Image) -> DecodedImage:
    """The rules in the head of this file."""
    notices = []
    if getattr(image, "is_animated", False):
        notices.append("An animation: its first frame is used.")
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        notices.append("More than 8 bits a channel: scaled to 8.")
        levels = np.asarray(turned).astype(np.float32)  # 16-bit files open as I;16 or as I, by format
        plane = np.rint(levels * (255 / (65535 if levels.max() <= 65535 else 2**31 - 1))).clip(0, 255).astype(np.uint8)
        return DecodedImage(np.repeat(plane[..., None], 3, axis=2), tuple(notices))
    if "A" in turned.mode or "a" in turned.mode or "transparency" in turned.info:
        notices.append("Transparent: laid on white.")
        layer = turned.convert("RGBA")
        turned = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return DecodedImage(np.array(turned.convert("RGB")), tuple(notices))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "the image claims far more pixels than are read; make it smaller first"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not a JPEG, PNG, WebP, GIF or BMP image, or damaged at its start"
    return f"the image is cut off or damaged ({error})"
