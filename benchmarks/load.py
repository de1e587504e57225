"""A class at work: many browsers on a server for minutes while a run trains. `docs/load.md` shows the result.

    python -m benchmarks.load --browsers 30 --minutes 10 --out docs/load.md

The app starts as a classroom on a temporary home. A run trains alone on the empty server for a while; then the browsers
come and it trains on. They are protocol clients (`benchmarks.visitor`), each with its own cookie, which open pages, choose
widgets, pick images, point at maps, upload a picture, start a run and stop it, with time to think between. Two Chromium come
for a fifth of the time and measure what a person sees; the speed of the training is measured before that, since Chromium draws
without a graphics card here, on cores that a server has for itself. In the last fifth the run is stopped, so that those of the
class train.

Reported are errors, the time of each action, first paint and answer in Chromium, the speed of the training against the
empty server, and memory, threads, open files and connections of the server. The clients work on the same cores, in a session of
the lowest precedence (a kernel that shares cores between sessions looks at nothing else); what each of them used is
reported too.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import WebSocketException

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.training.presets import one_minute
from attnlab.worker import session
from attnlab.worker.priority import set_session_nice
from benchmarks.app_server import PAGES, AppServer, app_server
from benchmarks.visitor import Stuck, Visitor

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
CHROMIUMS = 2
LOWEST_PRIORITY = 19
SAMPLE_SECONDS = 2.0
FORGOTTEN_SECONDS = 125
"""After two minutes Streamlit forgets the sessions of closed tabs, with three open files each, when somebody else comes."""
WATCHED_SHARE, OWN_RUNS_SHARE = 0.2, 0.2
"""Of the time, at the end: Chromium opens pages; and the class's own runs train."""
LARGE_MAPS = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=40,
    dataset__test_subset=20,
    dataset__image_size=36,
    model__attention="self_attention",
    model__placement="block_first",
    model__width=8,
    training__epochs=1,
)
"""A run with a map of 1,296 positions, whose rows are asked for one by one."""

ANSWERED_WITHIN = 30.0
"""Seconds that Chromium waits for the answer to a widget."""


