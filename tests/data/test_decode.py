"""The decoder of foreign bytes: one fixed meaning for every kind of picture, and a plain refusal for everything else."""

import io
import random
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from attnlab.data.decode import (
    Fit,
    ImageRefused,
    _eight_bits,
    decode_image,
    fit_array,
    fit_image,
    fit_mask,
    image_size,
    seen_region,
)

RED, WHITE, BLACK = [255, 0, 0], [255, 255, 255], [0, 0, 0]


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def corner(data: bytes) -> list[int]:
    return decode_image(data).pixels[0, 0].tolist()


def tall_with_red_corner() -> Image.Image:
    image = Image.new("RGB", (3, 5), "white")
    image.putpixel((0, 0), (255, 0, 0))
    return image


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        pytest.param(Image.new("RGB", (4, 4), (10, 20, 30)), [10, 20, 30], id="rgb"),
        pytest.param(Image.new("L", (4, 4), 77), [77, 77, 77], id="grey"),
        pytest.param(Image.new("1", (4, 4), 1), WHITE, id="1-bit"),
        pytest.param(Image.new("RGBA", (4, 4), (255, 0, 0, 255)), RED, id="opaque"),
        pytest.param(Image.new("RGBA", (4, 4), (0, 0, 0, 51)), [204, 204, 204], id="a fifth of black over white"),
        pytest.param(Image.new("LA", (4, 4), (0, 51)), [204, 204, 204], id="grey and alpha"),
        pytest.param(Image.new("RGB", (4, 4), "red").quantize(4), RED, id="palette"),
    ],
)
def test_every_mode_has_one_meaning(image: Image.Image, pixel: list[int]) -> None:
    assert corner(encoded(image)) == pixel


def test_palette_with_a_transparent_entry_is_laid_on_white() -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.putpixel((1, 1), 1)
    decoded = decode_image(encoded(image, transparency=0))
    assert decoded.pixels[0, 0].tolist() == WHITE
    assert decoded.pixels[1, 1].tolist() == [0, 255, 0]
    assert decoded.notices == ("Transparent; placed on white.",)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.array([[0, 257, 32896, 65535]], np.uint16)
    decoded = decode_image(encoded(Image.fromarray(levels)))
    assert decoded.pixels[0, :, 0].tolist() == [0, 1, 128, 255]
    assert "8 bits" in decoded.notices[0]


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
def test_fewer_bits_in_a_wider_file_use_all_grey_levels_and_it_is_said(top: int) -> None:
    levels = np.linspace(0, top, 200)[None].round().astype(np.uint16)
    decoded = decode_image(encoded(Image.fromarray(levels)))
    assert decoded.pixels.min() == 0 and decoded.pixels.max() == 255
    assert len(np.unique(decoded.pixels)) > 190
    assert decoded.notices == (f"More than 8 bits per channel; scaled to 8 by its own range, 0 to {top:,}.",)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("top", [255, 1023, 4095, 16383])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        pytest.param(".png", [], id="PNG"),
        pytest.param(".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 1], id="TIFF"),
        pytest.param(".tif", [cv2.IMWRITE_TIFF_COMPRESSION, 5], id="TIFF with LZW"),
    ],
)
def test_colour_of_fewer_bits_in_a_wider_file_is_scaled_like_grey(
    kind: str, options: list[int], top: int, channels: int
) -> None:
    share = np.linspace(0, 1, 200 * 3).reshape(10, 20, 3)
    levels = np.dstack([np.rint(share * top).astype(np.uint16), np.full((10, 20, channels - 3), 65535, np.uint16)])
    swapped = levels[..., [2, 1, 0, 3][:channels]]  # as OpenCV orders them
    decoded = decode_image(cv2.imencode(kind, swapped, options)[1].tobytes())
    assert np.abs(decoded.pixels - share * 255).max() < 1
    assert decoded.notices == (f"More than 8 bits per channel; scaled to 8 by its own range, 0 to {top:,}.",)


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        pytest.param(np.array([[0, 0.5, 1]], np.float32), [0, 128, 255], id="from 0 to 1"),
        pytest.param(np.array([[-1, 0, 3]], np.float32), [0, 64, 255], id="below 0"),
        pytest.param(np.array([[float("nan"), 1, 0.5]], np.float32), [0, 255, 128], id="not a number"),
        pytest.param(np.array([[-1000, 0, 1000]], np.int32), [0, 128, 255], id="signed"),
        pytest.param(np.array([[7, 7]], np.float32), [0, 0], id="all alike"),
        pytest.param(np.array([[0, 512, 1023]], np.int32), [0, 128, 255], id="32-bit"),
        pytest.param(np.array([[0, 2048, 4095]], np.uint16).astype(">u2"), [0, 128, 255], id="big-endian"),
    ],
)
def test_numbers_of_other_types_are_scaled_by_their_range(levels: np.ndarray, expected: list[int]) -> None:
    plane, notices = _eight_bits(levels)
    assert plane[0].tolist() == expected
    assert "scaled to 8" in notices[0]


