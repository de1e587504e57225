"""The main path in a real browser: start, train, watch the curve grow, reload in the middle, inspect, compare."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.conftest import Server

SMALL = {"form-dataset-subset": 1600, "form-dataset-test_subset": 100, "form-model-width": 8, "form-training-epochs": 6}
PATIENT = 120_000
TRAINING = re.compile(r"self_attention.* train \d")


def fill(page: Page, key: str, value: int) -> None:
    box = page.locator(f".st-key-{key} input")
    box.fill(str(value))
    box.press("Enter")


def go(page: Page, section: str, title: str) -> None:
    """To a page by the menu."""
    page.get_by_test_id("stTopNavSection").filter(has_text=section).click()
    page.get_by_test_id("stTopNavDropdownLink").filter(has_text=title).first.click()


def loss_chart(page: Page) -> Locator:
    return page.locator("canvas[aria-label^='loss']")


def test_start_train_reload_inspect_compare(server: Server, page: Page, chromium: Browser) -> None:
    from playwright.sync_api import expect

    page.goto(server.url)
    expect(page.get_by_role("heading", name="What does a network look at?")).to_be_visible(timeout=PATIENT)
    page.get_by_role("link", name="Train", exact=True).first.click()
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible(timeout=PATIENT)
    for key, value in SMALL.items():
        fill(page, key, value)
    expect(page.locator(".st-key-form-training-epochs input")).to_have_value("6")
    fill(page, "form-budget-seconds", 36_000)
    page.get_by_role("button", name="Start", exact=True).click()

    # a few steps are timed, and the page says what fits
    expect(page.get_by_text("All 6 epochs fit into 10 h on this machine")).to_be_visible(timeout=PATIENT)

    # the curve grows while nobody does anything
    expect(loss_chart(page)).to_have_attribute("aria-label", TRAINING, timeout=PATIENT)
    before = loss_chart(page).get_attribute("aria-label")
    expect(page.get_by_text(re.compile(r"epoch \d of 6"))).to_be_visible(timeout=PATIENT)
    expect(loss_chart(page)).not_to_have_attribute("aria-label", before or "", timeout=PATIENT)

    # zoom stays while it grows
    box = loss_chart(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 80, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, box["y"] + 70, steps=4)
    page.mouse.up()
    reset = page.get_by_role("button", name="reset zoom")
    expect(reset).to_be_enabled()
    progress = page.get_by_text(re.compile(r"step [\d,]+ of")).inner_text()
    expect(page.get_by_text(progress, exact=True)).to_have_count(0, timeout=PATIENT)
    expect(reset).to_be_enabled()

    # a reload in the middle loses nothing, and another browser sees the same
    run = re.search(r"run=([^&]+)", page.url)
    assert run is not None
    page.reload()
    expect(loss_chart(page)).to_have_attribute("aria-label", TRAINING, timeout=PATIENT)
    assert run[1] in page.url
    other = chromium.new_page()
    other.goto(f"{server.url}/train")
    expect(loss_chart(other)).to_have_attribute("aria-label", TRAINING, timeout=PATIENT)
    other.close()

    row = page.locator(f".st-key-train-done-{run[1]}")
    expect(row.get_by_text("test accuracy")).to_be_visible(timeout=PATIENT)

    row.get_by_role("link", name="Inspect").click()
    expect(page.get_by_role("heading", name="Inspect", exact=True)).to_be_visible(timeout=PATIENT)
    expect(page.locator("canvas").first).to_be_visible(timeout=PATIENT)
    assert run[1] in page.url

    go(page, "Compare", "Compare")
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible(timeout=PATIENT)
    expect(page.get_by_role("heading", name="Every run")).to_be_visible(timeout=PATIENT)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    text = download.value.path().read_text()
    assert text.startswith("variant,test accuracy (%)")
    assert "conv_autoencoder" in text


def test_a_link_to_a_page_opens_that_page_on_a_fresh_server(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(f"{server.url}/compare")
    expect(page.get_by_role("heading", name="Compare", exact=True)).to_be_visible(timeout=PATIENT)
    go(page, "Train", "Train")
    expect(page.get_by_role("heading", name="Train", exact=True)).to_be_visible(timeout=PATIENT)
