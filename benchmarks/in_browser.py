"""How fast a network answers an edit in the browser, how large it is to load, and whether memory stays flat over many edits.

In headless Chromium, for one shipped run of each kind: the time from an edit of its maps to new probabilities, on the page's
own thread, beside the server's way for the same edit (one forward of PyTorch with one thread, without the trip there and back).

    python benchmarks/in_browser.py [--edits 200] [--many 10000] [--json docs/figures/in_browser.json]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from attnlab import paths  # noqa: E402
from attnlab.explain.in_browser import NotExportedError, exported  # noqa: E402
from attnlab.explain.open_run import OpenRun, open_run  # noqa: E402
from attnlab.explain.surgery.effect import operate  # noqa: E402
from attnlab.explain.surgery.operations import Intervention  # noqa: E402
from attnlab.ui.components.modules import HERE, joined  # noqa: E402

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--enable-precise-memory-info"]
FLAGS += ["--disable-background-networking", "--js-flags=--expose-gc"]

# Makes the network, then edits it again and again, each time a little differently; memory is read after the page has tidied up.
MEASURE = """async ([content, edits]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
  const begun = performance.now();
  const network = new Network(bytes);
  const load = performance.now() - begun;
  const [channels, height, width] = network.about.shape;
  const pixels = Uint8Array.from({ length: channels * height * width }, (_, at) => (7919 * at) % 256);
  const heap = () => { gc(); return performance.memory.usedJSHeapSize; };
  const one = (at) => network.run(pixels, editOf({ operation: "temperature", amount: 0.2 + (at % 50) / 10, taps: null }));
  for (let at = 0; at < 20; at++) one(at);
  const before = heap();
  const times = [];
  for (let at = 0; at < edits; at++) {
    const start = performance.now();
    one(at);
    times.push(performance.now() - start);
    if (at % 50 === 0) await new Promise((done) => setTimeout(done));
  }
  const { floats, operations } = network.about;
  return { load, times, memory: (heap() - before - 16 * edits) / 1e6, floats, operations };
}"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--edits", type=int, default=200, help="edits of each network")
    arguments.add_argument("--many", type=int, default=10_000, help="edits of the first network with CBAM, for memory")
    arguments.add_argument("--json", type=Path, help="also write the figures here")
    given = arguments.parse_args()
    torch.set_num_threads(1)
    from playwright.sync_api import sync_playwright

    rows: list[dict[str, Any]] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        text = "\n".join(joined(HERE / "network" / name) for name in ("network.js", "operations.js"))
        page.set_content("<title>networks</title>")
        page.add_script_tag(type="module", content=f"{text}\nObject.assign(window, {{ Network, editOf }});")
        page.wait_for_function("!!window.Network")
        for run in one_of_each():
            begun = time.perf_counter()
            try:
                content = exported(run)
            except NotExportedError as error:
                print(f"{run.name}: not in the browser, because {error}")
                continue
            seconds = time.perf_counter() - begun
            encoded = base64.b64encode(content).decode()
            found = page.evaluate(MEASURE, [encoded, given.edits])
            rows.append(
                {
                    "run": run.name,
                    "million_operations": round(found["operations"] / 1e6, 1),
                    "kilobytes": round(len(content) / 1e3),
                    "export_s": round(seconds, 2),
                    "load_ms": round(found["load"], 1),
                    "memory_mb": round(4 * found["floats"] / 1e6, 1),
                    "browser": summary(found["times"]),
                    "server_forward": summary(on_the_server(run, min(given.edits, 100))),
                }
            )
            print(json.dumps(rows[-1]))
            if "-cbam-" in run.name and given.many:
                many = page.evaluate(MEASURE, [encoded, given.many])
                rows[-1]["many"] = {"edits": given.many, "heap_growth_mb": round(many["memory"], 2), **summary(many["times"])}
                print(json.dumps(rows[-1]["many"]))
        browser.close()
    load = [round(value, 1) for value in os.getloadavg()]
    print(f"load of the machine: {load}")
    if given.json:
        given.json.write_text(json.dumps({"torch": torch.__version__, "load": load, "rows": rows}, indent=1) + "\n")


def one_of_each() -> list[OpenRun]:
    """The first shipped run of each data set, network and variant that has attention."""
    first: dict[str, Path] = {}
    for folder in sorted(path for path in paths.DEMO_RUNS.iterdir() if path.is_dir()):
        first.setdefault(folder.name.rsplit("-", 2)[0], folder)
    return [open_run(folder) for name, folder in first.items() if "small_cnn-none" not in name]


def on_the_server(run: OpenRun, edits: int) -> list[float]:
    """Milliseconds of the same edits with PyTorch."""
    image = torch.randint(0, 256, (1, *run.shape), dtype=torch.uint8)
    spent = []
    for at in range(edits + 5):
        begun = time.perf_counter()
        made = Intervention("temperature", 0.2 + (at % 50) / 10)
        operate(run.model, image, run.mean, run.std, made, probabilities=run.probabilities)
        spent.append(1000 * (time.perf_counter() - begun))
    return spent[5:]


def summary(spent: list[float]) -> dict[str, Any]:
    """Milliseconds: median, 95th percentile, smallest."""
    median, p95 = np.percentile(spent, [50, 95])
    return {"median": round(float(median), 2), "p95": round(float(p95), 2), "least": round(min(spent), 2), "n": len(spent)}


if __name__ == "__main__":
    main()
