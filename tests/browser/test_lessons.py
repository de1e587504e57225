"""Every lesson from start to end in a browser, and a prediction with what the class has predicted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attnlab.lessons.catalogue import SHIPPED, lesson_name, read_lesson
from attnlab.lessons.lesson import CHANGED, Step
from attnlab.lessons.predictions import predictions
from tests.browser.streamlit_server import ROOT, serve
from tests.browser.test_main_path import go

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.conftest import Server

PATIENT, PRESS_AGAIN = 120_000, 8_000
FILES = sorted(SHIPPED.glob("*.toml"))


@pytest.fixture(scope="module")
def lesson_page(chromium: Browser) -> Iterator[Page]:
    """One page for all lessons; the files of the app are loaded once. What is expected may take a while."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENT)
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENT)
    yield page
    context.close()
    expect.set_options(timeout=5_000)


def panel(page: Page) -> Locator:
    return page.locator(".st-key-lesson-panel")


def do(page: Page, step: Step) -> None:
    """What the step asks for, with the control it speaks of."""
    for name, wanted in step.until.items():
        value = str(wanted[0] if isinstance(wanted, tuple) else wanted)
        if name == "picture":  # on Home
            page.locator(".st-key-picture").get_by_text("2", exact=True).click()
        elif name == "st":
            page.locator(".attention-viewer .time input[type=range]").press("Home")
        elif name == "ly":
            other = "[aria-pressed=false]" if value == CHANGED else ""
            page.locator(f".attention-viewer .layers button{other}").nth(0 if value == CHANGED else int(value)).click()
        elif name == "px":
            page.locator(".attention-viewer .stage canvas").click(position={"x": 90, "y": 120})
        elif name == "img":
            page.locator(".picker [role=option][aria-selected=false]").first.click()
        elif name == "operation":
            other = f":text-is('{value}')" if value != CHANGED else "[aria-pressed=false]"
            page.locator(f".surgery .operations button{other}").first.click()
        elif name == "gamma":
            page.locator(".surgery .amount input").press("ArrowLeft")
        elif name == "melanoma.threshold":
            page.locator(".st-key-melanoma-threshold").get_by_role("slider").press("ArrowRight")
        else:
            raise AssertionError(f"nobody knows how a person changes {name}")


def choose(page: Page, place: int) -> None:
    panel(page).get_by_role("radio").nth(place).locator("xpath=ancestor::label").click()


def answer(page: Page, step: Step) -> None:
    if step.predict:
        kind = predictions()[step.predict].kind
        if kind == "place":
            panel(page).locator("canvas.open").click(position={"x": 60, "y": 60})
        else:
            choose(page, 0)
    if step.question is not None:
        choose(page, step.question.place)


@pytest.mark.parametrize("file", FILES, ids=lesson_name)
def test_a_lesson_from_start_to_end(server: Server, lesson_page: Page, file: Path) -> None:
    from playwright.sync_api import expect

    page, name, lesson = lesson_page, lesson_name(file), read_lesson(file)
    page.goto(f"{server.url}/?lesson={name}&step=1")
    for number, step in enumerate(lesson.steps):
        expect(panel(page).get_by_text(f"step {number + 1} of {len(lesson.steps)}")).to_be_visible()
        expect(panel(page).get_by_role("heading", name=step.title)).to_be_visible()
        view = lesson.view_at(number)
        assert view is not None
        expect(page).to_have_url(re.compile(rf"/{re.escape(view.page)}\?.*lesson={name}"))
        forward = panel(page).get_by_role("button", name=re.compile("^(Next|Finish)$"))
        expect(forward).to_be_visible()
        if step.point:
            expect(page.locator("[data-lesson]").first).to_be_attached()
        if step.until or step.question or step.predict:
            expect(forward).to_be_disabled()
            expect(panel(page).get_by_role("button", name="Skip")).to_be_visible()
        answer(page, step)
        if step.question is not None:
            expect(panel(page).get_by_text(re.compile("^Right\\."))).to_be_visible()
        for _ in range(PATIENT // PRESS_AGAIN):  # as a person does, while the page is still being drawn
            do(page, step)
            with suppress(AssertionError):
                expect(forward).to_be_enabled(timeout=PRESS_AGAIN)
                break
        forward.click()
    expect(page.get_by_role("heading", name="Lessons", exact=True)).to_be_visible()
    expect(panel(page)).to_have_count(0)


def test_the_panel_stays_from_page_to_page_until_it_is_left(server: Server, lesson_page: Page) -> None:
    from playwright.sync_api import expect

    page = lesson_page
    page.goto(f"{server.url}/lessons")
    page.get_by_role("link", name="Start").first.click()
    expect(panel(page).get_by_text("step 1 of")).to_be_visible()
    page.locator(".st-key-picture").get_by_text("2", exact=True).click()  # another image, as the step asks
    expect(panel(page).get_by_role("button", name="Next")).to_be_enabled()
    panel(page).get_by_role("button", name="Next").click()
    expect(panel(page).get_by_text("step 2 of")).to_be_visible()
    go(page, "Learn", "Lessons")
    expect(panel(page).get_by_role("button", name="Open the view of this step")).to_be_visible()
    expect(page).to_have_url(re.compile("lesson=what-is-attention&step=2"))
    panel(page).get_by_role("button", name="Open the view of this step").click()
    expect(page.get_by_role("heading", name="What does a network look at?")).to_be_visible()
    expect(panel(page).get_by_text("step 2 of")).to_be_visible()
    panel(page).get_by_role("button", name="Leave").click()
    expect(panel(page)).to_have_count(0)
    assert "lesson=" not in page.url


def test_a_class_predicts_and_sees_its_clicks(
    chromium: Browser, lesson_page: Page, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from playwright.sync_api import expect

    home = tmp_path_factory.mktemp("class")
    with serve(ROOT / "app.py", home / "log", {"ATTNLAB_HOME": str(home), "ATTNLAB_MODE": "classroom"}) as url:
        for number, words in enumerate(("Its map, the peak area outlined", "The clicks of 2 browsers")):
            context = chromium.new_context()
            page = context.new_page()
            page.set_default_timeout(PATIENT)
            page.goto(f"{url}/predict?kind=place&item=attention-4")
            picture = page.locator("canvas.open")
            picture.focus()
            page.keyboard.press("ArrowLeft")
            page.keyboard.press("Enter")
            expect(page.get_by_text(re.compile("Your click lies"))).to_be_visible()
            expect(page.get_by_text(re.compile(words))).to_be_visible()
            expect(page.get_by_text("The clicks of")).to_have_count(number)
            context.close()
