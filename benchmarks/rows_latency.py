"""How long does a person wait for a row of a large map, from the move of the pointer to the frame that draws it?

Points at random positions of the first run that has such a map, in headless Chromium, one after the other, each one new,
and waits in the page until the row is drawn. Printed are the times as a person has them (events, server,
way back, drawing), and how many bytes came and went for each.

    streamlit run app.py --server.port 8501 &
    python benchmarks/rows_latency.py "http://localhost:8501/inspect?run=RUN" [--moves 200] [--columns]
"""

from __future__ import annotations

import argparse
import os
import random

import numpy as np
from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
LATTICE = 33
"""Positions are taken from a lattice coarser than any large square map, so that no two lie in one cell."""
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

# the picture says "Loading…" until its row is there; both are written in the frame that draws
WAIT = """(canvas) => {
  const numbers = canvas.parentElement.querySelector(".numbers");
  window.waits = [];
  let begun = null;
  canvas.addEventListener("pointermove", () => (begun = performance.now()), { capture: true });
  new MutationObserver(() => {
    if (begun === null || numbers.textContent.startsWith("Loading")) return;
    window.waits.push(performance.now() - begun);
    begun = null;
  }).observe(numbers, { childList: true, characterData: true, subtree: true });
}"""


def main() -> None:
    """The address of the Inspect page with a run whose map is large."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--columns", action="store_true")
    given = parser.parse_args()
    got: list[int] = []
    sent: list[int] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        page.on("websocket", lambda opened: opened.on("framereceived", lambda data: got.append(len(data))))
        page.on("websocket", lambda opened: opened.on("framesent", lambda data: sent.append(len(data))))
        page.goto(given.address + "&rq=0.0312_0.0312" + ("&rc=1" if given.columns else "&rc=0"))
        canvas = page.locator(".large-maps canvas").first
        canvas.wait_for(timeout=120_000)
        canvas.scroll_into_view_if_needed()
        page.wait_for_timeout(4000)
        canvas.evaluate(WAIT)
        box = canvas.bounding_box()
        assert box is not None
        got.clear()
        sent.clear()
        for done, place in enumerate(random.Random(0).sample(range(LATTICE**2), given.moves)):
            row, column = divmod(place, LATTICE)
            u, v = (column + 0.5) / LATTICE, (row + 0.5) / LATTICE
            page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
            page.wait_for_function("(count) => window.waits.length > count", arg=done, timeout=30_000)
            page.wait_for_timeout(60)
        waits = np.array(page.evaluate("() => window.waits"))
        browser.close()
    if len(sent) != len(waits):
        raise SystemExit(f"{len(waits)} moves asked {len(sent)} times: some rows were known already, so this measures nothing")
    middle, late = np.quantile(waits, [0.5, 0.95])
    print(f"n {len(waits)}: median {middle:.0f} ms, p95 {late:.0f} ms, least {waits.min():.0f}, greatest {waits.max():.0f}")
    print(f"bytes a move: sent {sum(sent) / len(waits):,.0f}, received {sum(got) / len(waits):,.0f}")


if __name__ == "__main__":
    main()
