"""Surgery in a real browser: the network runs there, and where it cannot, the server answers when a stroke ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import torch

from attnlab import paths
from attnlab.data import load_dataset
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.explain.surgery.effect import operate
from attnlab.explain.surgery.operations import Intervention
from attnlab.maps import MapKind
from attnlab.ui.components.mask_editor import Canvas, cells_from_link
from attnlab.ui.inspect.surgery_on_server import target

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

PATIENT = 120_000


IMAGE = 3


@pytest.fixture(scope="module")
def cbam() -> OpenRun:
    """A shipped network whose last map has 15 x 15 positions or so."""
    shipped = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))
    if not shipped:
        pytest.skip("no shipped run with CBAM")
    return open_run(shipped[0])


@pytest.fixture(scope="module")
def picture(cbam: OpenRun) -> torch.Tensor:
    return load_dataset(cbam.config.dataset).test.images[IMAGE]


def messages(page: Page) -> list[int]:
    """What the page sends to the server from now on, in bytes."""
    sent: list[int] = []
    page.on("websocket", lambda opened: opened.on("framesent", lambda data: sent.append(len(data))))
    return sent


def surgery(page: Page, address: str) -> None:
    from playwright.sync_api import expect

    page.goto(address)
    expect(page.locator(".surgery .speed")).to_contain_text("Computed in this browser", timeout=PATIENT)
    expect(page.get_by_text("are predicted correctly")).to_be_visible(timeout=PATIENT)  # nothing is under way any more
    page.wait_for_timeout(1500)


def after(page: Page) -> dict[str, float]:
    """Class -> probability after the change, as the bars say."""
    rows = page.locator(".surgery .before-after .row")
    return {
        row.get_attribute("data-name") or "": float(row.locator(".numbers").inner_text().split("→")[1]) for row in rows.all()
    }


def assert_as_torch(page: Page, run: OpenRun, picture: torch.Tensor, made: Intervention) -> None:
    wanted = operate(run.model, picture[None], run.mean, run.std, made, probabilities=run.probabilities).probabilities[0]
    shown = after(page)
    assert shown
    for name, share in shown.items():
        assert share == pytest.approx(wanted[run.class_names.index(name)], abs=0.0051), name


def test_the_prediction_follows_the_hand_and_the_server_hears_nothing(
    server: Server, page: Page, cbam: OpenRun, picture: torch.Tensor
) -> None:
    from playwright.sync_api import expect

    sent = messages(page)
    surgery(page, f"{server.url}/inspect?run={cbam.folder.name}&img={IMAGE}&surgery=true&operation=Painted&where=every map")
    page.get_by_role("button", name="erase", exact=True).click()
    canvas = page.locator(".surgery .mask-editor canvas").first
    canvas.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    before = len(sent)
    box = canvas.bounding_box()
    assert box is not None
    seen = [after(page)]
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    for step in range(1, 13):
        page.mouse.move(box["x"] + (0.2 + 0.05 * step) * box["width"], box["y"] + (0.3 + 0.03 * step) * box["height"])
        page.wait_for_timeout(40)
        seen.append(after(page))
    assert len({tuple(each.values()) for each in seen}) > 2, "the bars move while the brush is down"
    page.mouse.up()
    page.wait_for_timeout(500)  # the address follows after a gesture
    text = parse_qs(urlsplit(page.url).query)["strokes"][0]
    tap = max(
        (each for each in cbam.inspect(picture[None]).maps if each.kind is MapKind.SPATIAL),
        key=lambda each: each.values.numel(),
    )
    blank = Canvas("map", np.zeros(tap.grid, np.float32), np.zeros((1, 1, 3), np.uint8), tap.scale, neutral=tap.neutral)
    painted = target(cells_from_link(text, blank), blank)
    assert_as_torch(page, cbam, picture, Intervention("paint", target=painted, cells=tap.cells, located=cbam.cells))

    page.get_by_role("button", name="Sharper or flatter").click()
    page.locator(".surgery .amount input").focus()
    for _ in range(30):
        page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(500)
    query = parse_qs(urlsplit(page.url).query)
    amount = float(query["temperature"][0])
    assert amount != 0.5
    assert_as_torch(page, cbam, picture, Intervention("temperature", amount))
    page.get_by_label("Where", exact=True).last.select_option(label="block 1 · cbam channel")
    page.get_by_role("button", name="Inverted").click()
    page.wait_for_timeout(400)
    tap_name = parse_qs(urlsplit(page.url).query)["where"][0]
    assert_as_torch(page, cbam, picture, Intervention("invert", 1.0, (tap_name,)))
    page.get_by_role("button", name="difference").click()
    expect(page.get_by_text("difference: after minus before")).to_be_visible()
    assert len(sent) == before, "the server hears of nothing"

    page.reload()
    expect(page.get_by_role("button", name="Inverted")).to_have_attribute("aria-pressed", "true", timeout=PATIENT)
    assert_as_torch(page, cbam, picture, Intervention("invert", 1.0, (tap_name,)))


def test_the_map_follows_the_camera_and_no_picture_leaves_the_browser(server: Server, page: Page, cbam: OpenRun) -> None:
    from playwright.sync_api import expect

    sent = messages(page)
    surgery(page, f"{server.url}/inspect?run={cbam.folder.name}&img={IMAGE}&surgery=true")
    still, before = after(page), len(sent)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.get_by_role("button", name="camera", exact=True).click()
    expect(page.get_by_text("The pictures of the camera stay in this browser.")).to_be_visible()
    canvas = page.locator(".surgery .mask-editor canvas").first
    frames = set()
    for _ in range(20):
        frames.add(canvas.evaluate("(canvas) => canvas.toDataURL()"))
        page.wait_for_timeout(100)
    assert len(frames) > 5, "the canvas follows the camera"
    expect(page.get_by_text("The true class is green")).to_have_count(0)
    page.get_by_role("button", name="the picture above").click()
    page.wait_for_timeout(300)
    assert after(page) == still
    assert len(sent) == before and [url for url in requests if url.startswith("http")] == []


def test_the_offline_page_is_a_laboratory(
    server: Server, page: Page, cbam: OpenRun, picture: torch.Tensor, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page.goto(f"{server.url}/inspect?run={cbam.folder.name}&img={IMAGE}")
    with page.expect_download(timeout=PATIENT) as saved:
        page.get_by_role("button", name="Save as an offline page").click(timeout=PATIENT)
    file = tmp_path / "page.html"
    saved.value.save_as(file)
    page.context.set_offline(True)
    page.goto(file.as_uri())
    expect(page.locator(".surgery .speed")).to_contain_text("Computed in this browser")
    page.get_by_role("button", name="Uniform").click()
    page.wait_for_timeout(300)
    assert_as_torch(page, cbam, picture, Intervention("uniform"))
    other = tmp_path / "other.png"
    page.locator(".attention-viewer").screenshot(path=other)
    page.locator(".surgery input[type=file]").set_input_files(other)
    expect(page.get_by_text("The picture stays in this browser.")).to_be_visible()
    assert len(after(page)) > 1
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    page.locator(".surgery input[type=file]").set_input_files(broken)
    expect(page.get_by_text("This file is no picture that the browser can read.")).to_be_visible()


def test_a_person_is_the_attention(server: Server, page: Page) -> None:
    """On the first page, with the network in the browser."""
    from playwright.sync_api import expect

    sent = messages(page)
    page.goto(server.url)
    answer = page.locator(".hand .before-after")
    expect(answer).to_contain_text("The prediction stays", timeout=PATIENT)
    page.wait_for_timeout(1500)
    before = len(sent)
    first = answer.inner_text()
    page.get_by_role("button", name="The mask starts with nothing").click()
    page.wait_for_timeout(200)
    nothing = answer.inner_text()
    canvas = page.locator(".hand canvas").first
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for row in range(5):
        for across in (0.05, 0.95):
            page.mouse.move(box["x"] + across * box["width"], box["y"] + (row + 0.5) / 12 * box["height"])
    page.mouse.up()
    page.wait_for_timeout(200)
    assert len({first, nothing, answer.inner_text()}) == 3
    page.get_by_role("button", name="Picture 2").click()
    page.wait_for_timeout(200)
    assert answer.inner_text() != first and len(sent) == before


def test_a_brush_stroke_where_the_server_computes(server: Server, page: Page, cbam: OpenRun) -> None:
    from playwright.sync_api import expect

    sent = messages(page)
    page.goto(f"{server.url}/inspect?run={cbam.folder.name}&surgery=true&operation=Painted&way=server")
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


def test_a_link_with_the_earlier_title_of_an_operation_opens_it(server: Server, page: Page, cbam: OpenRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"{server.url}/inspect?run={cbam.folder.name}&surgery=true&operation=Channel half alone")
    expect(page.get_by_text("Only the channel gates are left")).to_be_visible(timeout=PATIENT)
    expect(page).to_have_url(re.compile("operation=Channel.attention.only"))


def test_surgery_follows_the_map_that_the_viewer_shows(server: Server, page: Page, cbam: OpenRun) -> None:
    from playwright.sync_api import expect

    page.goto(f"{server.url}/inspect_attention?run={cbam.folder.name}&ly=3")
    page.get_by_text("Surgery: change the attention").click(timeout=PATIENT)
    title = page.locator(".surgery .title")
    expect(title).to_have_text("block 2 · cbam spatial", timeout=PATIENT)
    page.get_by_role("button", name="block 1 · cbam spatial", exact=True).click()
    expect(title).to_have_text("block 1 · cbam spatial", timeout=PATIENT)
