"""Pictures of the viewer in each of its states and of the parts of *All blocks*, for make_screenshots.py.

A state is a link; some need a click more.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from attnlab import paths

DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"
TRANSFORMER = "*-vit-*"
PATIENCE = 240_000
"""Milliseconds that a page may take on a busy machine."""


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
    "viewer-branches": (("*-selective_kernel-*",), "", nothing),
    "viewer-heads": (("*-bottleneck-*",), "", nothing),
    "viewer-margins": (("*-coordinate-*",), "", nothing),
    "viewer-factors": (("*-gct-*",), "", nothing),
    "viewer-gathered": (("*-bottleneck-*",), "ly=4", nothing),
    "viewer-readout": (("*-global_context-*",), "", nothing),
    "viewer-time": (("*-self_attention-*",), "op=0.75&sc=map", during_training),
}
"""Name -> patterns of the shipped run and of those beside it, the view's part of the link, what is done then."""


PARTS = ("heads", "together", "distances", "patches", "positions")
"""The parts of *All blocks* of a transformer."""


def run_of(pattern: str) -> str:
    """The id of a shipped run, or of one of the app's home, that `scripts.picture_runs` has trained."""
    found = sorted(DEMO.glob(pattern)) or sorted(paths.runs_dir().glob(pattern))
    if not found:
        raise SystemExit(f"there is no run {pattern}: train it with python -m scripts.picture_runs, in the home of the app")
    return found[0].name


def take_parts(page: Page, base: str, out: Path, look: str, settle: Callable[[Page], None]) -> None:
    """Saves the parts of *All blocks*, each as tokens-PART-LOOK.png in a folder."""
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 4000})  # type: ignore[index]
    page.goto(f"{base}/inspect?run={run_of(TRANSFORMER)}&img=12&tokens=true", wait_until="domcontentloaded")
    page.locator(f".st-key-tokens-part-{PARTS[-1]}").wait_for(timeout=PATIENCE)
    settle(page)
    for part in PARTS:
        file = out / f"tokens-{part}-{look}.png"
        page.locator(f".st-key-tokens-part-{part}").screenshot(path=file)
        fewer_colours(file)


def fewer_colours(picture: Path) -> None:
    """256 colours that cover the colour bar as well as the large areas."""
    with Image.open(picture) as taken:
        taken.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(picture, optimize=True)


def take_state(page: Page, base: str, name: str, out: Path, settle: Callable[[Page], None]) -> None:
    """Saves the viewer alone."""
    patterns, view, act = STATES[name]
    first, *beside = map(run_of, patterns)
    also = "".join(f"&beside={run}" for run in beside)
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 2600})  # type: ignore[index]
    page.goto(f"{base}/inspect?run={first}{also}&img=12&{view}", wait_until="domcontentloaded")
    viewer = page.locator(".attention-viewer").first
    viewer.wait_for(timeout=PATIENCE)
    settle(page)
    act(page)
    viewer.screenshot(path=out)
    fewer_colours(out)
