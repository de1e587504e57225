"""Does the attention viewer paint every frame while a person drags, and does the server stay out of it?

Starts a page with the viewer in headless Chromium (software rendering) and drags sliders, hovers over pairwise maps and
plays a time-lapse. For each it prints the gap between animation frames, the time the viewer's script takes in a frame,
the share of pointer moves after which a frame was drawn, and the websocket messages sent meanwhile.

    python benchmarks/viewer_frames.py [--training] [--clients 30] [--repeats 3] [--json out.json]

``--training`` lets a real run learn in a process of its own meanwhile, with two threads and at the priority of the app's
worker. ``--clients 30`` keeps so many other connections open, each of which asks for the page again every two seconds.
A re-run of the page with unchanged maps is measured in bytes received. Each case is repeated on a fresh page; printed are
the figures of all repeats together and, of the p95, the least and the greatest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import streamlit
from playwright.sync_api import Page, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

ROOT = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
MOVES = 120

PAGE = """
import numpy as np
import streamlit as st
from attnlab.ui.components.viewer import viewer
from attnlab.viz.panels import Panel, layer

@st.cache_resource
def panels():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    def attention(side):
        weights = np.exp(3 * rng.normal(size=(side * side, side * side)))
        return weights / weights.sum(axis=1, keepdims=True)
    large = layer("pairs", "pairwise", attention(32), scale="softmax", grid=(32, 32))
    four = [
        layer("a", "spatial", rng.random((32, 32))),
        layer("a", "element", rng.random((64, 30, 30))),
        layer("a", "pairwise", attention(16), scale="softmax", grid=(16, 16)),
        layer("a", "channel", rng.random(512)),
    ]
    learned = [layer("a", "spatial", rng.random((40, 32, 32)), over_time=True)]
    return {
        "large": [Panel("N = 1024", image, [large])],
        "four": [Panel(item.kind, image, [item]) for item in four],
        "time": [Panel("time-lapse", image, learned, steps=range(40))],
    }

st.set_page_config(layout="wide")
which = st.query_params.get("which", "large")
viewer(panels()[which], key="v", autoplay=which == "time", link=True)
st.button("again")
"""

# Runs before the page: the time every animation callback takes, and the gaps between frames.
PROBE = """
window.frames_ = {gaps: [], spent: [], moves: 0, caught: 0, last: 0, on: false};
const plain = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (callback) => plain((now) => {
  const start = performance.now();
  callback(now);
  const record = window.frames_;
  if (!record.on) return;
  record.spent.push(performance.now() - start);
  if (record.dirty) record.caught++;
  record.dirty = false;
});
const tick = (now) => {
  const record = window.frames_;
  if (record.on && record.last) record.gaps.push(now - record.last);
  record.last = record.on ? now : 0;
  plain(tick);
};
plain(tick);
for (const kind of ["input", "pointermove"]) {
  window.addEventListener(kind, () => {
    const record = window.frames_;
    if (record.on && !record.dirty) record.moves++;
    record.dirty = record.on;
  }, true);
}
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--training", action="store_true", help="a run learns meanwhile, on two threads")
    arguments.add_argument("--clients", type=int, default=0, help="other connections that are open")
    arguments.add_argument("--repeats", type=int, default=1, help="fresh pages for each case")
    arguments.add_argument("--json", type=Path, help="also write the figures here")
    given = arguments.parse_args()
    with _training(given.training), _server() as url, _clients(url, given.clients) as answered, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        version = browser.version
        results = [
            _row(name, [_measure(browser, f"{url}?which={which}", act) for _ in range(given.repeats)])
            for name, which, act in (
                ("opacity, N = 1024", "large", lambda page: _drag(page, "Opacity")),
                ("threshold, N = 1024", "large", lambda page: _drag(page, "Hide values below")),
                ("gamma, N = 1024", "large", lambda page: _drag(page, "Gamma")),
                ("hover, N = 1024", "large", _hover),
                ("gamma, 4 panels", "four", lambda page: _drag(page, "Gamma")),
                ("hover, 4 panels", "four", _hover),
                ("time-lapse plays", "time", lambda page: page.wait_for_timeout(4000)),
            )
        ]
        rerun = _rerun(browser, f"{url}?which=large")
        browser.close()
        asked = sum(answered)
    versions = {"chromium": version, "streamlit": streamlit.__version__, "python": platform.python_version()}
    load = os.getloadavg()[1]
    print(f"{versions}, {os.cpu_count()} cores, load average of 5 minutes {load:.1f}")
    print(f"training: {given.training}, other clients: {given.clients} ({asked} messages to them), repeats: {given.repeats}")
    for row in results:
        print(
            f"{row['name']:20} gap p50 {row['gap_p50']:5.1f} p95 {row['gap_p95']:5.1f} ms"
            f" ({row['gap_p95_range'][0]:.1f} to {row['gap_p95_range'][1]:.1f})"
            f" | script p50 {row['script_p50']:.2f} p95 {row['script_p95']:.2f} ms"
            f" | painted {row['painted']:.0%} of {row['moves']} moves, {row['frames']} frames | messages {row['messages']}"
        )
    print(f"re-run with unchanged maps (1.05 MB of weights): {rerun} bytes received")
    if given.json:
        about = {"training": given.training, "clients": given.clients, "versions": versions, "load": load}
        given.json.write_text(json.dumps({**about, "rerun_bytes": rerun, "rows": results}, indent=1))


