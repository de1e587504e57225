"""The one place where image files become pixels: for training, for inspection and for uploads.

Only Pillow reads the bytes, with a list of allowed formats and a limit on pixels that is checked on the header, before
anything is allocated. (OpenCV 5.0 allocates gigabytes for a 45-byte PNG, so it is given arrays only.) Images are converted
by fixed rules, so that inspection shows a network the same pixels as training:

* the EXIF orientation is applied; EXIF data that cannot be read are ignored;
* transparent images are placed on white, or on black where a white drawing would vanish; transparency that hides everything
  is ignored, since programs that know no transparency write such files;
* grey and colour of more than 8 bits are scaled by the smallest usual number of bits that holds their values, 12-bit pictures
  in 16-bit files by 4,095; numbers with a fraction or a sign are scaled by their own range; nothing is clipped;
* CMYK, palette, grey and 1-bit become RGB; colour profiles and texts are ignored, also damaged ones;
* the first frame of an animation is used, and the first picture of a camera's file or a TIFF of several;
* incomplete or damaged images are refused.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import cv2
import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
SUFFIXES |= {".ppm", ".pgm", ".pbm", ".pnm"}
"""File names with these suffixes count as images; the content decides their format."""

MAX_PIXELS = 25_000_000
MAX_BYTES = 100_000_000


_PNG = b"\x89PNG\r\n\x1a\n"
_WITHOUT_EXTRAS = "Its embedded text, colour profile or other data beside the pixels are too large or damaged, and are ignored."
_TOPS = (255, 1023, 4095, 16383, 65535, 2**24 - 1, 2**32 - 1)
"""The largest values of 8, 10, 12, 14, 16, 24 and 32 bits."""
_OTHER_ORDER = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
"""The order of the two bytes of a number, and the opposite one, as Pillow writes them."""
_NEARLY_WHITE = 250
_LONGEST = 8
"""A picture is resized as a whole up to so many times the side of the network's input."""
_PIECE = 1 << 20
"""Levels of more than 8 bits that are scaled at a time."""
_UPRIGHT = {  # EXIF orientation -> what turns the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageRefused(ValueError):
    """The bytes are not accepted as an image; the message says why in plain words."""


Fit = Literal["crop", "pad"]
"""How a picture of another shape than the network's becomes one of its shape: its centre, or all of it with filled sides."""


class Region(NamedTuple):
    """A rectangle in a picture's pixels, from the top left corner."""

    x: float
    y: float
    width: float
    height: float


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
        return _decode(content, max_pixels)
    except ImageRefused as refusal:
        essential = _essential_chunks(content)
        if essential is None:
            raise
        try:
            decoded = _decode(essential, max_pixels)
        except ImageRefused:
            raise refusal from None
        return DecodedImage(decoded.pixels, (_WITHOUT_EXTRAS, *decoded.notices))


def image_size(data: bytes | Path) -> tuple[int, int]:
    """(H, W) from the header, without the EXIF orientation; nothing is decoded.

    Raises:
        ImageRefused: as `decode_image`, for errors in the header.
    """
    content = _content(data)
    for readable in (content, _essential_chunks(content)):
        try:
            with Image.open(io.BytesIO(readable or content), formats=FORMATS) as image:
                return image.height, image.width
        except Exception as error:
            refusal = error
    raise ImageRefused(_reason(refusal)) from refusal


def seen_region(picture: tuple[int, int], size: tuple[int, int], fit: Fit = "crop") -> Region:
    """What a network sees of a picture, in the picture's pixels; for "pad" it reaches beyond the picture.

    Args:
        picture, size: (H, W) of the picture and of the network's input.
    """
    height, width = picture
    scale = (max if fit == "crop" else min)(size[0] / height, size[1] / width)
    seen = size[0] / scale, size[1] / scale
    return Region((width - seen[1]) / 2, (height - seen[0]) / 2, seen[1], seen[0])


def fit_array(pixels: np.ndarray, size: tuple[int, int], fit: Fit = "crop", ground: int | None = None) -> np.ndarray:
    """Resizes the shorter side to fit, then crops the centre; used for every image, mask and upload.

    Shrinking averages areas, enlarging interpolates linearly; the aspect ratio is kept. Of a picture that is far longer than
    wide only the centre is resized: all of it could take any amount of memory.

    Args:
        pixels: uint8 (h, w) or (h, w, C).
        size: (H, W).
        fit: "pad" resizes the longer side to fit instead, and fills the rest with the ``ground``, by default the mean colour.

    Returns:
        uint8 (H, W) or (H, W, C).
    """
    height, width = pixels.shape[:2]
    scale = (max if fit == "crop" else min)(size[0] / height, size[1] / width)
    limit = np.maximum if fit == "crop" else np.minimum
    new = tuple(max(1, int(side)) for side in limit(size, (round(height * scale), round(width * scale))))
    if fit == "crop" and max(new) > _LONGEST * max(size):
        return fit_array(_seen(pixels, size), size)
    if new != (height, width):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (new[1], new[0]), interpolation=method)
    top, left = abs(new[0] - size[0]) // 2, abs(new[1] - size[1]) // 2
    if fit == "crop":
        return pixels[top : top + size[0], left : left + size[1]]
    colour = np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8) if ground is None else np.uint8(ground)
    filled = np.broadcast_to(colour, (*size, *pixels.shape[2:])).copy()
    filled[top : top + new[0], left : left + new[1]] = pixels
    return filled