def bmp_with_alpha(pixels: np.ndarray) -> bytes:
    """A 32-bit BMP of RGBA pixels, (H, W, 4)."""
    height, width = pixels.shape[:2]
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    head = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0)
    head = (head + struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48))[:108]
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "LA"])
def test_transparency_that_hides_everything_is_ignored(kind: str) -> None:
    pixels = np.zeros((6, 6, 4), np.uint8)
    pixels[:3, :, :3] = 200
    image = Image.fromarray(pixels)
    data = {
        "BMP": lambda: bmp_with_alpha(pixels),
        "WEBP": lambda: encoded(image, "WEBP", lossless=True, exact=True),
        "LA": lambda: encoded(image.convert("LA")),
    }.get(kind, lambda: encoded(image))()
    decoded = decode_image(data)
    assert np.array_equal(decoded.pixels, pixels[..., :3])
    assert decoded.notices == ("Its transparency hides everything, so it is ignored.",)


def test_a_white_drawing_on_a_transparent_ground_is_seen() -> None:
    pixels = np.full((6, 6, 4), 255, np.uint8)
    pixels[:3, :, 3] = 0
    decoded = decode_image(encoded(Image.fromarray(pixels)))
    assert decoded.pixels[0, 0].tolist() == BLACK and decoded.pixels[-1, 0].tolist() == WHITE
    assert "placed on black" in decoded.notices[0]


def test_a_cameras_file_of_two_pictures_is_the_first_without_a_remark() -> None:
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    decoded = decode_image(encoded(pictures[0], "MPO", save_all=True, append_images=pictures[1:]))
    assert decoded.pixels[0, 0, 0] > 230 and decoded.pixels[0, 0, 2] < 30
    assert decoded.notices == ()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(
    ("extra", "words"),
    [
        pytest.param(chunk(b"eXIf", b"garbage"), "EXIF", id="damaged EXIF"),
        pytest.param(chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff"), None, id="EXIF cut off"),
        pytest.param(chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(3_000_000))), "too large or damaged", id="large text"),
        pytest.param(chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(3_000_000))), "too large or damaged", id="large profile"),
        pytest.param(chunk(b"tEXt", b"note\0hello")[:-4] + b"0000", "too large or damaged", id="wrong sum of a text"),
        pytest.param(chunk(b"acTL", b"12"), "too large or damaged", id="damaged animation header"),
    ],
)
def test_what_stands_beside_good_pixels_never_refuses_them(extra: bytes, words: str | None) -> None:
    data = encoded(tall_with_red_corner())
    mixed = data[:33] + extra + data[33:]
    decoded = decode_image(mixed)
    assert np.array_equal(decoded.pixels, decode_image(data).pixels)
    assert image_size(mixed) == (5, 3)
    if words:
        assert words in decoded.notices[0]


def test_damaged_exif_of_a_jpeg_is_ignored() -> None:
    data = encoded(Image.new("RGB", (8, 6), "red"), "JPEG", exif=b"Exif\0\0garbage of a kind")
    assert decode_image(data).pixels.shape == (6, 8, 3)


