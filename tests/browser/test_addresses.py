"""Pages at the addresses that the docs name, and at those that older links have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.browser.conftest import Server


@pytest.mark.parametrize(
    ("address", "title"),
    [
        ("inspect?img=3", "Inspect"),
        ("inspect_attention?img=3", "Inspect"),
        ("open", "Open a network"),
        ("open_checkpoint", "Open a network"),
    ],
)
def test_a_page_has_its_short_address_and_the_older_one(server: Server, page: Page, address: str, title: str) -> None:
    from playwright.sync_api import expect

    page.goto(f"{server.url}/{address}")
    expect(page.get_by_role("heading", level=1)).to_have_text(title, timeout=60_000)
    expect(page.get_by_text("Page not found")).to_have_count(0)
    assert page.url.startswith(f"{server.url}/{address}")