def _seen(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The part of a picture that `fit_array` keeps, in whole pixels."""
    region = seen_region((pixels.shape[0], pixels.shape[1]), size)
    top, left = max(0, int(region.y)), max(0, int(region.x))
    return pixels[top : top + math.ceil(region.height), left : left + math.ceil(region.width)]


def fit_mask(mask: np.ndarray, size: tuple[int, int], fit: Fit = "crop") -> np.ndarray:
    """`fit_array` for a mask, uint8 or bool (h, w) -> bool (H, W): true where at least half of the area is covered."""
    return fit_array((mask > 127 if mask.dtype != bool else mask).astype(np.uint8) * 255, size, fit, ground=0) > 127


def fit_channels(pixels: np.ndarray, shape: tuple[int, int, int], fit: Fit = "crop") -> np.ndarray:
    """uint8 RGB (h, w, 3) -> uint8 (C, H, W) for ``shape = (C, H, W)``; one channel means grey (luma of BT.601)."""
    channels, height, width = shape
    fitted = fit_array(pixels, (height, width), fit)
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(fitted), cv2.COLOR_RGB2GRAY)[None]
    return np.ascontiguousarray(fitted.transpose(2, 0, 1))


def fit_image(pixels: np.ndarray, shape: tuple[int, int, int], fit: Fit = "crop") -> Tensor:
    """A decoded image in the shape of a network's input: uint8 (h, w, 3) -> uint8 tensor (C, H, W)."""
    import torch

    return torch.from_numpy(fit_channels(pixels, shape, fit))


def _content(data: bytes | Path) -> bytes:
    size = len(data) if isinstance(data, bytes) else data.stat().st_size
    if not size:
        raise ImageRefused("the file is empty")
    if size > MAX_BYTES:
        raise ImageRefused(f"the file has {size / 1e6:.0f} MB; at most {MAX_BYTES / 1e6:.0f} MB are accepted")
    return data if isinstance(data, bytes) else data.read_bytes()


def _decode(content: bytes, max_pixels: int) -> DecodedImage:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageRefused(
                    f"the image has {width} x {height} = {width * height / 1e6:.0f} million pixels; "
                    f"at most {max_pixels / 1e6:.0f} million are accepted, so make it smaller first"
                )
            _refuse_large_tiles(image, max_pixels)
            return _convert(image, content)
    except ImageRefused:
        raise
    except Exception as error:  # Pillow's parsers raise many types: SyntaxError, struct.error, ...
        raise ImageRefused(_reason(error)) from error


def _refuse_large_tiles(image: Image.Image, max_pixels: int) -> None:
    """A TIFF is decoded tile by tile, and its header may claim tiles far larger than the image."""
    tags = getattr(image, "tag_v2", {})
    if int(tags.get(322, 0)) * int(tags.get(323, 0)) > max_pixels:  # width and length of a tile
        raise ImageRefused("the image claims far more pixels than are accepted; make it smaller first")


def _essential_chunks(content: bytes) -> bytes | None:
    """A PNG without everything that its pixels do not need; `None` for other formats."""
    if not content.startswith(_PNG):
        return None
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def _convert(image: Image.Image, content: bytes) -> DecodedImage:
    """Applies the rules at the top of this file."""
    notices = []
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        notices.append("The file has several pages; the first one is used.")
    elif getattr(image, "is_animated", False) and image.format != "MPO":
        notices.append("This is an animation; its first frame is used.")
    image.load()
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data raise as many types of error as damaged pixels
        turn = None
        notices.append("Its EXIF data cannot be read and are ignored, so it may lie on its side.")
    whole, scaled = _colour_of_more_bits(image, content)
    notices += scaled
    upright = whole if turn is None else whole.transpose(turn)
    if upright.mode.startswith(("I", "F")):
        plane, notice = _eight_bits(np.asarray(upright))
        return DecodedImage(np.repeat(plane[..., None], 3, axis=2), (*notices, *notice))
    if upright.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in upright.info:
        pixels, notice = _on_ground(upright.convert("RGBA"))
        return DecodedImage(pixels, (*notices, *notice))
    return DecodedImage(np.array(upright.convert("RGB")), tuple(notices))


def _colour_of_more_bits(image: Image.Image, content: bytes) -> tuple[Image.Image, tuple[str, ...]]:
    """A colour picture of 16 bits that uses 14 or less, scaled by its own range, and how; any other one as it is.

    Pillow keeps the high byte of each value. The low byte is what it keeps when told the opposite order of bytes.
    """
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA"):
        return image, ()
    high = np.asarray(image)
    if high[..., :3].max() > _TOPS[3] >> 8:
        return image, ()
    with Image.open(io.BytesIO(content), formats=FORMATS) as other:
        for at, tile in enumerate(other.tile):
            how, *rest = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            kind, _, order = str(how).partition(";")
            if order not in _OTHER_ORDER:
                return image, ()
            other.tile[at] = tile._replace(args=(f"{kind};{_OTHER_ORDER[order]}", *rest))
        low = np.asarray(other)
    both = high[..., :3].astype(np.uint16)
    both <<= 8
    both |= low[..., :3]
    levels, notice = _eight_bits(both)
    return Image.fromarray(np.dstack([levels, high[..., 3:]])), notice


def _eight_bits(levels: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Levels of more than 8 bits, an array of any shape and type, as uint8, and how they were scaled."""
    extremes = [(float(numbers.min()), float(numbers.max())) for _, numbers in _pieces(levels)]
    low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
    whole = levels.dtype.kind in "iu"
    start = 0.0
    if not whole and low >= 0 and high <= 1:
        factor, notice = 255.0, ("Numbers from 0 to 1; scaled to 8 bits.",)
    elif whole and low >= 0:
        top = next(top for top in _TOPS if high <= top)
        used = "" if top == 65535 else f" by its own range, 0 to {top:,}"
        factor, notice = 255 / top, (f"More than 8 bits per channel; scaled to 8{used}.",)
    else:
        start, factor = low, 255 / (high - low) if high > low else 0.0
        notice = (f"Grey levels from {low:,.6g} to {high:,.6g}; scaled to 8 bits by this range.",)
    scaled = np.empty(levels.size, np.uint8)
    for piece, numbers in _pieces(levels):
        scaled[piece] = np.rint((numbers - start) * factor)
    return scaled.reshape(levels.shape), notice


def _pieces(levels: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The levels as float64, a piece at a time, since all of them would take eight bytes each; and where the piece lies."""
    flat = levels.reshape(-1)
    for begin in range(0, flat.size, _PIECE):
        piece = slice(begin, begin + _PIECE)
        yield piece, np.nan_to_num(flat[piece].astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)


def _on_ground(layer: Image.Image) -> tuple[np.ndarray, tuple[str, ...]]:
    """RGB pixels of a picture with transparency, RGBA, on a ground on which it can be seen."""
    opacity = layer.getchannel("A").getextrema()
    if opacity == (255, 255):
        return np.array(layer.convert("RGB")), ()
    if opacity == (0, 0):
        return np.array(layer.convert("RGB")), ("Its transparency hides everything, so it is ignored.",)
    on_white = _over(layer, "white")
    if on_white.min() >= _NEARLY_WHITE and (on_black := _over(layer, "black")).min() < _NEARLY_WHITE:
        return on_black, ("Transparent; placed on black, since it is white and could not be seen on white.",)
    return on_white, ("Transparent; placed on white.",)


def _over(layer: Image.Image, colour: str) -> np.ndarray:
    """RGB pixels of a picture with transparency on a ground of one colour."""
    ground = Image.new("RGBA", layer.size, colour)
    ground.alpha_composite(layer)
    return np.array(ground.convert("RGB"))


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "the image claims far more pixels than are accepted; make it smaller first"
    if isinstance(error, UnidentifiedImageError):
        return "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PGM/PPM image, or damaged at the start"
    if isinstance(error, MemoryError):
        return "the image needs more memory than there is; make it smaller first"
    return "the image is incomplete or damaged; open it in another program and save it again as PNG or JPEG"