def test_cmyk_jpeg_becomes_rgb() -> None:
    red, green, blue = corner(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert red > 230
    assert max(green, blue) < 40


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its left side: turn right by 90 degrees to stand upright
    decoded = decode_image(encoded(tall_with_red_corner(), exif=exif))
    assert decoded.pixels.shape == (3, 5, 3)
    assert decoded.pixels[0, -1].tolist() == RED


def test_first_frame_of_an_animation_with_a_notice() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    decoded = decode_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert decoded.pixels[0, 0].tolist() == RED
    assert "first frame" in decoded.notices[0]


def test_tiff_and_pgm_are_read_and_of_several_pages_the_first() -> None:
    pages = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    decoded = decode_image(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert decoded.pixels[0, 0].tolist() == RED
    assert "several pages" in decoded.notices[0]
    assert decode_image(encoded(Image.new("RGB", (4, 4), "red"), "TIFF", compression="tiff_lzw")).pixels[0, 0].tolist() == RED
    assert decode_image(encoded(Image.new("L", (4, 4), 77), "PPM")).pixels[0, 0].tolist() == [77, 77, 77]
    assert decode_image(b"P2 2 1 255\n0 255\n").pixels[0, :, 0].tolist() == [0, 255]


def test_tiff_with_tiles_far_larger_than_the_image_is_refused() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 60000, 323: 60000, 324: 8, 325: 256}.items():
        tags[tag] = value
    file = io.BytesIO()
    file.write(b"II*\0" + struct.pack("<I", 8))
    tags.save(file)
    with pytest.raises(ImageRefused, match="far more pixels"):
        decode_image(file.getvalue() + bytes(256))


def png_claiming(width: int, height: int) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"not an image", "not a JPEG, PNG", id="text"),
        pytest.param(encoded(tall_with_red_corner(), "TGA"), "not a JPEG, PNG", id="a format that is not on the list"),
        pytest.param(encoded(Image.effect_noise((64, 64), 50), "JPEG")[:900], "incomplete or damaged", id="cut-off jpeg"),
        pytest.param(encoded(Image.effect_noise((64, 64), 50))[:2000], "incomplete or damaged", id="cut-off png"),
        pytest.param(png_claiming(6000, 6000), "at most 25 million", id="too many pixels"),
        pytest.param(png_claiming(30000, 30000), "far more pixels", id="a decompression bomb"),
        pytest.param(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 0x70000000) + b"IDAT" * 6, "damaged", id="a chunk of 1.9 GB"),
    ],
)
def test_refusals_say_why(data: bytes, words: str) -> None:
    with pytest.raises(ImageRefused, match=words):
        decode_image(data)


def test_pixel_cap_can_be_set() -> None:
    data = encoded(Image.new("L", (20, 10)))
    assert decode_image(data, max_pixels=200).pixels.shape == (10, 20, 3)
    with pytest.raises(ImageRefused, match="20 x 10"):
        decode_image(data, max_pixels=199)


def test_reads_files_as_bytes(tmp_path: Path) -> None:
    file = tmp_path / "picture.of.any.name"
    file.write_bytes(encoded(tall_with_red_corner()))
    assert np.array_equal(decode_image(file).pixels, decode_image(file.read_bytes()).pixels)
    assert image_size(file) == (5, 3)


