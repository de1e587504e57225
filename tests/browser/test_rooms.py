"""A room with a teacher and three students in real browsers, the projector, and a link that hides and locks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from attnlab.config import RunConfig
from attnlab.desk.permissions import browser_of
from attnlab.lessons.views import PARTS
from attnlab.rooms.room import Room
from attnlab.runs.files import write_json
from tests.browser.streamlit_server import ROOT, serve
from tests.browser.test_accessibility import serious_findings
from tests.example_runs import finished_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

PATIENT = 90_000
TOKEN, CODE = "a token for the teacher", "BCDFGH"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A classroom with an open room, in which four seeds of two networks have been trained."""
    from playwright.sync_api import expect

    home = tmp_path_factory.mktemp("rooms")
    runs = []
    for variant, accuracies in (("none", (0.80, 0.81, 0.79, 0.80)), ("eca", (0.85, 0.87, 0.84, 0.86))):
        for seed, accuracy in enumerate(accuracies, 101):
            runs.append(finished_run(home, RunConfig(seed=seed).changed(model__attention=variant), accuracy).run_id)
    room = Room(code=CODE, teacher=browser_of("another browser"), made=time.time(), first_seed=100, runs=tuple(runs))
    (home / "rooms").mkdir()
    write_json(home / "rooms" / f"{CODE}.json", room.model_dump(mode="json"))
    variables = {"ATTNLAB_HOME": str(home), "ATTNLAB_MODE": "classroom", "ATTNLAB_TEACHER_TOKEN": TOKEN}
    expect.set_options(timeout=PATIENT)
    with serve(ROOT / "app.py", home / "server.log", variables) as address:
        yield address
    expect.set_options(timeout=5_000)


def opened(chromium: Browser, address: str) -> Page:
    context: BrowserContext = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENT)
    page.goto(address)
    return page


def press(page: Page, key: str, wanted: Locator) -> None:
    """Presses a key until the page shows this: it listens a moment after it is drawn."""
    from playwright.sync_api import TimeoutError as NotShown

    for _ in range(9):
        page.keyboard.press(key)
        with suppress(NotShown):
            wanted.wait_for(timeout=10_000)
            return
    raise AssertionError(f"{key} did nothing")


def test_a_class_predicts_sees_its_clicks_and_its_board_follows_and_is_dismissed(chromium: Browser, url: str) -> None:
    from playwright.sync_api import expect

    teacher = opened(chromium, f"{url}/classroom")
    teacher.locator("input[type=password]").fill(TOKEN)
    teacher.get_by_role("button", name="Enter").click()
    teacher.get_by_text("This browser is the teacher").wait_for()
    teacher.goto(f"{url}/room?room={CODE}")
    expect(teacher.get_by_text("Nobody has entered yet.")).to_be_visible()
    expect(teacher.locator(f"img[alt^='QR code of http'][alt$='/room?room={CODE}']")).to_be_visible()

    students = [opened(chromium, f"{url}/room{link}") for link in ("", *[f"?room={CODE}"] * 2)]
    students[0].get_by_label("Code of the room").fill(CODE.lower())
    students[0].get_by_role("button", name="Enter").click()
    for student in students:
        expect(student.get_by_text(re.compile("Your seed is 10[123]"))).to_be_visible()

    # predict first
    teacher.get_by_role("button", name="Ask it").click()
    students[1].goto(f"{url}/predict?kind=place&item=spatial-7")  # by oneself it is the same question, and as closed
    for number, student in enumerate(students):
        student.locator("canvas.open").click(position={"x": 60 + 60 * number, "y": 90})
        expect(student.get_by_text("Your prediction is kept.")).to_be_visible()
        expect(student.get_by_text("peak area")).to_have_count(0)
    expect(teacher.get_by_text("3 of 3 have answered")).to_be_visible()
    expect(teacher.get_by_text("peak area")).to_have_count(0)

    # reveal
    teacher.get_by_role("button", name="Reveal").click()
    for student in students:
        expect(student.get_by_text(re.compile("Your click lies"))).to_be_visible()
        expect(student.get_by_text("The clicks of 3 browsers")).to_be_visible()
    students[1].goto(f"{url}/room")

    # board
    for page in (teacher, students[0]):
        row = page.get_by_role("row").filter(has_text="eca")
        expect(row.get_by_text(re.compile("85.5.±.1.3"))).to_be_visible()
        expect(row.get_by_text("+5.5 points")).to_be_visible()
        expect(page.get_by_text("With 4 seeds of each")).to_be_visible()

    for page in (teacher, students[0]):
        assert serious_findings(page) == []

    # follow, on every page; whoever looks around stays where they are, and comes back
    students[2].goto(f"{url}/lessons")
    teacher.get_by_text("The room follows my view").click()
    expect(students[2].get_by_role("heading", name="Room", exact=True)).to_be_visible()
    students[2].get_by_role("button", name="Look around by yourself").click()
    expect(students[2].get_by_role("button", name="Follow again")).to_be_visible()
    teacher.goto(f"{url}/predict?kind=Which+class+will+it+say%3F")
    for student in students[:2]:
        expect(student).to_have_url(re.compile("/predict.*kind=Which"))
        expect(student.get_by_text("you follow; the teacher is on Predict")).to_be_visible()
    assert "/room" in students[2].url
    students[2].get_by_role("button", name="Follow again").click()
    expect(students[2]).to_have_url(re.compile("/predict.*kind=Which"))

    # the projector, by the keyboard; the room follows there too
    teacher.goto(f"{url}/room?room={CODE}&present=1")
    expect(teacher.locator("h1.room-code")).to_be_visible()
    press(teacher, "ArrowRight", teacher.get_by_text("0 have answered"))
    press(teacher, "r", teacher.get_by_text(re.compile("The map:")))
    for student in students:
        expect(student).to_have_url(re.compile("/room"))
        expect(student.get_by_text(re.compile("The map:"))).to_be_visible()
    assert serious_findings(teacher) == []
    press(teacher, "f", teacher.get_by_text("The room does not follow your view."))

    # end
    teacher.goto(f"{url}/room?room={CODE}")
    teacher.get_by_text("End the room").click()
    teacher.get_by_role("button", name="End it").click()
    for student in students:
        expect(student.get_by_text("The room has ended")).to_be_visible()
    expect(teacher.get_by_text("Rooms that have ended (1)")).to_be_visible()
    for page in (teacher, *students):
        page.context.close()


