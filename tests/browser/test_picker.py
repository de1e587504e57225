"""Several pictures of one run in a real browser: with Shift, with the button for those who have none, and from the link."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from attnlab import paths

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

PATIENT = 120_000


def test_pictures_are_laid_beside_each_other(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    shipped = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))
    if not shipped:
        pytest.skip("no shipped run with CBAM")
    page.goto(f"{server.url}/inspect?run={shipped[0].name}&img=2")
    cards = page.locator(".card h4")
    expect(cards).to_have_text(["cbam"], timeout=PATIENT)
    strip = page.get_by_role("option")

    strip.nth(5).click(modifiers=["Shift"])
    expect(cards).to_have_text(["test image 2", "test image 5"], timeout=PATIENT)
    expect(page).to_have_url(re.compile(r"img=2&img=5"))
    several = page.get_by_role("button", name="select several")
    expect(several).to_have_attribute("aria-pressed", "true")

    strip.nth(0).click()  # the button is down, so that a finger without Shift goes on adding
    expect(cards).to_have_text(["test image 2", "test image 5", "test image 0"], timeout=PATIENT)
    strip.nth(5).click()
    expect(cards).to_have_text(["test image 2", "test image 0"], timeout=PATIENT)
    page.reload()
    expect(cards).to_have_text(["test image 2", "test image 0"], timeout=PATIENT)

    several.click()
    expect(cards).to_have_text(["cbam"], timeout=PATIENT)
    strip.nth(7).click()
    expect(page).to_have_url(re.compile(r"img=7(&|$)"))
