"""The grid of all heads of all blocks in a real browser: a click on a small map enlarges it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.example_runs import SMALL_MAPS, trained_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server

VIT = SMALL_MAPS.changed(
    dataset__subset=40,
    dataset__test_subset=20,
    model__backbone="vit",
    model__attention="none",
    model__width=8,
    model__options={"depth": 2, "heads": 2},
)
PATIENT = 120_000


@pytest.mark.slow
def test_a_click_on_a_small_map_enlarges_its_head(server: Server, page: Page) -> None:
    from playwright.sync_api import expect

    run = trained_run(VIT, server.home / "runs")
    page.goto(f"{server.url}/inspect?run={run.run_id}&tokens=true")
    part = page.locator(".st-key-tokens-part-heads")
    enlarged = part.get_by_role("heading", name="block 2 · head 2")
    expect(enlarged).to_be_visible(timeout=PATIENT)
    column, row = part.locator(".xtick text", has_text="head 2"), part.locator(".ytick text", has_text="block 1")
    for name in (column, row):
        expect(name).to_be_visible(timeout=PATIENT)
    row.scroll_into_view_if_needed()
    across, down = column.bounding_box(), row.bounding_box()
    assert across is not None and down is not None
    page.mouse.click(across["x"] + across["width"] / 2, down["y"] + down["height"] / 2)
    expect(part.get_by_role("heading", name="block 1 · head 2")).to_be_visible(timeout=PATIENT)
    expect(enlarged).to_be_hidden()
    chosen = part.get_by_role("combobox")
    expect(chosen.first).to_have_value("block 1 · head 2")