ON_PAGE = {
    "inspect": ("menu", "run", "source", "surgery", "honesty", "downloads"),
    "train": ("menu", "data", "attention", "network", "training", "protocol"),
}
DRAWN = {"inspect": ".attention-viewer", "train": ".st-key-train-start"}
"""What is there when the page is, whatever is hidden."""


@pytest.mark.parametrize("place", ON_PAGE)
def test_a_locked_link_hides_what_it_hides_and_locks_the_rest(chromium: Browser, url: str, place: str) -> None:
    from playwright.sync_api import expect

    hidden, locked = ON_PAGE[place][::2], ON_PAGE[place][1::2]
    page = opened(chromium, f"{url}/{place}?hide={','.join(hidden)},nothing&lock={','.join(locked)}")
    for gone, kept in ((hidden, locked), (locked, hidden)):
        expect(page.locator(DRAWN[place]).first).to_be_visible()
        for part in kept:
            found = page.locator(", ".join(PARTS[part].selectors))
            expect(found.first).to_have_js_property("inert", True)
            assert found.first.evaluate(
                "node => [...node.querySelectorAll('*')].every(each => (each.focus?.(), document.activeElement !== each))"
            ), "no key reaches it"
        for part in gone:
            expect(page.locator(", ".join(PARTS[part].selectors))).to_have_count(0)
        assert f"hide={','.join(part for part in PARTS if part in gone)}&" in page.url.replace("%2C", ",") + "&"
        page.goto(f"{url}/{place}?hide={','.join(locked)}&lock={','.join(hidden)}")
    page.goto(f"{url}/{place}")
    for part in ON_PAGE[place]:
        expect(page.locator(", ".join(PARTS[part].selectors)).first).to_have_js_property("inert", False)
    page.context.close()


def test_a_lesson_keeps_from_step_to_step_what_its_link_hides(chromium: Browser, url: str) -> None:
    from playwright.sync_api import expect

    page = opened(chromium, f"{url}/?lesson=what-and-where&step=2&hide=menu")
    expect(page.get_by_text("step 2 of")).to_be_visible()
    page.get_by_role("button", name="Skip").click()  # the third step opens another view
    expect(page.get_by_text("step 3 of")).to_be_visible()
    expect(page.get_by_test_id("stTopNavSection")).to_have_count(0)
    assert "hide=menu" in page.url
    page.context.close()