@dataclass
class Figures:
    """What one thread measured, in seconds by action, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: Counter[str] = field(default_factory=Counter)
    complaints: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0

    def add(self, other: Figures) -> None:
        for action, values in other.seconds.items():
            if values:  # not one that never had an answer
                self.seconds[action] += values
        self.failures += other.failures
        self.complaints += other.complaints


class Student:
    """One browser of the class and what it does; `work` returns when the time is over.

    Args:
        think: mean seconds between two actions.
    """

    def __init__(self, number: int, address: str, think: float, large: str) -> None:
        self.random = random.Random(number)
        self.visitor = Visitor(address)
        self.figures, self.think, self.large = Figures(), think, large
        self.page: str | None = None

    def work(self, end: float) -> None:
        acts = (
            *((self._visit, 6), (self._look, 5), (self._during_training, 3), (self._point, 4), (self._compare, 4)),
            *((self._form, 4), (self._start_and_stop, 2), (self._upload, 1), (self._melanoma, 1), (self._reload, 1)),
        )
        self.visitor_rests(self.random.uniform(0, self.think))
        while time.monotonic() < end:
            (act,) = self.random.choices([act for act, _ in acts], [often for _, often in acts])
            try:
                act()
                self.visitor_rests(self.random.uniform(0.2, 1.8) * self.think)
            except (Stuck, OSError, WebSocketException) as error:
                self.figures.failures[f"{act.__name__.strip('_')}: {type(error).__name__} {error}"[:400]] += 1
                self._leave()
            for exception in self.visitor.exceptions:
                self.figures.failures[f"{act.__name__.strip('_')}: a page shows {exception}"[:200]] += 1
            for complaint in self.visitor.complaints:
                self.figures.complaints[complaint[:160]] += 1
            self.visitor.exceptions.clear()
            self.visitor.complaints.clear()
        self._leave()

    def visitor_rests(self, seconds: float) -> None:
        if self.page is None:
            time.sleep(seconds)
        else:
            self.visitor.stay(seconds)

    def _leave(self) -> None:
        self.page = None
        with suppress(OSError, WebSocketException):
            self.visitor.leave()

    def _open(self, page: str) -> None:
        if self.page != page:
            seconds = self.visitor.open(page)
            self.figures.seconds[f"open {page or 'home'}"].append(seconds)
            self.page = page
            self.visitor.stay(self.random.uniform(0.2, 0.6) * self.think)

    def _choose(self, action: str, key: str, value: object) -> None:
        self.figures.seconds[action].append(self.visitor.choose(key, value))
        self.visitor.stay(self.random.uniform(0.1, 0.4) * self.think)

    def _visit(self) -> None:
        self._open(self.random.choice([page for page in (*PAGES, "classroom") if page != self.page]))

    def _reload(self) -> None:
        page = self.page or ""
        self._leave()
        self._open(page)

    def _look(self) -> None:
        self._open("inspect")
        self._source("test")
        if self.random.random() < 0.5:
            self._choose("choose a run", "inspect.run", self.random.choice(self.visitor.options("inspect.run")))
            self._source("test")
        for key in self.visitor.keys("inspect.picker."):
            for _ in range(2):
                self._choose("pick an image", key, {"picked": [self.random.randrange(20)]})

    def _during_training(self) -> None:
        self._open("inspect")
        self._source("learned")
        for key in self.visitor.keys("inspect.probes."):
            self._choose("pick an image of the time-lapse", key, {"picked": [self.random.randrange(8)]})

    def _source(self, name: str) -> bool:
        """Chooses where the image comes from and returns whether the run offers that: ``test`` is there for some runs only, and
        a run that has no weights yet has nothing but ``learned``.
        """
        key = next(iter(self.visitor.keys("inspect.from.")), None)
        if key is None:
            raise Stuck(f"Inspect offers no source; it shows: {self.visitor.texts()[:300]}")
        offered = key.removeprefix("inspect.from.").split(".")
        if name not in offered:
            return False
        self._choose("choose a source", key, self.visitor.options(key)[offered.index(name)])
        return True

    def _point(self) -> None:
        self._open("inspect")
        name = next((name for name in self.visitor.options("inspect.run") if self.large in name), None)
        if name is None:
            return
        self._choose("choose a run", "inspect.run", name)
        self._source("test")
        for _ in range(8):
            asked = {"id": self.visitor.data("rows.wire")["id"], "layer": 0, "head": -1, "column": False}
            place = {"row": self.random.randrange(36), "col": self.random.randrange(36)}
            self.figures.seconds["point at a large map"].append(self.visitor.choose("rows.wire", {"asked": asked | place}))
            self.visitor.stay(0.2)

    def _compare(self) -> None:
        self._open("compare")
        for key in ("compare.metric", "compare.dataset"):
            self._choose("choose in Compare", key, self.random.choice(self.visitor.options(key)))

    def _form(self) -> None:
        self._open("train")
        for _ in range(2):
            variant = self.random.choice(self.visitor.options("form.variants"))
            self._choose("choose in the form", "form.variants", [variant])

    def _start_and_stop(self) -> None:
        """Starts a run, waits until it has been timed and queued, and stops one of its own."""
        self._open("train")
        if not self.visitor.keys("train.stop."):
            if not self.visitor.keys("train.start"):
                return
            self._choose("press Start", "train.start", True)
            end = time.monotonic() + 60
            while not self.visitor.keys("train.stop.") and time.monotonic() < end:
                self.visitor.stay(1.0)
        self.visitor.stay(2 * self.think)
        for key in self.visitor.keys("train.stop.")[:1]:
            self._choose("press Stop", key, True)

    def _upload(self) -> None:
        self._open("inspect")
        if not self._source("own"):
            return
        self.visitor.until("inspect.upload")
        noise = np.random.default_rng(self.random.randrange(1 << 30)).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(noise).save(content, "PNG")
        self.figures.seconds["upload a picture"].append(self.visitor.upload("inspect.upload", "noise.png", content.getvalue()))

    def _melanoma(self) -> None:
        self._open("melanoma")
        if self.visitor.keys("melanoma.colours"):
            self._choose("choose in Melanoma", "melanoma.colours", self.random.choice(["viridis", "jet, as in the article"]))


def give_way_entirely() -> None:
    """Puts this process into a session of its own that runs when nobody else wants a core."""
    os.setsid()
    os.nice(LOWEST_PRIORITY - os.nice(0))
    set_session_nice(LOWEST_PRIORITY)


def students_visit(address: str, students: int, seconds: float, think: float) -> Figures:
    """The protocol clients, one thread each, until the time is over."""
    end = time.monotonic() + seconds
    class_ = [Student(each, address, think, "large maps") for each in range(students)]
    with ThreadPoolExecutor(students) as threads:
        list(threads.map(lambda student: student.work(end), class_))
    figures = Figures(cpu_seconds=time.process_time())
    for student in class_:
        figures.add(student.figures)
    return figures


def chromium_visits(address: str, seconds: float, first: int) -> tuple[dict[str, list[float]], list[str], float]:
    """Opens pages in Chromium, one after the other, and presses one widget on each; between two visits it shows nothing, since
    drawing without a graphics card would take a core that a student's machine has for itself.

    Returns:
        Action -> seconds; what the console complained of; seconds of CPU of the browser.
    """
    from playwright.sync_api import Error, sync_playwright

    found: dict[str, list[float]] = defaultdict(list)
    complaints: list[str] = []
    widgets = (
        ("compare", "[role=radio]:has-text('train loss')"),
        ("inspect", "[role=radio]:has-text('During training')"),
        ("train", "[role=radio]:has-text('As the code does')"),
        ("", "[role=radio]:has-text('3')"),
    )
    ended: list[float] = []  # when the server said that it has drawn all

    def hear(frame: str | bytes) -> None:
        if isinstance(frame, bytes) and ForwardMsg.FromString(frame).WhichOneof("type") == "script_finished":
            ended.append(time.perf_counter())

    end = time.monotonic() + seconds
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("websocket", lambda socket: socket.on("framereceived", hear))
        page.on("response", lambda got: complaints.append(f"{got.status} {got.url}") if got.status >= 500 else None)
        number = first
        while time.monotonic() < end:
            place, widget = widgets[number % len(widgets)]
            number += 1
            try:
                began = time.perf_counter()
                page.goto(f"{address}/{place}")
                page.locator("h1").first.wait_for(timeout=60_000)
                found["title there"].append(time.perf_counter() - began)
                paint = page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
                if paint is not None:
                    found["first paint"].append(paint / 1000)
                page.locator(widget).first.wait_for(timeout=60_000)
                page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=60_000)
                ended.clear()
                began = time.perf_counter()
                page.locator(widget).first.click()
                while not ended and time.perf_counter() - began < ANSWERED_WITHIN:
                    page.wait_for_timeout(5)
                if ended:
                    found["a widget's answer"].append(ended[0] - began)
                else:
                    complaints.append(f"no answer on {place or 'home'} within {ANSWERED_WITHIN:.0f} s")
                if page.locator("[data-testid=stException]").count():
                    complaints.append(f"an error on {place or 'home'}")
            except Error as error:
                complaints.append(f"{place or 'home'}: {str(error).splitlines()[0]}"[:200])
            page.goto("about:blank")
            page.wait_for_timeout(3000)
        used = sum(
            times.user + times.system
            for child in psutil.Process().children(recursive=True)
            if (times := child.cpu_times()) is not None
        )
        browser.close()
    return dict(found), complaints, used


@dataclass(frozen=True)
class Sample:
    """The server at one moment."""

    at: float
    megabytes: float
    threads: int
    files: int
    connections: int
    server_cpu: float
    worker_cpu: float


def sample(server: AppServer) -> Sample:
    process = server.process
    with process.oneshot():
        return Sample(
            time.monotonic(),
            process.memory_info().rss / (1 << 20),
            process.num_threads(),
            process.num_fds(),
            sum(each.status == psutil.CONN_ESTABLISHED for each in process.net_connections(kind="tcp")),
            server.cpu_seconds(),
            server.workers_cpu_seconds(),
        )


@contextmanager
def sampled(server: AppServer) -> Iterator[list[Sample]]:
    """Samples of the server, taken by a thread until the block ends."""
    samples: list[Sample] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(SAMPLE_SECONDS):
            samples.append(sample(server))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def slope(samples: Sequence[Sample]) -> float:
    """Megabytes a minute by least squares, of the last two thirds."""
    late = samples[len(samples) // 3 :]
    return float(np.polyfit([each.at / 60 for each in late], [each.megabytes for each in late], 1)[0])


def speed(run: RunFolder, seconds: float) -> float:
    """Steps a second of a run that trains, over so many seconds."""

    def next_step() -> tuple[int, float]:
        before = run.progress().get("step", 0)
        while run.progress().get("step", 0) == before:
            time.sleep(0.02)
        return run.progress()["step"], time.monotonic()

    first, began = next_step()
    time.sleep(seconds)
    last, ended = next_step()
    return (last - first) / (ended - began)


def wait_for(state: RunState, run: RunFolder, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while run.observe().state is not state:
        if time.monotonic() > end:
            raise SystemExit(f"{run.run_id} is {run.observe().state}, not {state}")
        time.sleep(0.2)


def measure(browsers: int, minutes: float, think: float, alone: float) -> str:
    """Everything, as the text of `docs/load.md`."""
    with tempfile.TemporaryDirectory(prefix="attnlab-load-") as place:
        home = Path(place)
        large = RunFolder.create(home / "runs", LARGE_MAPS, title="large maps")
        if session.run(large.path).state is not RunState.FINISHED:
            raise SystemExit("the run with large maps did not finish")
        with app_server(home, classroom=True) as server:
            visitor = Visitor(server.address, patience=180.0)
            for page in PAGES:  # everything is loaded, as after the first minutes of a lesson
                visitor.open(page)
            visitor.leave()
            config = one_minute("eca").changed(training__epochs=1000)
            run = RunFolder.create(home / "runs", config, queued=0.0)
            wait_for(RunState.RUNNING, run)
            time.sleep(10)
            empty = speed(run, alone)
            before = sample(server)
            seconds = 60 * minutes
            began = time.monotonic()
            spawn = get_context("spawn")
            crowd = ProcessPoolExecutor(1, mp_context=spawn, initializer=give_way_entirely)
            with sampled(server) as samples, crowd, ProcessPoolExecutor(CHROMIUMS, mp_context=spawn) as chromiums:
                class_ = crowd.submit(students_visit, server.address, browsers - CHROMIUMS, seconds, think)
                time.sleep(min(15.0, seconds / 8))  # until the class is there
                crowded = speed(run, (1 - WATCHED_SHARE - OWN_RUNS_SHARE) * seconds - (time.monotonic() - began))
                crowd_ends = time.monotonic()
                share = WATCHED_SHARE * seconds
                watched = [chromiums.submit(chromium_visits, server.address, share, 2 * each) for each in range(CHROMIUMS)]
                seen = [each.result() for each in watched]
                run.request("stop")
                figures = class_.result()
            last = sample(server)
            time.sleep(FORGOTTEN_SECONDS)
            for _ in range(2):
                visitor.open("compare")
                visitor.leave()
            time.sleep(3)
            after = sample(server)
            with suppress(OSError):
                log = (home / "server.log").read_text()
                figures.failures["in the log of the server"] += log.count("Traceback")
                if "Traceback" in log:
                    print(log, file=sys.stderr)
    for found, complaints, _ in seen:
        for action, values in found.items():
            figures.seconds[f"Chromium: {action}"] += values
        for complaint in complaints:
            figures.failures[f"Chromium: {complaint}"] += 1
    trained = [each for each in samples if each.at < crowd_ends]
    chromium_cpu = sum(used for *_, used in seen)
    moments = (before, last, after)
    return report(figures, browsers, minutes, think, (empty, crowded), samples, trained, moments, chromium_cpu)


def report(
    figures: Figures,
    browsers: int,
    minutes: float,
    think: float,
    speeds: tuple[float, float],
    samples: Sequence[Sample],
    trained: Sequence[Sample],
    moments: tuple[Sample, Sample, Sample],
    chromium_cpu: float,
) -> str:
    """The text of `docs/load.md`.

    Args:
        speeds: steps a second on the empty server and with the class.
        samples: of the whole time. trained: of the time in which the run trained.
        moments: before the class came, when it left, and two minutes and two visits later.
    """
    empty, crowded = speeds
    span = 60 * minutes
    rows = []
    for action, values in sorted(figures.seconds.items()):
        middle, late = np.quantile(values, [0.5, 0.95])
        rows.append(f"| {action} | {len(values):,} | {middle:.2f} | {late:.2f} | {max(values):.2f} |")
    widgets: list[float] = []
    opened: list[float] = []
    for action, values in figures.seconds.items():
        if not action.startswith("Chromium"):
            (opened if action.startswith("open") else widgets).extend(values)
    failures = sum(figures.failures.values())
    first = trained[0] if trained else samples[0]
    worked = trained[-1].at - first.at if len(trained) > 1 else 1.0
    lines = [f"- {text} ({count})" for text, count in figures.failures.items() if count]
    told = [f"- {text} ({count})" for text, count in figures.complaints.most_common(8)]
    return TEXT.format(
        browsers=browsers,
        clients=browsers - CHROMIUMS,
        chromiums=CHROMIUMS,
        minutes=f"{minutes:g}",
        think=f"{think:g}",
        cores=os.cpu_count(),
        python=platform.python_version(),
        actions=f"{sum(map(len, figures.seconds.values())):,}",
        failures=failures,
        failed="\n".join(lines) or "None.",
        widget=_quantiles(widgets),
        opened=_quantiles(opened),
        paint=_quantiles(figures.seconds.get("Chromium: first paint", [])),
        answer=_quantiles(figures.seconds.get("Chromium: a widget's answer", [])),
        empty=f"{empty:.2f}",
        crowded=f"{crowded:.2f}",
        slower=f"{1 - crowded / empty:.0%}",
        rows="\n".join(rows),
        slope=f"{slope(samples):+.2f}",
        memory=" | ".join(f"{each.megabytes:,.0f}" for each in moments),
        threads=" | ".join(str(each.threads) for each in moments),
        files=" | ".join(str(each.files) for each in moments),
        connections=" | ".join(str(each.connections) for each in moments),
        server_cpu=f"{(trained[-1].server_cpu - first.server_cpu) / worked:.2f}",
        worker_cpu=f"{(trained[-1].worker_cpu - first.worker_cpu) / worked:.2f}",
        clients_cpu=f"{figures.cpu_seconds / span:.2f}",
        chromium_cpu=f"{chromium_cpu / span:.2f}",
        told="\n".join(told) or "None.",
        most=f"{max(each.megabytes for each in samples):,.0f}",
    )


def _quantiles(values: Sequence[float]) -> str:
    if not values:
        return "– | –"
    middle, late = np.quantile(values, [0.5, 0.95])
    return f"{middle:.2f} | {late:.2f}"


TEXT = """# A class at once

