"""A classroom in real browsers: what is whose, the teacher's token, and uploads that nobody asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attnlab.config import RunConfig
from attnlab.desk.permissions import browser_of
from attnlab.ui.who import COOKIE
from tests.browser.streamlit_server import ROOT, serve
from tests.example_runs import finished_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

TOKEN = "a token for the teacher"


@pytest.fixture(scope="module")
def classroom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address and home of a server in that mode."""
    home = tmp_path_factory.mktemp("classroom")
    variables = {"ATTNLAB_HOME": str(home), "ATTNLAB_MODE": "classroom", "ATTNLAB_TEACHER_TOKEN": TOKEN}
    with serve(ROOT / "app.py", home / "server.log", variables) as url:
        yield url, home


def student(chromium: Browser) -> tuple[BrowserContext, Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(120_000)
    return context, page


def reload_until_shown(page: Page, wanted: Locator) -> None:
    """Loads the page again until it shows this: a run that another process made is seen at the next round of the queue."""
    from playwright.sync_api import TimeoutError as NotShown

    for _ in range(12):
        page.reload()
        with suppress(NotShown):
            wanted.wait_for(timeout=10_000)
            return
    raise AssertionError("the page never showed it")


def number(context: BrowserContext) -> str:
    (cookie,) = [cookie for cookie in context.cookies() if cookie["name"] == COOKIE]
    assert cookie["httpOnly"] and cookie["sameSite"] == "Lax"
    return cookie["value"]


def test_a_browser_owns_its_runs_and_the_teacher_all(chromium: Browser, classroom: tuple[str, Path]) -> None:
    url, home = classroom
    (mine, page), (others, other) = student(chromium), student(chromium)
    page.goto(f"{url}/train")
    page.get_by_role("heading", name="Train", exact=True).wait_for()
    assert number(mine) not in page.content() and number(mine) not in page.url
    run = finished_run(home, RunConfig(seed=3), 0.9)
    run.describe(title="the run of one student", owner=browser_of(number(mine)))
    card = page.locator(f".st-key-train-done-{run.run_id}")
    reload_until_shown(page, card.get_by_text("yours"))
    other.goto(f"{url}/train")
    card_there = other.locator(f".st-key-train-done-{run.run_id}")
    card_there.get_by_text("the run of one student").wait_for()
    assert card_there.get_by_text("yours").count() == 0
    card_there.get_by_role("button", name="More actions").or_(card_there.locator("button").first).last.click()
    other.get_by_text("TensorBoard files").wait_for()
    assert other.get_by_role("button", name="Delete").count() == 0
    other.goto(f"{url}/classroom")
    field = other.locator("input[type=password]")
    field.fill("a wrong token")
    other.get_by_role("button", name="Enter").click()
    other.get_by_text("not the teacher").wait_for()
    field.fill(TOKEN)
    other.get_by_role("button", name="Enter").click()
    other.get_by_text("This browser is the teacher").wait_for()
    other.reload()
    other.get_by_text("This browser is the teacher").wait_for()
    mine.close()
    others.close()


def test_an_upload_that_no_widget_asked_for_is_refused(chromium: Browser, classroom: tuple[str, Path]) -> None:
    url, _ = classroom
    context, page = student(chromium)
    page.goto(f"{url}/open")
    with page.expect_response(lambda answer: "/upload_file/" in answer.url and answer.request.method == "PUT") as sent:
        page.locator("input[type=file]").set_input_files({"name": "a.pth", "mimeType": "x", "buffer": b"bytes"})
    assert sent.value.status == 204, "a widget asked for this one"
    invented = """async (address) => {
        const token = document.cookie.match(/_streamlit_xsrf=([^;]+)/)[1];
        const body = new FormData();
        body.append("file", new Blob(["bytes"]), "a.pth");
        return (await fetch(address, {method: "PUT", body, headers: {"X-Xsrftoken": decodeURIComponent(token)}})).status;
    }"""
    assert page.evaluate(invented, sent.value.url) == 204, "the widget may send its file once more, and it replaces the first"
    page_of_mine = sent.value.url.rsplit("/", 1)[0]
    assert page.evaluate(invented, f"{page_of_mine}/00000000-0000-0000-0000-000000000000") == 403
    other, another = student(chromium)
    another.goto(f"{url}/open")
    another.locator("input[type=file]").wait_for(state="attached")
    assert another.evaluate(invented, sent.value.url) == 403, "a file of another browser's page"
    other.close()
    page.goto(f"{url}/compare")
    page.get_by_role("heading", name="Compare", exact=True).wait_for()
    assert page.evaluate(invented, sent.value.url) >= 400, "the page with the widget is gone, and maybe its session"
    context.close()
