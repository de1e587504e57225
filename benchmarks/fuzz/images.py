"""Images: files of every format that Pillow writes, accepted here or not, with changed bytes; and known killers."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zlib
from contextlib import suppress
from functools import cache

import numpy as np
from PIL import Image, features

from attnlab.data.decode import FORMATS, ImageRefused, decode_image, fit_array, fit_image, fit_mask, image_size
from benchmarks.fuzz.judge import Kind, Known, Place, changed

_WRITTEN = [
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "MPO"),
    *("TGA", "ICO", "ICNS", "JPEG2000", "AVIF", "PCX", "SGI", "DDS", "EPS", "PDF", "XBM", "IM", "MSP", "SPIDER", "DIB", "PALM"),
]
"""Formats of Pillow: those that are accepted here, then others."""


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file of an image."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def seeds() -> tuple[bytes, ...]:
    """Valid files: every format in every mode that it takes, with animations, EXIF, interlacing and compressions."""
    noise = np.random.default_rng(0).integers(0, 256, (23, 17, 4), np.uint8)
    colour = Image.fromarray(noise)
    pictures = [colour.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "F", "I")]
    pictures.append(Image.fromarray(noise[..., 0].astype(np.uint16) * 16))
    files = []
    for kind in _WRITTEN:
        for picture in pictures:
            with suppress(OSError, ValueError, KeyError, TypeError):
                files.append(encoded(picture, kind))
    rgb, more = colour.convert("RGB"), [Image.new("RGB", (17, 23), name) for name in ("red", "blue")]
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a description"
    for kind in ("GIF", "TIFF", "PNG", "WEBP", "MPO"):
        files.append(encoded(rgb, kind, save_all=True, append_images=more))
    for kind in ("JPEG", "PNG", "WEBP", "TIFF"):
        files.append(encoded(rgb, kind, exif=exif))
    files.append(encoded(rgb, "JPEG", progressive=True, icc_profile=bytes(300)))
    for compression in (
        ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits", "group4", "tiff_ccitt") if features.check("libtiff") else ()
    ):
        with suppress(OSError, RuntimeError):
            files.append(
                encoded(rgb.convert("1") if compression in ("group4", "tiff_ccitt") else rgb, "TIFF", compression=compression)
            )
    files += [b"P3 2 1 255\n255 0 0 0 0 9\n", b"P1 3 1\n1 0 1\n", b"Pf 2 1 -1.0\n" + bytes(8), b"P7\nWIDTH 1\nHEIGHT 1\n"]
    files += [
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"8BPS\0\1" + bytes(20),
        bytes(4) + b"ftypheic" + bytes(20),
        b"%!PS",
    ]
    return tuple(files)


@cache
def known() -> dict[str, Known]:
    """Files that made decoders allocate gigabytes, run for minutes, or abort."""
    png = encoded(noise(16), "PNG")
    return {
        "empty": b"",
        "45 bytes that claim a chunk of 1.9 GB": lambda: b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 0x70000000) + b"IDAT" * 6,
        "30,000 squared in 1 bit": lambda: png_claiming(30_000, 30_000, zlib.compress(bytes(30_000 * 3751)[: 10**8], 9)),
        "13,000 squared": lambda: png_claiming(13_000, 13_000),
        "5,000 squared of nothing": lambda: png_claiming(5000, 5000, zlib.compress(bytes(5000 * 626))),
        "one line of 25 million": lambda: png_claiming(25_000_000, 1, zlib.compress(bytes(1 + 25_000_000 // 8))),
        "one column of a million": lambda: png_claiming(1, 1_000_000, zlib.compress(bytes(2_000_000))),
        "16 bits, 25 million pixels": lambda: png_claiming(
            5000, 5000, zlib.compress(bytes(5000 * 30_001), 1), depth=16, colour=2
        ),
        "grey of 16 bits, 25 million pixels": lambda: png_claiming(
            5000, 5000, zlib.compress(bytes(5000 * 10_001), 1), depth=16
        ),
        "transparent, 25 million pixels": lambda: png_claiming(
            5000, 5000, zlib.compress((b"\0" + bytes((9, 9, 9, 90)) * 5000) * 5000, 1), depth=8, colour=6
        ),
        "floats, 25 million pixels": lambda: b"Pf 5000 5000 -1.0\n" + bytes(4 * 25_000_000),
        "a chunk for every 12 bytes": lambda: (
            png[:33] + (struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))) * 500_000
        ),
        "broken animation": lambda: png[:33] + chunk(b"acTL", struct.pack(">II", 2**31, 0)) + chunk(b"fdAT", b"") + png[33:],
        "a text that unpacks": lambda: png[:33] + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:],
        "a profile that unpacks": lambda: png[:33] + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000))) + png[33:],
        "a GIF screen of 4 billion": lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + bytes(3) + b";",
        "a TIFF of 60,000 pages": many_pages,
        "a TIFF that points to itself": lambda: b"II*\0" + struct.pack("<I", 8) + struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8),
        "a compressed FITS": lambda: gzip.compress(b"SIMPLE  =                    T".ljust(80) + bytes(10_000_000)),
        "a JPEG of 500 scans": many_scans,
        "a BMP of negative sides": lambda: (
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, -9, -9, 1, 24, 0, 0, 0, 0, 0, 0)
        ),
        "a BMP with millions of short runs": lambda: rle_bmp(1500),
        "a PPM of digits": lambda: b"P2 " + b"9" * 5000 + b" 1 255 0",
        "a PPM in text": lambda: b"P3 900 900 255\n" + b"0 " * (900 * 900 * 3),
        "a WebP of 16,384 squared": lambda: b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\xff\xff\xff\xff" + bytes(9),
    }


def noise(side: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))


def many_pages() -> bytes:
    """A TIFF of 60,000 pages without pixels."""
    pages = [struct.pack("<HHHIII", 1, 256, 4, 1, 1, 8 + 18 * (at + 1)) for at in range(59_999)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages) + struct.pack("<HHHIII", 1, 256, 4, 1, 1, 0)


def many_scans() -> bytes:
    """A progressive JPEG that refines its pixels five hundred times."""
    scans = encoded(noise(1500), "JPEG", progressive=True)
    last = scans.rindex(b"\xff\xda")
    return scans[:last] + scans[last:-2] * 500 + b"\xff\xd9"


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_claiming(width: int, height: int, body: bytes = b"", *, depth: int = 1, colour: int = 0) -> bytes:
    """A PNG with these sides in its header, whatever its body holds."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body or zlib.compress(b"")) + chunk(b"IEND", b"")


