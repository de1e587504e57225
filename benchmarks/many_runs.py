"""How the index, the queue and the pages carry many runs: `docs/scale.md` and `docs/reliability.md` show the figures.

    python -m benchmarks.many_runs --runs 1000 10000
    python -m benchmarks.many_runs --queued 1000

Finished runs are written into a temporary home: one is really trained, the others have its files, and settings of their own:
groups of twenty seeds that differ in variant, width and learning rate. Measured, in seconds on the clock and in seconds of
CPU, which a busy machine changes less: the first start, which has no index; a start with an index; a round of the queue with
nothing changed, and after one run was renamed; reading all records, and again after that change; making the index anew; and
every page of a server with these runs, opened by a browser that has not been there (`benchmarks.visitor`): the first time,
when nothing is known yet, and by another browser afterwards.

With ``--queued``, so many runs are put into the queue of a real manager, whose workers are replaced by ones that are done at
once. Measured: queueing them, listing them as a page does, and starting them; it fails unless each was started once, in order.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TypeVar

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Job
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.runs.store import Store
from attnlab.worker import session
from benchmarks.app_server import PAGES, app_server
from benchmarks.visitor import Visitor

Value = TypeVar("Value")

SEEDS = 20
VARIANTS = ("none", "eca", "cbam", "cbam_spatial", "squeeze_excite", "self_attention", "conv_autoencoder")
TRAINED = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    model__attention="eca",
    training__epochs=2,
    training__batch_size=8,
    training__device="cpu",
)
_WRITTEN_ANEW = ("config.json", "meta.json")


def write_runs(parent: Path, count: int) -> None:
    """Finished runs, the newest of which was really trained."""
    model = RunFolder.create(parent, TRAINED)
    session.run(model.path)
    files = [path.relative_to(model.path) for path in model.path.rglob("*") if path.is_file()]
    shared = [path for path in files if str(path) not in _WRITTEN_ANEW]
    created = model.meta()["created"]
    settings = product(range(10), (4, 8, 12, 16, 24, 32, 48, 64), VARIANTS)
    groups = [(variant, width, 1e-4 * (2 + rate)) for rate, width, variant in settings]
    for number in range(1, count):
        variant, width, rate = groups[number // SEEDS % len(groups)]
        placement = "block_end" if variant == "self_attention" else "block_first"
        config = TRAINED.changed(
            model__attention=variant, model__width=width, model__placement=placement, training__lr=rate, seed=number
        )
        folder = parent / config.run_id
        for path in shared:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(model.path / path, folder / path)
        (folder / "config.json").write_text(config.to_json())
        about = {"title": "", "note": "", "created": created - 60.0 * number, "owner": ""}
        (folder / "meta.json").write_text(json.dumps(about))


class Instant(ThreadExecutor):
    """Does no training: a run has ended when it begins."""

    slots = 0

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[str, int]] = []

    def start(self, job: Job) -> None:
        folder = RunFolder(job.run_dir)
        self.started.append((folder.run_id, folder.begin_attempt(job.attempt)))
        folder.write_end(RunState.STOPPED, job.attempt)


def queued(home: Path, count: int) -> Iterator[tuple[str, float, float]]:
    """As `measured`, of a queue of so many runs."""
    executor = Instant()
    manager = Manager(home, executor)
    run_ids: list[str] = []
    yield "queueing them", *timed(lambda: run_ids.extend(manager.submit_many(RunConfig(), range(count))))[1:]
    reader = Store(home, write=False)
    yield "listing them for the first time", *timed(reader.runs)[1:]
    manager.rename(run_ids[-1], "renamed")
    yield "listing them after one has changed", *timed(lambda: (reader.runs(), manager.live()))[1:]

    def start_all() -> None:
        executor.slots = 4
        manager.wake()
        while len(executor.started) < count:
            time.sleep(0.5)

    yield "starting and ending all of them, four at a time", *timed(start_all)[1:]
    manager.shutdown()
    if executor.started != [(run_id, 1) for run_id in run_ids]:
        raise SystemExit("not every run was started once and in order")


def timed(act: Callable[[], Value]) -> tuple[Value, float, float]:
    """What it returns, seconds on the clock, and seconds of CPU of all threads."""
    began, cpu = time.perf_counter(), time.process_time()
    value = act()
    return value, time.perf_counter() - began, time.process_time() - cpu


def measured(home: Path) -> Iterator[tuple[str, float, float]]:
    """(what, seconds on the clock, seconds of CPU) of index and queue."""

    def start() -> Manager:
        return Manager(home, ThreadExecutor())

    manager, seconds, cpu = timed(start)
    yield "first start", seconds, cpu
    while len([record for record in manager.runs() if not record.demo]) < len(list((home / "runs").iterdir())):
        time.sleep(2.0)
    manager.shutdown()
    manager, seconds, cpu = timed(start)
    yield "start with an index", seconds, cpu
    for what, act in (
        ("all records", manager.runs),
        ("a round, nothing changed", manager.tick),
        ("one run renamed", lambda: manager.rename(manager.runs()[0].run_id, "renamed")),
        ("a round after that", manager.tick),
        ("all records after that", manager.runs),
        ("index made anew", manager.store.reindex),
    ):
        with manager.lock:  # the thread of the queue waits
            _, seconds, cpu = timed(act)
        yield what, seconds, cpu
    manager.shutdown()


def pages(home: Path) -> Iterator[tuple[str, float, float]]:
    """(page, seconds until all of it is there, seconds of CPU of the server)."""
    with app_server(home) as server:
        warm = Visitor(server.address, patience=300.0)
        warm.open("open")  # waits for torch
        warm.leave()
        for time_ in ("first time", "again"):
            for page in PAGES:
                visitor = Visitor(server.address, patience=300.0)
                cpu = server.cpu_seconds()
                seconds = visitor.open(page)
                yield f"{page or 'home'}, {time_}", seconds, server.cpu_seconds() - cpu
                visitor.leave()
                if visitor.exceptions or visitor.complaints:
                    raise SystemExit(f"{page}: {visitor.exceptions or visitor.complaints}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--queued", type=int, help="measure a queue of so many runs instead")
    parser.add_argument("--home", type=Path, help="keeps the runs here, and takes those that are there; with one number only")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n| runs | what | s | s of CPU |\n|---:|---|---:|---:|")
    if options.queued:
        with tempfile.TemporaryDirectory() as place:
            for what, seconds, cpu in queued(Path(place), options.queued):
                print(f"| {options.queued:,} | {what} | {seconds:.3f} | {cpu:.3f} |", flush=True)
        return
    for count in options.runs:
        home = options.home or Path(tempfile.mkdtemp())
        try:
            if not (home / "runs").exists():
                write_runs(home / "runs", count)
            for part in (measured, pages):
                for what, seconds, cpu in part(home):
                    print(f"| {count:,} | {what} | {seconds:.3f} | {cpu:.3f} |", flush=True)
        finally:
            if options.home is None:
                shutil.rmtree(home)


if __name__ == "__main__":
    main()
