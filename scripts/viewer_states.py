"""Pictures of the viewer in each of its states, for make_screenshots.py. A state is a link; some need a click more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"


def point_at_a_channel(page: Page) -> None:
    """The pointer rests on a bar, so that the strip shows which neighbours decide its gate."""
    strip = page.locator(".attention-viewer canvas.strip").first
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_timeout(300)


def during_training(page: Page) -> None:
    """The source with steps, a fifth of the way."""
    page.get_by_role("radio", name="During training").or_(page.get_by_role("button", name="During training")).first.click()
    slider = page.get_by_label("Training step")
    slider.wait_for(timeout=60_000)
    page.wait_for_timeout(2500)
    slider.evaluate(
        "(input) => { input.value = Math.round(input.max / 3); input.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.wait_for_timeout(300)


def nothing(page: Page) -> None:
    """The link says all."""


STATES: dict[str, tuple[tuple[str, ...], str, Callable[[Page], None]]] = {
    "viewer-spatial": (("*-cbam-*",), "ly=1&op=0.75", nothing),
    "viewer-channels": (("*-eca-*",), "ly=0", point_at_a_channel),
    "viewer-element": (("*-conv_autoencoder-*",), "ly=0&ch=3&so=1", nothing),
    "viewer-pairs": (("*-self_attention-*",), "ly=0&px=0.450_0.350~0.600_0.700&sc=map", nothing),
    "viewer-entropy": (("*-self_attention-*",), "ly=0&pr=entropy", nothing),
    "viewer-depths": (("*-cbam-*",), "al=1", nothing),
    "viewer-compare": (("*-cbam-*", "*-eca_cbam_spatial-*", "*-conv_autoencoder-*"), "px=0.500_0.500", nothing),
    "viewer-pictures": (("*-cbam-*",), "img=3&img=20&ly=1&op=0.75", nothing),
    "viewer-time": (("*-self_attention-*",), "op=0.75&sc=map", during_training),
}
"""Name -> patterns of the shipped run and of those beside it, the view's part of the link, what is done then."""


def take_state(page: Page, base: str, name: str, out: Path, settle: Callable[[Page], None]) -> None:
    """Saves the viewer alone, with 256 colours that cover the colour bar as well as the large areas."""
    patterns, view, act = STATES[name]
    first, *beside = [min(DEMO.glob(pattern)).name for pattern in patterns]
    also = "".join(f"&beside={run}" for run in beside)
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 2600})  # type: ignore[index]
    page.goto(f"{base}/inspect?run={first}{also}&img=12&{view}", wait_until="domcontentloaded")
    viewer = page.locator(".attention-viewer").first
    viewer.wait_for(timeout=90_000)
    settle(page)
    act(page)
    viewer.screenshot(path=out)
    with Image.open(out) as taken:
        taken.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(out, optimize=True)
