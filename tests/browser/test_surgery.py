"""A brush stroke in a real browser: nothing is sent while it is drawn, the map and the prediction follow when it ends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from attnlab import paths

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

PATIENT = 120_000


def test_a_brush_stroke(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    shipped = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))
    if not shipped:
        pytest.skip("no shipped run with CBAM")
    sent: list[int] = []
    page.on("websocket", lambda opened: opened.on("framesent", lambda data: sent.append(len(data))))
    page.goto(f"{server.url}/inspect?run={shipped[0].name}&surgery=true&operation=Painted")
    left = page.locator(".mask-editor canvas").first
    expect(page.get_by_text("are predicted correctly")).to_be_visible(timeout=PATIENT)  # nothing is under way any more
    expect(left).to_be_visible(timeout=PATIENT)
    page.get_by_role("button", name="erase", exact=True).click()
    left.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    readout = page.locator(".mask-editor .readout")
    box = left.bounding_box()
    assert box is not None

    def place(u: float, v: float) -> None:
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])

    before = len(sent)
    place(0.3, 0.5)
    page.mouse.down()
    for step in range(30):
        place(0.3 + 0.01 * step, 0.5)
    assert len(sent) == before, "the server hears of a stroke only when it ends"
    page.mouse.up()
    expect(readout).to_contain_text(re.compile(r"gate 0\.\d\d → 0\.\d\d"))
    place(0.45, 0.5)
    page.wait_for_timeout(1500)
    place(0.451, 0.5)
    expect(readout).to_have_text(re.compile(r"row 7, column 6 · gate 0\.[1-9]\d → 0\.00"))
    assert len(sent) > before
    place(0.45, 0.9)
    expect(readout).not_to_contain_text("→ 0.00")

    page.get_by_role("button", name="undo", exact=True).click()
    page.wait_for_timeout(1500)
    place(0.45, 0.5)
    expect(readout).not_to_contain_text("→ 0.00")
    expect(page.get_by_role("button", name="clear", exact=True)).to_be_disabled()

    # on the other picture, which shows the map after the operation
    right = page.locator(".mask-editor canvas").nth(1)
    box = right.bounding_box()
    assert box is not None
    place(0.7, 0.2)
    page.mouse.down()
    place(0.8, 0.2)
    page.mouse.up()
    page.wait_for_timeout(1500)
    place(0.75, 0.2)
    expect(readout).to_contain_text("→ 0.00")
    page.get_by_role("button", name="clear", exact=True).click()
    page.wait_for_timeout(1500)

    # by the keyboard
    left.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    page.wait_for_timeout(1500)
    page.keyboard.press("ArrowUp")
    expect(readout).to_contain_text("→ 0.00")
    expect(page.get_by_role("button", name="clear", exact=True)).to_be_enabled()

    # the link holds it
    expect(page).to_have_url(re.compile("strokes="))
    page.reload()
    expect(page.get_by_role("button", name="clear", exact=True)).to_be_enabled(timeout=PATIENT)


def test_a_link_with_the_earlier_title_of_an_operation_opens_it(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    shipped = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))
    if not shipped:
        pytest.skip("no shipped run with CBAM")
    page.goto(f"{server.url}/inspect?run={shipped[0].name}&surgery=true&operation=Channel half alone")
    expect(page.get_by_text("Only the channel gates are left")).to_be_visible(timeout=PATIENT)
    expect(page).to_have_url(re.compile("operation=Channel.attention.only"))


def test_surgery_follows_the_map_that_the_viewer_shows(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    shipped = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))
    if not shipped:
        pytest.skip("no shipped run with CBAM")
    page.goto(f"{server.url}/inspect_attention?run={shipped[0].name}&ly=3")
    page.get_by_text("Surgery: change the attention").click(timeout=PATIENT)
    expect(page.locator(".mask-editor canvas").first).to_be_visible(timeout=PATIENT)
    title = page.get_by_test_id("stExpander").get_by_test_id("stMarkdown")
    expect(title.get_by_text("block 2 · cbam spatial", exact=True)).to_be_visible(timeout=PATIENT)
    page.get_by_role("button", name="block 1 · cbam spatial", exact=True).click()
    expect(title.get_by_text("block 1 · cbam spatial", exact=True)).to_be_visible(timeout=PATIENT)
