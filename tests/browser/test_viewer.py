"""The viewer in a real browser: scrubbed, hovered, pinned and linked, with the server out of it; and from a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from attnlab.ui.components.offline import offline_page
from attnlab.viz.panels import Panel, layer
from tests.browser.map_page import IMAGE, choose, colour, frame, hover, open_file, panels, slide
from tests.browser.streamlit_server import serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


SCRIPT = """
import streamlit as st
from attnlab.ui.components.viewer import viewer
from tests.browser.map_page import panels
viewer(panels(), key="v", link=True)
st.button("again")
st.session_state.runs = st.session_state.get("runs", 0) + 1
st.text(f"run {st.session_state.runs}")
"""


@pytest.fixture
def page(page: Page, tmp_path: Path) -> Page:
    open_file(page, tmp_path)
    return page


def test_numbers_under_the_pointer_are_the_weights(page: Page) -> None:
    choose(page, "ramp")
    assert hover(page, 0.99, 0.5) == "row 4, column 7 · gate 1.00"
    assert hover(page, 0.2, 0.01) == "row 0, column 1 · gate 0.14"
    assert "min 0 · mean 0.5 · max 1" in page.locator(".facts").inner_text()


def test_colours_are_those_of_the_map_over_the_image(page: Page) -> None:
    choose(page, "ramp")
    slide(page, "Opacity", 1)
    assert colour(page, 0.995, 0.3)[:3] == [253, 231, 37]  # viridis at 1
    slide(page, "Opacity", 0)
    assert colour(page, 0.995, 0.3)[:3] == [128, 128, 128]
    slide(page, "Opacity", 0.5)
    assert colour(page, 0.995, 0.3)[:3] == pytest.approx([190, 180, 82], abs=2)
    slide(page, "Hide values below", 0.5)
    assert colour(page, 0.2, 0.3)[:3] == [128, 128, 128]
    assert colour(page, 0.995, 0.3)[:3] == pytest.approx([190, 180, 82], abs=2)


def test_channels_tell_gate_and_rank(page: Page) -> None:
    choose(page, "gates")
    frame(page)
    box = page.locator("canvas.strip").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 40)
    frame(page)
    assert (
        page.locator(".readout").inner_text() == "channel 2 of 4 · gate 0.50 · rank 2 · features from -1 (black) to 2 (white)"
    )
    assert colour(page, 0.05, 0.05)[:3] == [0, 0, 0] and colour(page, 0.95, 0.05)[:3] == [255, 255, 255]
    choose(page, "sort channels")
    page.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 40)
    frame(page)
    assert page.locator(".readout").inner_text().startswith("channel 1 of 4 · gate 0.90 · rank 1")
    page.mouse.move(5, 5)
    assert colour(page, 0.05, 0.05)[:3] == [128, 128, 128]  # the image comes back


def test_a_position_shows_the_attention_it_pays_and_receives(page: Page) -> None:
    choose(page, "pairs")
    assert hover(page, 0.1, 0.1).startswith("row 0, column 0 · 16.0× uniform (weight 1.00)")
    assert hover(page, 0.9, 0.9).startswith("row 3, column 3 · 0.0× uniform")
    choose(page, "attention received")
    assert "16.0× uniform" in hover(page, 0.1, 0.1)  # every position attends to the upper left
    assert hover(page, 0.9, 0.9).startswith("row 3, column 3 · 0.0× uniform")
    choose(page, "entropy")
    assert hover(page, 0.5, 0.5).endswith("entropy 0 of 1")


def test_a_head_that_is_clicked_is_enlarged_and_its_rows_follow(page: Page, tmp_path: Path) -> None:
    """Head 1 looks at the first position, head 2 at the second, head 3 at the third, from wherever."""
    heads = [
        layer(f"tap#h{at + 1}", "pairwise", np.eye(4)[[at] * 4], title=f"head {at + 1}", scale="softmax", grid=(2, 2))
        for at in range(3)
    ]
    file = tmp_path / "heads.html"
    file.write_text(offline_page([Panel("one run", IMAGE, heads)], title="Heads"), encoding="utf-8")
    page.goto(file.as_uri())
    small = page.get_by_role("group", name="Maps that belong together").get_by_role("button")
    assert small.all_inner_texts() == ["1", "2", "3"]
    for head, place in ((2, (0.25, 0.75)), (1, (0.75, 0.25)), (0, (0.25, 0.25))):
        small.nth(head).click()
        frame(page)
        assert [each.get_attribute("aria-pressed") for each in small.all()] == [str(at == head).lower() for at in range(3)]
        shown = page.get_by_role("button", name=f"head {head + 1}", exact=True)
        assert shown.first.get_attribute("aria-pressed") == "true"
        assert hover(page, *place).startswith(f"row {head // 2}, column {head % 2} · 4.0× uniform (weight 1.00)")
        assert " · 0.0× uniform" in hover(page, 0.75, 0.75)  # where no head looks


def test_keyboard_does_what_the_mouse_does(page: Page) -> None:
    choose(page, "ramp")
    page.locator(".stage canvas").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".spoken").inner_text() == "row 4, column 5 · gate 0.71"
    page.keyboard.press("ArrowLeft")
    assert page.locator(".spoken").inner_text() == "row 4, column 4 · gate 0.57"
    page.keyboard.press("c")
    page.keyboard.press("b")
    page.keyboard.press("Shift+T")
    frame(page)
    assert page.get_by_role("combobox", name="Colours").input_value() == "cividis"
    assert page.get_by_role("button", name="reveal").get_attribute("aria-pressed") == "true"
    assert page.get_by_label("Hide values below", exact=True).input_value() == "0.05"
    page.keyboard.press("]")
    frame(page)
    assert page.get_by_role("button", name="gates", exact=True).get_attribute("aria-pressed") == "true"


SLIDER, MENU, PRESSED = "slider", "combobox", "button"


def setting(page: Page, role: str, name: str) -> str:
    """What a control of the viewer says."""
    control = page.get_by_role(role, name=name, exact=True)  # type: ignore[arg-type]
    return (control.get_attribute("aria-pressed") or "") if role == PRESSED else control.input_value()


@pytest.mark.parametrize(
    ("map_name", "key", "role", "name", "after"),
    [
        ("ramp", "o", SLIDER, "Opacity", "0.55"),
        ("ramp", "Shift+O", SLIDER, "Opacity", "0.65"),
        ("ramp", "Shift+T", SLIDER, "Hide values below", "0.05"),
        ("ramp", "%", MENU, "Unit of the threshold", "percentile"),
        ("ramp", "Shift+G", SLIDER, "Gamma", "0.15"),  # log2 of 1.1 on a track of steps of 0.05
        ("ramp", "c", MENU, "Colours", "cividis"),
        ("ramp", "b", PRESSED, "reveal", "true"),
        ("ramp", "s", MENU, "Scale", "map"),
        ("ramp", "i", PRESSED, "smooth", "true"),
        ("gates", "h", PRESSED, "sort channels", "true"),
        ("pairs", "v", PRESSED, "attention received", "true"),
        ("pairs", "Shift+N", SLIDER, "Ignore nearby positions", "1"),
        ("learned", ",", SLIDER, "Training step", "1"),
        ("ramp", "]", PRESSED, "gates", "true"),
    ],
)
def test_every_control_has_its_key(page: Page, map_name: str, key: str, role: str, name: str, after: str) -> None:
    choose(page, map_name)
    before = setting(page, role, name)
    page.locator(".stage canvas").focus()
    page.keyboard.press(key)
    frame(page)
    assert (setting(page, role, name), before != after) == (after, True)
    page.keyboard.press("0")
    frame(page)
    if name not in ("Training step", "gates"):  # the usual view keeps map and moment
        assert setting(page, role, name) == before


def test_keys_go_through_the_channels_and_back_to_their_mean(page: Page, tmp_path: Path) -> None:
    each = layer("each", "element", np.stack([np.full((2, 2), value) for value in (0.2, 0.6, 0.4)]), title="each")
    file = tmp_path / "channels.html"
    file.write_text(offline_page([Panel("one run", IMAGE, [each])], title="Channels"), encoding="utf-8")
    page.goto(file.as_uri())
    page.locator(".stage canvas").focus()
    shown = []
    for key in ("Shift+K", "Shift+K", "k", "k", "0"):
        page.keyboard.press(key)
        frame(page)
        page.keyboard.press("ArrowLeft")
        shown.append(page.locator(".spoken").inner_text().rpartition("gate ")[2])
    assert shown == ["0.2", "0.6", "0.2", "0.2", "0.4"]


def test_a_finger_does_what_the_pointer_does(chromium: Browser, tmp_path: Path) -> None:
    file = tmp_path / "offline.html"
    file.write_text(offline_page(panels(), title="An offline page"), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, offline=True)
    page = context.new_page()
    page.goto(file.as_uri())
    page.get_by_role("button", name="pairs", exact=True).tap()
    stage = page.locator(".stage canvas")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + 0.9 * box["width"], box["y"] + 0.9 * box["height"])
    frame(page)
    assert page.locator(".readout").inner_text().startswith("row 3, column 3 · 0.0× uniform")
    unpin = page.get_by_role("button", name="unpin")
    assert unpin.is_visible()  # the tap has pinned it
    unpin.tap()
    frame(page)
    assert not unpin.is_visible()
    opacity = page.get_by_role("slider", name="Opacity")
    track = opacity.bounding_box()
    assert track is not None
    page.touchscreen.tap(track["x"] + 0.9 * track["width"], track["y"] + 0.5 * track["height"])
    assert 0.8 < float(opacity.input_value()) <= 1
    context.close()


def test_time_lapse_moves_map_and_prediction(page: Page) -> None:
    choose(page, "learned")
    slide(page, "Training step", 0)
    assert "min 0 · mean 0 · max 0" in page.locator(".facts").inner_text()
    assert page.locator(".odds .true .number").inner_text() == "50%"
    slide(page, "Training step", 1)
    assert hover(page, 0.5, 0.5).endswith("gate 0.5")
    assert page.locator(".odds .true .number").inner_text() == "70%"
    page.evaluate("document.dispatchEvent(new CustomEvent('attnlab:step', {detail: {group: 'other', step: 0}}))")
    frame(page)
    assert page.locator(".time output").inner_text() == "step 10 of 200"  # only its own group moves it


def test_all_maps_side_by_side(page: Page) -> None:
    choose(page, "all side by side")
    frame(page)
    assert page.locator(".card h4").all_inner_texts() == ["ramp", "gates", "pairs", "learned"]


def test_many_maps_become_a_menu(chromium: Browser, tmp_path: Path) -> None:
    many = [layer(f"m{index}", "spatial", np.full((2, 2), index / 20), title=f"map {index}") for index in range(14)]
    file = tmp_path / "many.html"
    file.write_text(offline_page([Panel("deep", IMAGE, many)], title="Many", initial={"layer": 3}), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.goto(file.as_uri())
    page.wait_for_selector(".stage canvas")
    menu = page.get_by_role("combobox", name="Map")
    assert menu.input_value() == "3"
    page.get_by_role("button", name="Next map").click()
    frame(page)
    assert menu.input_value() == "4"
    assert "mean 0.2 " in page.locator(".facts").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390  # nothing sticks out on a phone
    page.close()


@pytest.fixture(scope="module")
def script_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Streamlit page with nothing but the viewer and a button that runs it again."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "page.py").write_text(SCRIPT)
    with serve(folder / "page.py", folder / "server.log") as url:
        yield url


def run_again(page: Page) -> None:
    """Lets the script run once more, until all of it has arrived."""
    number = int(page.get_by_text(re.compile(r"^run \d+$")).inner_text().removeprefix("run "))
    page.get_by_role("button", name="again").click()
    page.get_by_text(f"run {number + 1}", exact=True).wait_for()


def test_server_hears_nothing_and_sends_no_map_again(chromium: Browser, script_url: str) -> None:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    sent: list[int] = []
    received: list[int] = []

    def watch(store: list[int]) -> Callable[[str | bytes], None]:
        return lambda data: store.append(len(data))

    page.on("websocket", lambda opened: (opened.on("framesent", watch(sent)), opened.on("framereceived", watch(received))))
    page.goto(script_url)
    page.wait_for_selector(".stage canvas")
    page.wait_for_timeout(1000)
    before = len(sent)
    choose(page, "ramp")
    slide(page, "Opacity", 0.3)
    for u in np.linspace(0.1, 0.9, 20):
        hover(page, u, u)
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 30, box["y"] + 30)
    page.wait_for_timeout(500)
    assert len(sent) == before
    run_again(page)
    bytes_before = sum(received)
    run_again(page)
    assert len(sent) > before
    assert 0 < sum(received) - bytes_before < 8_000
    assert page.get_by_label("Opacity", exact=True).input_value() == "0.3"
    page.close()


def test_a_link_brings_the_whole_view_back(chromium: Browser, script_url: str) -> None:
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(script_url)
    page.wait_for_selector(".stage canvas")
    choose(page, "pairs")
    choose(page, "contour")
    page.get_by_role("combobox", name="Colours").select_option("magma")
    page.get_by_role("combobox", name="Scale").select_option("image")
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 0.1 * box["width"], box["y"] + 0.9 * box["height"])
    page.wait_for_function("location.search.includes('px=')")
    link = page.url
    page.close()

    other = chromium.new_page(viewport={"width": 1200, "height": 900})
    other.goto(link)
    other.wait_for_selector(".stage canvas")
    frame(other)
    assert other.get_by_role("button", name="pairs", exact=True).get_attribute("aria-pressed") == "true"
    assert other.get_by_role("button", name="contour").get_attribute("aria-pressed") == "true"
    assert other.get_by_role("combobox", name="Colours").input_value() == "magma"
    assert other.get_by_role("combobox", name="Scale").input_value() == "image"
    assert other.locator(".readout").inner_text().startswith("row 3, column 0")
    assert other.url == link
    other.close()
