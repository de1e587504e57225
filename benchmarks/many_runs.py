"""How the index and the queue carry many runs: `docs/scale.md` and `docs/reliability.md` show the figures.

    python -m benchmarks.many_runs --runs 1000 10000
    python -m benchmarks.many_runs --queued 1000

Finished runs with twenty steps and two epochs each are written into a temporary home: one as a worker would, the others as
copies of it with other seeds. Measured, in
seconds on the clock and in seconds of CPU, which a busy machine changes less: the first start, which has no index; a start
with an index; a round of the queue with nothing changed, and after one run was renamed; reading all records, and again after
that change; and making the index anew.

With ``--queued``, so many runs are put into the queue of a real manager, whose workers are replaced by ones that are done at
once. Measured: queueing them, listing them as a page does, and starting them; it fails unless each was started once, in order.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from attnlab.config import RunConfig
from attnlab.queue.executors.base import Job
from attnlab.queue.executors.thread import ThreadExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.runs.store import Store

Value = TypeVar("Value")


def write_runs(parent: Path, count: int) -> None:
    """Finished runs that differ in their seed."""
    rows = [{"kind": "step", "step": step, "epoch": 1 + step // 11, "loss": 1 / step, "lr": 0.1} for step in range(1, 21)]
    for epoch in (1, 2):
        losses = {"train_loss": 1.0, "validation_loss": 1.1, "train_accuracy": 0.5, "validation_accuracy": 0.5}
        rows.append({"kind": "epoch", "step": 10 * epoch, "epoch": epoch, **losses})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    model = RunFolder.create(parent, RunConfig())
    attempt = model.begin_attempt()
    model.metrics_path.write_text(lines)
    model.write_progress({"attempt": attempt, "step": 20, "total_steps": 20, "parameters": 1000})
    result = {"test_accuracy": 0.5, "validation_accuracy": 0.5, "seconds": 12.0, "images_per_second": 100.0}
    model.write_end(RunState.FINISHED, attempt, result=result)
    files = {path.name: path.read_bytes() for path in model.path.iterdir()}
    for seed in range(1, count):
        config = RunConfig(seed=seed)
        folder = parent / config.run_id
        folder.mkdir()
        for name, content in (files | {"config.json": config.to_json().encode()}).items():
            (folder / name).write_bytes(content)


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
    """(what, seconds on the clock, seconds of CPU) of each figure."""

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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--queued", type=int, help="measure a queue of so many runs instead")
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}\n\n| runs | what | s | s of CPU |\n|---:|---|---:|---:|")
    if options.queued:
        with tempfile.TemporaryDirectory() as place:
            for what, seconds, cpu in queued(Path(place), options.queued):
                print(f"| {options.queued:,} | {what} | {seconds:.3f} | {cpu:.3f} |", flush=True)
        return
    for count in options.runs:
        with tempfile.TemporaryDirectory() as place:
            write_runs(Path(place) / "runs", count)
            for what, seconds, cpu in measured(Path(place)):
                print(f"| {count:,} | {what} | {seconds:.3f} | {cpu:.3f} |", flush=True)


if __name__ == "__main__":
    main()
