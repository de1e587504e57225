"""Takes the pictures of docs/screenshots from a running app: every page in light, in dark and at phone width.

streamlit run app.py --server.port 8501 &
python docs/make_screenshots.py http://localhost:8501
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).parent / "screenshots"
PAGES = {
    "home": "",
    "train": "train",
    "inspect": "inspect_attention",
    "compare": "compare",
    "reproduce": "reproduce",
    "melanoma": "melanoma",
    "open-checkpoint": "open_checkpoint",
}
LOOKS = {
    "light": ("light", 1360, 900),
    "dark": ("dark", 1360, 900),
    "phone": ("light", 390, 844),
}
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]


def settle(page: Page) -> None:
    """Waits until the page's script has ended and nothing is being drawn."""
    page.get_by_role("heading").first.wait_for(timeout=60_000)
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')", timeout=90_000
    )
    page.wait_for_timeout(2500)


def main() -> None:
    """Address of the app, then the pages wanted; all of them without."""
    base = sys.argv[1].rstrip("/")
    wanted = sys.argv[2:] or list(PAGES)
    OUT.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        for look, (scheme, width, height) in LOOKS.items():
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
            page.on("pageerror", lambda error: print("page error:", error))
            for name in wanted:
                page.goto(f"{base}/{PAGES[name]}", wait_until="domcontentloaded")
                settle(page)
                page.screenshot(path=OUT / f"{name}-{look}.png")
                print(name, look, flush=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