Made by `python -m benchmarks.load --browsers {browsers} --minutes {minutes} --think {think} --out docs/load.md`:
{browsers} browsers on one server for {minutes} minutes, on {cores} cores without a GPU, Python {python}. {clients} of them are
protocol clients (`benchmarks/visitor.py`): they open every page, choose widgets, pick images, scrub a time-lapse, point at
large maps, upload pictures, start runs and stop them, with {think} s to think between two actions on average; pages that
refresh themselves do so. {chromiums} are Chromium, which come for a fifth of the time. A run trains meanwhile; its speed is
measured before Chromium comes, and in the last fifth of the time it has been stopped and those of the class train. The clients
work on the same cores as the server, in a session of the lowest precedence, so their seconds hold what they wait for a core.

| | median | p95 |
|---|---:|---:|
| a widget's answer, s | {widget} |
| a page until all of it is there, s | {opened} |
| Chromium: first paint, s | {paint} |
| Chromium: a widget's answer, s | {answer} |

{actions} actions, {failures} errors. The training makes {empty} steps a second on the empty server and {crowded} with the
class: **{slower} slower**. The server's memory changes by **{slope} MB a minute** (least squares over the last two thirds; at
most {most} MB).

| | before | when the class left | two minutes and two visits later |
|---|---:|---:|---:|
| memory, MB | {memory} |
| threads | {threads} |
| open files | {files} |
| connections | {connections} |

Cores in use while the run trained: server {server_cpu}, its workers {worker_cpu}; over the whole time: the clients
{clients_cpu}, Chromium {chromium_cpu}.

## Every action

| action | times | median, s | p95, s | longest, s |
|---|---:|---:|---:|---:|
{rows}

## Errors

{failed}

## Red messages on pages

A classroom refuses more than three runs of one browser, and says so; such messages are no errors.

{told}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--browsers", type=int, default=30, help=f"{CHROMIUMS} of them are Chromium")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds between two actions of a browser")
    parser.add_argument("--alone", type=float, default=45.0, help="seconds that the run trains on the empty server")
    parser.add_argument("--out", type=Path, help="also write the report here")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the server does not stay behind
    text = measure(given.browsers, given.minutes, given.think, given.alone)
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
