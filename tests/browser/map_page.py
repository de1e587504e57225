"""The viewer with maps that a person can tell by heart, and what a person does with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from attnlab.ui.components.offline import offline_page
from attnlab.viz.panels import Panel, layer

if TYPE_CHECKING:
    from playwright.sync_api import Page

IMAGE = np.full((16, 16, 3), 128, np.uint8)
STEPS = (0, 10, 200)


def panels() -> list[Panel]:
    """Four maps, one of them over the steps of a training."""
    ramp = np.tile(np.linspace(0, 1, 8), (8, 1))
    one_looks_left = np.zeros((16, 16))
    one_looks_left[:, 0] = 1  # every position looks at the upper left one
    features = np.array([np.full((2, 2), 7.0), np.eye(2), 3 * np.eye(2)[::-1] - 1, np.zeros((2, 2))])
    layers = [
        layer("ramp", "spatial", ramp, title="ramp"),
        layer("gates", "channel", np.array([0.1, 0.9, 0.5, 0.3]), title="gates", features=layer("f", "element", features)),
        layer("pairs", "pairwise", one_looks_left, title="pairs", scale="softmax", grid=(4, 4)),
        layer(
            "learned",
            "spatial",
            np.stack([np.full((2, 2), value) for value in (0.0, 0.5, 1.0)]),
            title="learned",
            over_time=True,
        ),
    ]
    table = np.array([[0.5, 0.5], [0.3, 0.7], [0.1, 0.9]], np.float32)
    return [Panel("one run", IMAGE, layers, classes=("cat", "dog"), probabilities=table, truth=1, steps=STEPS)]


def open_file(page: Page, folder: Path) -> None:
    """Opens the offline page of the maps from a file, in a browser that has no network."""
    file = folder / "offline.html"
    file.write_text(offline_page(panels(), title="An offline page"), encoding="utf-8")
    page.context.set_offline(True)
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(file.as_uri())
    page.wait_for_selector(".stage canvas")


def choose(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def frame(page: Page) -> None:
    """Waits until what was changed is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def hover(page: Page, u: float, v: float) -> str:
    box = page.locator(".stage canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
    frame(page)
    return page.locator(".readout").inner_text()


def colour(page: Page, u: float, v: float) -> list[int]:
    """The drawn colour at a place of the stage."""
    frame(page)
    return page.locator(".stage canvas").evaluate(
        "(canvas, [u, v]) => [...canvas.getContext('2d').getImageData(u * canvas.width, v * canvas.height, 1, 1).data]", [u, v]
    )


def slide(page: Page, label: str, value: float) -> None:
    page.get_by_label(label, exact=True).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input', {bubbles: true})); }", value
    )
    frame(page)