def rle_bmp(side: int) -> bytes:
    """A BMP whose runs are one pixel long each."""
    body = (b"\1\5" * side + b"\0\0") * side + b"\0\1"
    palette = bytes(1024)
    head = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", 14 + 40 + 1024 + len(body), 0, 0, 14 + 40 + 1024) + head + palette + body


def make(rng: random.Random) -> bytes:
    content = rng.choice(seeds())
    return content if rng.random() < 0.05 else changed(content, rng, seeds())


def give(content: bytes, place: Place) -> None:
    """Decodes an image as an upload, and fits it as a network's input and as a mask."""
    decoded = decode_image(content)
    pixels = decoded.pixels
    assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
    assert sorted(image_size(content)) == sorted(pixels.shape[:2])
    assert fit_image(pixels, (3, 32, 32)).shape == (3, 32, 32)
    assert fit_array(pixels, (9, 32), "pad").shape == (9, 32, 3)
    assert fit_mask(pixels[..., 0], (32, 32)).shape == (32, 32)
    golden = pillows(content)
    if golden is not None and not decoded.notices:
        assert np.array_equal(pixels, golden), "other pixels than Pillow's"


def pillows(content: bytes) -> np.ndarray | None:
    """The pixels as Pillow converts them, for files whose meaning is plain: 8 bits, opaque, upright."""
    with suppress(Exception), Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if image.size[0] * image.size[1] > 10**6 or image.getexif().get(0x0112, 1) != 1 or "transparency" in image.info:
            return None
        image.load()
        if image.mode in ("1", "L", "P", "RGB", "CMYK", "YCbCr") and "transparency" not in image.info:
            return np.array(image.convert("RGB"))
    return None


KIND = Kind("image", known, make, give, (ImageRefused,), share=50, megabytes=750)