SEEDS = [encoded(Image.effect_noise((16, 16), 60).convert("RGB"), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP")]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False), st.integers(1, 12))
def test_mutated_images_are_decoded_or_refused_and_nothing_else(data: bytes, rng: random.Random, changes: int) -> None:
    mutated = bytearray(data)
    for _ in range(changes):
        mutated[rng.randrange(len(mutated))] = rng.randrange(256)
    try:
        pixels = decode_image(bytes(mutated)).pixels
    except ImageRefused:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


def test_fit_cuts_the_middle_and_squashes_nothing() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (fit_array(wide, (10, 10)) == 200).all()
    disc = np.zeros((40, 80), np.uint8)
    y, x = np.mgrid[:40, :80]
    disc[(y - 19.5) ** 2 + (x - 39.5) ** 2 < 15**2] = 255
    fitted = fit_array(disc, (20, 20)) > 127
    assert np.array_equal(fitted, fitted.T), "a disc stays a disc"
    assert fitted.sum() == pytest.approx(np.pi * 7.5**2, rel=0.1)


@pytest.mark.parametrize("size", [(7, 5), (100, 33), (33, 100), (1, 1), (32, 32)])
def test_fit_hits_every_size(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert fit_image(pixels, (3, 24, 24)).shape == (3, 24, 24)
    assert fit_image(pixels, (1, 24, 17)).shape == (1, 24, 17)


@pytest.mark.parametrize("shape", [(1, 2_000_000), (2_000_000, 1), (3, 100_000)])
def test_a_thread_of_a_picture_is_fitted_by_its_centre(shape: tuple[int, int]) -> None:
    pixels = np.zeros((*shape, 3), np.uint8)
    middle = shape[0] // 2, shape[1] // 2
    pixels[max(0, middle[0] - 50) : middle[0] + 50, max(0, middle[1] - 50) : middle[1] + 50] = 200
    assert (fit_image(pixels, (3, 32, 32)) == 200).all()
    assert fit_image(pixels, (3, 32, 32), "pad").shape == (3, 32, 32)


def test_levels_beyond_one_piece_are_scaled_alike() -> None:
    levels = np.resize(np.array([0, 2048, 4095], np.uint16), (3, 700_001))
    plane, _ = _eight_bits(levels)
    assert np.array_equal(plane, np.resize(np.array([0, 128, 255], np.uint8), levels.shape))


def test_fit_averages_areas_and_keeps_an_image_of_the_right_size() -> None:
    board = (np.indices((8, 8)).sum(0) % 2 * 200).astype(np.uint8)
    assert (fit_array(board, (4, 4)) == 100).all(), "area averaging, no aliasing"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    assert torch.equal(fit_image(pixels, (3, 16, 16)), torch.from_numpy(pixels).permute(2, 0, 1))


def test_mask_follows_its_image() -> None:
    mask = np.zeros((60, 90), bool)
    mask[20:40, 30:60] = True
    image = np.where(mask, 255, 0).astype(np.uint8)
    assert np.array_equal(fit_mask(mask, (30, 30)), fit_array(image, (30, 30)) > 127)
    assert np.array_equal(fit_mask(mask, (30, 30)), fit_mask(image, (30, 30)))


@pytest.mark.parametrize(
    ("fit", "picture", "size", "region"),
    [
        ("crop", (30, 40), (10, 10), (5, 0, 30, 30)),
        ("pad", (30, 40), (10, 10), (0, -5, 40, 40)),
        ("crop", (40, 30), (10, 20), (0, 12.5, 30, 15)),
        ("crop", (32, 32), (8, 8), (0, 0, 32, 32)),
        ("pad", (20, 10), (8, 8), (-5, 0, 20, 20)),
    ],
)
def test_what_a_network_sees_of_a_picture_is_told_in_the_pictures_pixels(
    fit: Fit, picture: tuple[int, int], size: tuple[int, int], region: tuple[float, ...]
) -> None:
    assert seen_region(picture, size, fit) == pytest.approx(region)


def test_the_region_that_is_told_is_the_one_that_is_fitted() -> None:
    pixels = np.zeros((60, 120, 3), np.uint8)
    x, y, width, height = (round(number) for number in seen_region((60, 120), (20, 20)))
    pixels[y : y + height, x : x + width] = 200
    assert np.all(fit_array(pixels, (20, 20)) == 200)
    padded = fit_array(pixels, (20, 20), "pad")
    assert padded.shape == (20, 20, 3)
    assert np.all(padded[5:15, 5:15] == 200) and np.all(padded[5:15, :5] == 0)
    assert np.all(padded[0] == 100)
