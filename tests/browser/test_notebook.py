"""What a notebook shows works in a browser that has no network: the frame that `attnlab.show` gives as HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

import attnlab

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_frame_in_a_notebook_holds_the_working_viewer(page: Page, tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), attnlab.build_attention("cbam", 4, (16, 16)))
    cell = attnlab.show(model, torch.rand(2, 3, 16, 16), mean=0, std=1)._repr_html_()
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><body>{cell}</body>", encoding="utf-8")
    page.context.set_offline(True)
    page.goto(file.as_uri())
    frame = page.frame_locator("iframe")
    frame.locator(".stage canvas").nth(1).wait_for()
    frame.get_by_role("button", name="cbam channel").click()
    frame.get_by_role("button", name="cbam spatial").click()
    frame.locator(".stage canvas").first.hover()
    assert frame.locator(".readout").first.inner_text().strip()
    with page.expect_download() as saved:
        frame.get_by_role("button", name="save PNG").click()
    assert saved.value.suggested_filename.endswith(".png")
