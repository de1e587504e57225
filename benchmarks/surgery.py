"""How long a person waits for the prediction after an operation on the attention: one forward for one image, on the CPU.

For each shipped run and each operation that fits its network, what happens when a control or the brush is released: the
forward with changed attention, in which the changed maps are recorded too. The first forwards warm up and do not count.

    python benchmarks/surgery.py [--repeats 50] [--threads 1] [--images 500] [--json out.json]

With ``--browser`` it also starts the app and measures, in headless Chromium on the first shipped run with CBAM, from the
release of a brush stroke to the changed map on the screen.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from attnlab import paths  # noqa: E402
from attnlab.data import load_dataset  # noqa: E402
from attnlab.explain.open_run import open_run  # noqa: E402
from attnlab.explain.surgery.effect import accuracy_change, operate, standard_interventions  # noqa: E402
from attnlab.explain.surgery.operations import Intervention, applicable  # noqa: E402

TARGET = 200.0
WARM_UP = 5
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=50, help="forwards of each operation")
    arguments.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments.add_argument("--json", type=Path, help="also write the figures here")
    arguments.add_argument("--images", type=int, default=0, help="also the change in accuracy over so many test images")
    arguments.add_argument("--browser", action="store_true", help="also measure a brush stroke in Chromium")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    folders = sorted(folder for folder in paths.DEMO_RUNS.iterdir() if folder.is_dir())
    rows = [row for folder in folders if (row := measured(folder, given.repeats))]
    print(f"{'run':44} {'median':>8} {'p95':>8} {'max':>8}   n  slowest operation")
    for row in rows:
        print(f"{row['run']:44} {row['median']:6.1f}ms {row['p95']:6.1f}ms {row['max']:6.1f}ms {row['n']:4}  {row['slowest']}")
    worst = max(row["p95"] for row in rows)
    print(f"target {TARGET:.0f} ms: {'met' if worst < TARGET else 'missed'} (largest p95 {worst:.1f} ms)")
    result: dict[str, Any] = {"torch": torch.__version__, "threads": given.threads, "target_ms": TARGET, "rows": rows}
    if given.images:
        result["accuracy"] = [row for folder in folders if (row := accuracies(folder, given.images))]
    if given.browser:
        result["browser"] = stroke_times()
        print(f"brush released to map changed: {result['browser']}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def measured(folder: Path, repeats: int) -> dict[str, Any] | None:
    """Milliseconds over all operations of one run; `None` for a network without attention."""
    opened = open_run(folder)
    operations = applicable(opened.model)
    if not operations:
        return None
    images = load_dataset(opened.config.dataset).test.images
    target = torch.full(opened.shape[1:], torch.nan)
    target[: opened.shape[1] // 2] = 0.0
    times: dict[str, list[float]] = {}
    for operation in operations:
        intervention = Intervention(operation.name, target=target if operation.name == "paint" else None)
        spent = []
        for index in range(WARM_UP + repeats):
            image = images[index % len(images)][None]
            begun = time.perf_counter()
            operate(opened.model, image, opened.mean, opened.std, intervention, probabilities=opened.probabilities)
            spent.append(1000 * (time.perf_counter() - begun))
        times[operation.name] = spent[WARM_UP:]
    every = np.concatenate(list(times.values()))
    return {
        "run": folder.name,
        **summary(every),
        "slowest": max(times, key=lambda name: float(np.median(times[name]))),
        "operations": {name: summary(np.array(spent)) for name, spent in times.items()},
    }


def accuracies(folder: Path, count: int) -> dict[str, Any] | None:
    """The change in accuracy of every operation over the first test images; `None` for a network without attention."""
    opened = open_run(folder)
    given = standard_interventions(opened.model)
    if not given:
        return None
    split = load_dataset(opened.config.dataset).test
    images, labels = split.images[:count], split.labels[:count]
    begun = time.perf_counter()
    changes = accuracy_change(opened.model, images, labels, opened.mean, opened.std, given, probabilities=opened.probabilities)
    seconds = time.perf_counter() - begun
    print(f"\n{folder.name}: {100 * changes[0].before:.1f} % of {changes[0].n} test images; all operations in {seconds:.1f} s")
    found = []
    for change in changes:
        name = " ".join(filter(None, [change.intervention.operation, f"{change.intervention.amount or ''}"]))
        low, high = 100 * change.change.low, 100 * change.change.high
        print(f"  {name:18} {100 * change.change.value:+6.1f} points [{low:+.1f}, {high:+.1f}], p {change.p_holm:.2g} (Holm)")
        found.append(
            {"operation": name, "change": change.change.value, "low": low / 100, "high": high / 100, "p": change.p_holm}
        )
    return {"run": folder.name, "n": changes[0].n, "before": changes[0].before, "seconds": round(seconds, 1), "changes": found}


def summary(spent: Any) -> dict[str, Any]:
    median, p95 = np.percentile(spent, [50, 95])
    return {
        "median": round(float(median), 2),
        "p95": round(float(p95), 2),
        "max": round(float(spent.max()), 2),
        "n": len(spent),
    }


def stroke_times(strokes: int = 20) -> dict[str, Any]:
    """Milliseconds from the release of a stroke to a changed right picture, with its pixels read in every frame."""
    from playwright.sync_api import sync_playwright

    run = sorted(paths.DEMO_RUNS.glob("*-cbam-*"))[0].name
    with server() as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.goto(f"{url}/inspect?run={run}&surgery=true&operation=Painted")
        page.wait_for_selector(".mask-editor canvas", timeout=120_000)
        page.get_by_role("button", name="erase", exact=True).click()
        left = page.locator(".mask-editor canvas").first
        left.scroll_into_view_if_needed()
        page.wait_for_timeout(2000)
        box = left.bounding_box()
        assert box is not None
        spent = []
        for index in range(strokes):
            x, y = box["x"] + box["width"] * (0.1 + 0.04 * index), box["y"] + box["height"] * 0.5
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.move(x, y + 40, steps=5)
            left.evaluate(WATCH)
            page.mouse.up()
            spent.append(float(page.evaluate("window.changed_")))
            page.wait_for_timeout(300)
        browser.close()
    return summary(np.array(spent))


# Resolves with the time from the pointer's release to the first frame in which the right picture is another one.
WATCH = """(left) => {
  const right = left.getRootNode().querySelectorAll(".mask-editor canvas")[1];
  const look = () => right.getContext("2d").getImageData(0, 0, right.width, right.height).data.join();
  const before = look();
  window.changed_ = new Promise((done) => {
    window.addEventListener("pointerup", () => {
      const begun = performance.now();
      const watch = () => (look() !== before ? done(performance.now() - begun) : requestAnimationFrame(watch));
      requestAnimationFrame(watch);
    }, { once: true, capture: true });
  });
}"""


@contextmanager
def server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.address", "127.0.0.1"]
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"ATTNLAB_HOME": home}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            end = time.monotonic() + 60
            while time.monotonic() < end:
                with (
                    suppress(URLError, TimeoutError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2),
                ):
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


if __name__ == "__main__":
    main()
