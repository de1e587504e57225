"""From the pointer to the painted prediction: the network in the browser against the server's way, in one run.

    python -m benchmarks.surgery_drag [--moves 200] [--strokes 20] [--busy] [--out docs/figures/surgery_drag.json]

In headless Chromium, on the shipped run with CBAM, or another one by ``--run``. In the browser's way a brush is dragged over
the map, and each time runs from a pointer event to the end of the frame in which the bars of the prediction have changed. In
the server's way the bars follow when the brush is lifted, so there it runs from that. Frames that the page sends to the server
while the brush is dragged are counted. With ``--busy`` both are measured again while a run trains and 28 protocol clients work
(`benchmarks.load`).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from attnlab import paths
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.training.presets import one_minute
from attnlab.worker import session
from benchmarks.app_server import AppServer, app_server
from benchmarks.load import CHROMIUM, FLAGS, LARGE_MAPS, give_way_entirely, students_visit, wait_for

STUDENTS, THINK = 28, 5.0

# Notes the time from the first event of a kind that has not been answered to the end of the frame in which the bars changed.
WATCH = """(bars, kind) => {
  window.times = [];
  let since = null;
  window.addEventListener(kind, (event) => { since ??= event.timeStamp; }, { capture: true });
  const channel = new MessageChannel();
  channel.port1.onmessage = ({ data }) => window.times.push(performance.now() - data);
  new MutationObserver(() => {
    if (since === null) return;
    channel.port2.postMessage(since);
    since = null;
  }).observe(bars, { subtree: true, childList: true, characterData: true, attributes: true });
}"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--run", default="", help="a shipped run by the beginning of its name")
    arguments.add_argument("--moves", type=int, default=200, help="pointer events of the drag in the browser")
    arguments.add_argument("--strokes", type=int, default=20, help="strokes that the server answers")
    arguments.add_argument("--busy", action="store_true", help="measure again with a class and a training")
    arguments.add_argument("--out", type=Path, help="also write the figures here")
    given = arguments.parse_args()
    shipped = sorted(folder.name for folder in paths.DEMO_RUNS.iterdir() if folder.is_dir())
    run = next(name for name in shipped if (name.startswith(given.run) if given.run else "-cbam-" in name))
    with tempfile.TemporaryDirectory(prefix="attnlab-drag-") as place:
        home = Path(place)
        with app_server(home, classroom=given.busy) as server:
            figures: dict[str, Any] = {"run": run, "cores": os.cpu_count(), "idle": both(server, run, given)}
            if given.busy:
                with class_and_training(server):
                    figures |= {"busy": both(server, run, given), "busy load": os.getloadavg()}
    print(json.dumps(figures, indent=1))
    if given.out:
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


@contextmanager
def class_and_training(server: AppServer) -> Iterator[None]:
    """A run that trains, and students who work, until the block ends."""
    large = RunFolder.create(server.home / "runs", LARGE_MAPS, title="large maps")
    if session.run(large.path).state is not RunState.FINISHED:
        raise SystemExit("the run with large maps did not finish")
    training = RunFolder.create(server.home / "runs", one_minute("eca").changed(training__epochs=1000), queued=0.0)
    wait_for(RunState.RUNNING, training)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=give_way_entirely) as crowd:
        class_ = crowd.submit(students_visit, server.address, STUDENTS, 150.0, THINK)
        time.sleep(20)
        yield
        training.request("stop")
        class_.result()


def both(server: AppServer, run: str, given: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of both ways, one after the other."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        found: dict[str, dict[str, Any]] = {}
        for way in ("browser", "server"):
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            sent: list[int] = []
            loaded: list[Any] = []
            _listen(page, sent, loaded)
            page.goto(f"{server.address}/inspect?run={run}&surgery=true&operation=Painted&where=every map&way={way}")
            page.get_by_role("button", name="erase", exact=True).click(timeout=180_000)
            canvas = page.locator(".mask-editor canvas").first
            canvas.scroll_into_view_if_needed()
            page.wait_for_timeout(4000)
            box = canvas.bounding_box()
            assert box is not None
            page.locator(".before-after").first.evaluate(WATCH, "pointermove" if way == "browser" else "pointerup")
            before = len(sent)
            if way == "browser":
                _drag(page, box, given.moves)
                page.wait_for_timeout(500)
                found[way] = summary(page.evaluate("window.times")) | {"frames sent to the server": len(sent) - before}
                body = loaded[0].body()
                timing = loaded[0].request.timing
                found[way] |= {"file, kB": round(len(body) / 1000), "loaded in, ms": round(timing["responseEnd"])}
            else:
                for stroke in range(given.strokes):
                    count = len(page.evaluate("window.times"))
                    y = box["y"] + box["height"] * (0.1 + 0.8 * stroke / given.strokes)
                    page.mouse.move(box["x"] + 0.3 * box["width"], y)
                    page.mouse.down()
                    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=4)
                    page.mouse.up()
                    end = time.monotonic() + 15
                    while len(page.evaluate("window.times")) == count and time.monotonic() < end:
                        page.wait_for_timeout(20)
                    page.wait_for_timeout(200)
                found[way] = summary(page.evaluate("window.times")) | {"frames sent to the server": len(sent) - before}
            page.close()
        browser.close()
    return found


def _listen(page: Any, sent: list[int], loaded: list[Any]) -> None:
    """Notes what the page sends to the server, and the networks that it loads."""
    page.on("websocket", lambda socket: socket.on("framesent", lambda data: sent.append(len(data))))
    page.on("response", lambda got: loaded.append(got) if "/networks/" in got.url else None)


def _drag(page: Any, box: Mapping[str, Any], moves: int) -> None:
    """One long stroke in rows over the map."""
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    for move in range(moves):
        across, down = (move % 40) / 40, (move // 40 + 0.5) / (moves / 40)
        page.mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"])
        page.wait_for_timeout(16)
    page.mouse.up()


def summary(times: list[float]) -> dict[str, Any]:
    if not times:
        return {"n": 0}
    middle, late = np.percentile(times, [50, 95])
    return {"median, ms": round(float(middle), 1), "p95, ms": round(float(late), 1), "n": len(times)}


if __name__ == "__main__":
    main()
