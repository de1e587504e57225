"""The one place where image files become pixels: for training, for inspection and for uploads.

Only Pillow reads the bytes, with a list of allowed formats and a limit on pixels that is checked on the header, before
anything is allocated. (OpenCV 5.0 allocates gigabytes for a 45-byte PNG, so it is given arrays only.) Images are converted
by fixed rules, so that inspection shows a network the same pixels as training:

* the EXIF orientation is applied;
* transparent images are placed on white;
* 16-bit and 32-bit grey is scaled by the range of its type, never clipped;
* CMYK, palette, grey and 1-bit become RGB; colour profiles are ignored;
* the first frame of an animation is used;
* incomplete or damaged images are refused.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"})
"""File names with these suffixes count as images; the content decides their format."""

MAX_PIXELS = 25_000_000
MAX_BYTES = 100_000_000


class ImageRefused(ValueError):
    """The bytes are not accepted as an image; the message says why in plain words."""


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """A decoded image.

    Attributes:
        pixels: uint8 (H, W, 3), RGB, upright.
        notices: conversions that people should know about, as sentences.
    """

    pixels: np.ndarray
    notices: tuple[str, ...] = ()


def decode_image(data: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """Decodes an image from bytes or from a file.

    Raises:
        ImageRefused: for anything but an image, another format, too many pixels, or a damaged file.
    """
    content = _content(data)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageRefused(
                    f"the image has {width} x {height} = {width * height / 1e6:.0f} million pixels; "
                    f"at most {max_pixels / 1e6:.0f} million are accepted, so make it smaller first"
                )
            return _convert(image)
    except ImageRefused:
        raise
    except Exception as error:  # Pillow's parsers raise many types: SyntaxError, struct.error, ...
        raise ImageRefused(_reason(error)) from error


def image_size(data: bytes | Path) -> tuple[int, int]:
    """(H, W) from the header, without the EXIF orientation; nothing is decoded.

    Raises:
        ImageRefused: as `decode_image`, for errors in the header.
    """
    content = _content(data)
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return image.height, image.width
    except Exception as error:
        raise ImageRefused(_reason(error)) from error


def fit_array(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes the shorter side to fit, then crops the centre; used for every image, mask and upload.

    Shrinking averages areas, enlarging interpolates linearly; the aspect ratio is kept.

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
    """A decoded image in the shape of a network's input: uint8 (h, w, 3) -> uint8 tensor (C, H, W)."""
    import torch

    return torch.from_numpy(fit_channels(pixels, shape))


def _content(data: bytes | Path) -> bytes:
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    if not size:
        raise ImageRefused("the file is empty")
    if size > MAX_BYTES:
        raise ImageRefused(f"the file has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are accepted")
    return data if isinstance(data, bytes) else data.read_bytes()


def _convert(image: Image.Image) -> DecodedImage:
    """Applies the rules at the top of this file."""
    notices = []
    if getattr(image, "is_animated", False):
        notices.append("This is an animation; its first frame is used.")
    image.load()
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I"):
        notices.append("More than 8 bits per channel; scaled to 8.")
        levels = np.asarray(turned).astype(np.float32)  # 16-bit files open as I;16 or as I, by format
        plane = np.rint(levels * (255 / (65535 if levels.max() <= 65535 else 2**31 - 1))).clip(0, 255).astype(np.uint8)
        return DecodedImage(np.repeat(plane[..., None], 3, axis=2), tuple(notices))
    if "A" in turned.mode or "a" in turned.mode or "transparency" in turned.info:
        notices.append("Transparent; placed on white.")
        layer = turned.convert("RGBA")
        turned = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return DecodedImage(np.array(turned.convert("RGB")), tuple(notices))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "the image claims far more pixels than are accepted; make it smaller first"
    if isinstance(error, UnidentifiedImageError):
        return "not a JPEG, PNG, WebP, GIF or BMP image, or damaged at the start"
    return f"the image is incomplete or damaged ({error})"
