"""What the viewer saves by itself, from a page without network: a PNG of the chosen width, a GIF of the time-lapse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.browser.map_page import STEPS, choose, open_file, slide

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture
def page(page: Page, tmp_path: Path) -> Page:
    open_file(page, tmp_path)
    return page


def save(page: Page, button: str, folder: Path) -> Image.Image:
    with page.expect_download() as download:
        choose(page, button)
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return Image.open(path)


@pytest.mark.parametrize("width", [512, 1024, 2048])
def test_a_picture_has_the_chosen_width_and_the_colours_of_the_map(page: Page, tmp_path: Path, width: int) -> None:
    choose(page, "ramp")
    slide(page, "Opacity", 1)
    page.get_by_label("Width of the saved image").select_option(str(width))
    picture = save(page, "save PNG", tmp_path)
    assert picture.format == "PNG" and picture.width == width
    assert Path(picture.filename).name == f"one-run-{width}px.png"  # type: ignore[attr-defined]
    pixels = picture.convert("RGB")
    seen = {pixels.getpixel((at, width // 2)) for at in range(width)}
    assert {(68, 1, 84), (253, 231, 37)} <= seen  # both ends of viridis


def test_all_maps_side_by_side_are_in_the_picture(page: Page, tmp_path: Path) -> None:
    choose(page, "all side by side")
    wide = save(page, "save PNG", tmp_path)
    assert wide.width == 1024 and wide.height < 700  # four beside each other


def test_the_time_lapse_is_a_gif_of_every_step(page: Page, tmp_path: Path) -> None:
    choose(page, "learned")
    slide(page, "Opacity", 1)
    slide(page, "Training step", 0)
    film = save(page, "save GIF", tmp_path)
    assert film.format == "GIF" and film.size[0] == 512 and film.n_frames == len(STEPS)  # type: ignore[attr-defined]
    middle, rests = [], []
    for frame in range(len(STEPS)):
        film.seek(frame)
        middle.append(film.convert("RGB").getpixel((256, 200)))
        rests.append(film.info["duration"])
    for pixel, colour in zip(middle, [(68, 1, 84), (33, 145, 140), (253, 231, 37)], strict=True):  # viridis at 0, 0.5, 1
        assert pixel == pytest.approx(colour, abs=8)
    assert rests[-1] > rests[0]
    assert page.locator(".time output").inner_text() == "step 0 of 200"  # the page stays where it was