def _row(name: str, repeats: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one case over all its repeats."""
    gaps = np.concatenate([repeat["gaps"] for repeat in repeats])
    spent = np.concatenate([repeat["spent"] for repeat in repeats])
    each = [float(np.percentile(repeat["gaps"], 95)) for repeat in repeats]
    moves = sum(repeat["moves"] for repeat in repeats)
    return {
        "name": name,
        "frames": len(gaps),
        "gap_p50": float(np.percentile(gaps, 50)),
        "gap_p95": float(np.percentile(gaps, 95)),
        "gap_p95_range": [min(each), max(each)],
        "script_p50": float(np.percentile(spent, 50)),
        "script_p95": float(np.percentile(spent, 95)),
        "moves": moves,
        "painted": sum(repeat["caught"] for repeat in repeats) / moves if moves else 1.0,
        "messages": sum(repeat["messages"] for repeat in repeats),
    }


def _measure(browser: Any, url: str, act: Callable[[Page], None]) -> dict[str, Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 1100})
    page.add_init_script(PROBE)
    sent: list[Any] = []
    page.on("websocket", lambda opened: opened.on("framesent", lambda data: sent.append(data)))
    page.goto(url)
    page.wait_for_selector(".attention-viewer .stage canvas")
    page.wait_for_timeout(1500)
    before = len(sent)
    page.evaluate("window.frames_.on = true")
    act(page)
    seen = page.evaluate("(window.frames_.on = false, window.frames_)")
    messages = len(sent) - before
    page.close()
    return {
        "gaps": np.array(seen["gaps"]),
        "spent": np.array(seen["spent"] or [0]),
        "moves": seen["moves"],
        "caught": seen["caught"],
        "messages": messages,
    }


def _drag(page: Page, label: str) -> None:
    box = page.get_by_label(label).first.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 5, y)
    page.mouse.down()
    for move in range(MOVES):
        page.mouse.move(box["x"] + box["width"] * (0.5 - 0.48 * np.cos(move / 12)), y)
        time.sleep(0.012)
    page.evaluate("window.frames_.on = false")  # the release is not part of the drag
    page.mouse.up()


def _hover(page: Page) -> None:
    box = page.locator(".stage canvas").first.bounding_box()
    assert box is not None
    for move in range(MOVES):
        u, v = 0.5 + 0.45 * np.sin(move / 9), 0.5 + 0.45 * np.cos(move / 7)
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        time.sleep(0.012)


def _rerun(browser: Any, url: str) -> int:
    """Bytes that come over the websocket when the page runs again and nothing has changed."""
    page = browser.new_page()
    received: list[int] = []
    page.on("websocket", lambda opened: opened.on("framereceived", lambda data: received.append(len(data))))
    page.goto(url)
    page.wait_for_selector(".attention-viewer .stage canvas")
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="again").click()
    page.wait_for_timeout(1500)  # the first answer may still carry it
    before = sum(received)
    page.get_by_role("button", name="again").click()
    page.wait_for_timeout(2000)
    page.close()
    return sum(received) - before


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "page.py"
        script.write_text(PAGE)
        command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "STREAMLIT_SERVER_HEADLESS": "true"}
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(150):
                with (
                    suppress(URLError, TimeoutError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2),
                ):
                    break
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.terminate()
            server.wait(20)


@contextmanager
def _training(wanted: bool) -> Iterator[None]:
    """A run of the app's own that learns until it is stopped, as its worker would train it."""
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as home:
        options = ["--attention", "cbam", "--epochs", "500", "--width", "32"]
        run = subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-m", "attnlab", "train", *options],
            cwd=ROOT,
            env=os.environ | {"ATTNLAB_HOME": home, "OMP_NUM_THREADS": "2"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(15)  # until it learns
            if run.poll() is not None:
                raise SystemExit(f"the training ended at once, with status {run.returncode}")
            yield
        finally:
            run.kill()
            run.wait()


@contextmanager
def _clients(url: str, count: int) -> Iterator[list[int]]:
    """So many connections as browsers open them; yields how many messages each has got."""
    answered = [0] * count
    over = threading.Event()
    address = url.replace("http", "ws", 1) + "_stcore/stream"

    def stay(client: int) -> None:
        ask = BackMsg()
        ask.rerun_script.query_string = "which=large"
        with suppress(WebSocketException), connect(address, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
            while not over.is_set():
                socket.send(ask.SerializeToString())
                end = time.monotonic() + 2
                while (left := end - time.monotonic()) > 0:
                    with suppress(TimeoutError):
                        socket.recv(left)
                        answered[client] += 1

    threads = [threading.Thread(target=stay, args=(client,), daemon=True) for client in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        over.set()
        for thread in threads:
            thread.join(5)


if __name__ == "__main__":
    main()
