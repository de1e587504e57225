"""Takes the pictures of docs/screenshots from a running app: every page, and every state of the viewer, in light, in dark,
at phone width and as on a projector. What is not shipped is trained first.

export ATTNLAB_HOME=/tmp/pictures
python -m scripts.picture_runs
streamlit run app.py --server.port 8501 &
python -m scripts.make_screenshots http://localhost:8501
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from scripts.viewer_states import PATIENCE, STATES, take_parts, take_state

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "screenshots"
PAGES = {
    "home": "",
    "lessons": "lessons",
    "lesson": "inspect?lesson=what-and-where&step=2",
    "predict": "predict",
    "room": "room",
    "anatomy": "anatomy?variant=eca",
    "train": "train",
    "inspect": "inspect",
    "compare": "compare",
    "league": "league",
    "reproduce": "reproduce",
    "melanoma": "melanoma",
    "search": "search",
    "open-checkpoint": "open",
}
SECTIONS = {"surgery": ("inspect?surgery=true&operation=Painted&img=12", "*-cbam-*", ".st-key-surgery")}
"""Parts of a page: its address, which shipped run, and the element."""
SHOWS = {"home": ".attention-viewer", "inspect": ".attention-viewer", "lesson": ".attention-viewer"}
"""Pages with a viewer, and what they show when it is there."""
MOVES_FOR = 14_000
"""Milliseconds until the training that Home plays has come to its end."""
LOOKS = {
    "light": ("light", 1360, 900),
    "dark": ("dark", 1360, 900),
    "phone": ("light", 390, 844),
    "projector": ("light", 1280, 720),
}
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def settle(page: Page) -> None:
    """Waits until the page's script has ended and nothing is being drawn."""
    page.get_by_role("heading").first.wait_for(timeout=PATIENCE)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')", timeout=PATIENCE
    )
    page.wait_for_timeout(2500)


def section(page: Page, base: str, name: str, out: Path) -> None:
    """A picture of one part of a page, with a stroke of the brush where it has one."""
    address, pattern, selector = SECTIONS[name]
    run = min((ROOT / "checkpoints" / "demo").glob(pattern)).name
    page.set_viewport_size({"width": page.viewport_size["width"], "height": 2600})  # type: ignore[index]
    page.goto(f"{base}/{address}&run={run}", wait_until="domcontentloaded")
    page.locator(selector).wait_for(timeout=PATIENCE)
    settle(page)
    for left in page.locator(".mask-editor.painting canvas").all()[:1]:
        page.get_by_role("button", name="erase", exact=True).click()
        box = left.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.35 * box["width"], box["y"] + 0.35 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.65 * box["width"], box["y"] + 0.65 * box["height"], steps=20)
        page.mouse.up()
        page.wait_for_timeout(1500)
    page.locator(selector).screenshot(path=out)


def main() -> None:
    """Address of the app, then the pictures and looks wanted; all of them without."""
    base, given = sys.argv[1].rstrip("/"), sys.argv[2:]
    wanted = [name for name in given if name not in LOOKS] or [*PAGES, *SECTIONS, *STATES, "tokens"]
    looks = [name for name in LOOKS if name in given] or list(LOOKS)
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for look in looks:
            scheme, width, height = LOOKS[look]
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.set_default_timeout(PATIENCE)
            page.on("pageerror", lambda error: print("page error:", error))
            for name in wanted:
                out = OUT / f"{name}-{look}.png"
                if name in SECTIONS:
                    section(page, base, name, out)
                elif name in STATES:
                    take_state(page, base, name, out, settle)
                elif name == "tokens":
                    take_parts(page, base, OUT, look, settle)
                else:
                    page.set_viewport_size({"width": width, "height": height})
                    page.goto(f"{base}/{PAGES[name]}", wait_until="domcontentloaded")
                    settle(page)
                    if name in SHOWS:
                        page.locator(SHOWS[name]).first.wait_for(timeout=PATIENCE)
                        page.wait_for_timeout(MOVES_FOR)
                    page.screenshot(path=out)
                print(name, look, flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
