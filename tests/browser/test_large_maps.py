"""Rows of a large map in a real browser: the pointer changes the row, and only that row travels."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attnlab.explain.large_maps import large_maps
from attnlab.explain.open_run import open_run
from tests.example_runs import LARGE_MAPS

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

PATIENT = 120_000
ROW_BYTES = 36 * 36 * 2 * 4 / 3  # float16 in base64


def test_pointing_brings_one_row_at_a_time(server: Server, page: Page, large_maps_run: Path) -> None:
    from playwright.sync_api import expect

    run = shutil.copytree(large_maps_run, server.home / "runs" / large_maps_run.name)
    got: list[int] = []
    asked: list[int] = []
    page.on("websocket", lambda opened: opened.on("framereceived", lambda data: got.append(len(data))))
    page.on("websocket", lambda opened: opened.on("framesent", lambda data: asked.append(len(data))))
    address = f"{server.url}/inspect?run={run.name}&img=0"
    page.goto(f"{address}&rq=0.2_0.1&rc=0&rh=2")
    canvas = page.locator(".large-maps canvas").first
    words, numbers = page.locator(".large-maps figcaption b").first, page.locator(".large-maps figcaption .numbers").first
    expect(canvas).to_be_visible(timeout=PATIENT)
    expect(words).to_have_text("Attention paid by row 3, column 7")
    expect(numbers).to_contain_text("× uniform", timeout=PATIENT)

    # the number on the screen is the network's
    from attnlab.data import load_dataset

    opened = open_run(run)
    image = load_dataset(LARGE_MAPS.dataset).test.images[:1]
    row = large_maps(opened.model, image, opened.mean, opened.std)[0].row((3, 7), head=1) * 1296
    told = re.search(r"maximum ([\d.]+)× uniform", numbers.inner_text())
    assert told and float(told[1]) == pytest.approx(row.max(), rel=0.01, abs=0.01)

    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = canvas.bounding_box()
    assert box is not None

    def point(row: int, column: int) -> None:
        page.mouse.move(box["x"] + (column + 0.5) / 36 * box["width"], box["y"] + (row + 0.5) / 36 * box["height"])

    got.clear()
    asked.clear()
    places = [(4 + 3 * step, 30 - 2 * step) for step in range(10)]
    for place in places:
        point(*place)
        expect(words).to_have_text(f"Attention paid by row {place[0]}, column {place[1]}")
        expect(numbers).to_contain_text("under the pointer · maximum")
    assert len(asked) == len(places)
    assert sum(got) < len(places) * (ROW_BYTES + 6_000), "a row and the envelope, never the map (3.4 MB) or the picture"

    before = len(asked)
    for place in reversed(places):
        point(*place)
        expect(words).to_have_text(f"Attention paid by row {place[0]}, column {place[1]}")
        expect(numbers).to_contain_text("under the pointer · maximum")
    assert len(asked) == before, "rows seen before are not asked for again"

    # a fast sweep asks for fewer rows than it crosses, and ends with the last
    for step in range(300):
        page.mouse.move(box["x"] + (step + 1) / 310 * box["width"], box["y"] + (0.5 + step % 36) / 36 * box["height"])
    point(35, 35)
    expect(words).to_have_text("Attention paid by row 35, column 35")
    expect(numbers).to_contain_text("under the pointer · maximum")
    assert len(asked) - before < 250

    # pins, the keyboard, the other direction; and all of it comes back from the link
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    expect(page.locator(".large-maps figure.pinned:visible")).to_have_count(1)
    page.mouse.move(1, 1)
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expect(words).to_have_text("Attention paid by row 22, column 17")
    page.keyboard.press("Enter")
    page.keyboard.press("c")
    expect(words).to_have_text("Positions attending to row 22, column 17")
    expect(numbers).to_contain_text("maximum")
    page.wait_for_timeout(600)
    link = page.url
    page.goto(link)
    expect(words).to_have_text("Positions attending to row 22, column 17", timeout=PATIENT)
    expect(page.locator(".large-maps figure.pinned:visible b")).to_have_text(
        ["Positions attending to row 18, column 18", "Positions attending to row 22, column 17"]
    )
    expect(page.locator(".large-maps").get_by_label("Head")).to_have_value("1")
    assert canvas.get_attribute("aria-label", timeout=PATIENT).startswith(
        "Positions attending to row 22, column 17 (36 × 36 positions)"
    )
