"""Kills workers and the queue's process, many times: does anything get lost? `docs/reliability.md` has the result.

    python -m benchmarks.kill_loop --seed 1            # about five minutes
    python -m benchmarks.kill_loop --kills 2 --servers 2

Workers: each run is a tiny network that writes a checkpoint every three steps. Its process gets SIGKILL after a random time, or
while a checkpoint is being written, and the run is resumed, several times over; the last attempt ends by itself. Checked after
each kill: every JSON file can be read, no checkpoint that is found is damaged, and every epoch that was reported before the
last checkpoint is still there. Checked at the end: weights equal to the bit to those of a run that nobody killed, every step
and epoch once, nothing left behind. The process of the queue: see `benchmarks.kill_server`.

The exit code is 1 when there was a problem.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from attnlab.config import RunConfig
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.runs.records import RunState
from attnlab.worker import session
from benchmarks.kill_server import kill_servers

CONFIG = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    model__attention="eca",
    training__epochs=3,
    training__batch_size=8,
    training__device="cpu",
)
KILLS_OF_A_RUN = 5
_TIMES = ("seconds", "images_per_second")


def train_in_child(folder: RunFolder, seconds: float | None, *, in_checkpoint: bool = False) -> int:
    """One attempt in a child process, killed after some seconds. Returns its exit code, negative for a signal.

    Args:
        seconds: `None` lets it end by itself.
        in_checkpoint: kills it when, after these seconds, it begins to write a checkpoint.
    """
    child = os.fork()
    if not child:
        session.run(folder.path)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        while in_checkpoint and not unfinished(folder):
            if (ended := os.waitpid(child, os.WNOHANG)) != (0, 0):
                return os.waitstatus_to_exitcode(ended[1])
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def unfinished(folder: RunFolder) -> bool:
    """Whether a checkpoint is half-written."""
    return any(True for _ in folder.checkpoints_path.glob(".*.tmp"))


def problems_after_kill(folder: RunFolder) -> list[str]:
    """What is lost or damaged right after a kill."""
    state = folder.observe().state  # reads every JSON file
    found = [] if state in (RunState.INTERRUPTED, RunState.FINISHED) else [f"it is {state}"]
    newest = checkpoints.find(folder.checkpoints_path).path
    if newest is not None:
        epochs = {row["epoch"] for row in folder.metrics() if row["kind"] == "epoch"}
        finished = int(newest.name.split("-")[1])
        found += [f"epoch {epoch} is lost" for epoch in range(1, finished + 1) if epoch not in epochs]
    folder.readable_snapshots()
    return found


def problems_at_the_end(folder: RunFolder, unbroken: RunFolder) -> list[str]:
    """How a run that was killed differs from one that was not."""
    found = []
    for latest in (False, True):
        weights, wanted = folder.weights(latest=latest), unbroken.weights(latest=latest)
        found += [f"{name} differs" for name in wanted if not np.array_equal(weights[name], wanted[name])]
    if _rows(folder) != _rows(unbroken):
        found.append("the metrics differ")
    return found + [f"{path.name} was left behind" for path in folder.path.rglob("*.tmp")]


def _rows(folder: RunFolder) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in _TIMES} for row in folder.metrics()]


def kill_workers(
    place: Path, unbroken: RunFolder, kills: int, length: float, chance: random.Random, count: Counter[str]
) -> int:
    """Kills workers so many times, every second time inside a checkpoint. Returns the number of problems."""
    problems = 0
    while (killed := count["between checkpoints"] + count["inside a checkpoint"]) < kills:
        folder = RunFolder.create(place / f"at-{killed}", CONFIG)
        for number in range(min(KILLS_OF_A_RUN, kills - killed)):
            code = train_in_child(folder, chance.uniform(0.05, 0.5) * length, in_checkpoint=number % 2 == 1)
            if code != -signal.SIGKILL:
                break
            count["inside a checkpoint" if unfinished(folder) else "between checkpoints"] += 1
            problems += tell(folder.path.parent.name, problems_after_kill(folder))
        if folder.observe().state is not RunState.FINISHED:
            train_in_child(folder, None)
        count["runs"] += 1
        problems += tell(folder.path.parent.name, problems_at_the_end(folder, unbroken))
    return problems


def tell(of: str, problems: list[str]) -> int:
    """Prints problems. Returns their number."""
    for problem in problems:
        print(f"{of}: {problem}", flush=True)
    return len(problems)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=40, help="of workers")
    parser.add_argument("--servers", type=int, default=30, help="kills of the queue's process")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["ATTNLAB_CHECKPOINT_STEPS"] = "3"
    chance = random.Random(options.seed)
    session.load()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        unbroken = RunFolder.create(place, CONFIG)
        began = time.monotonic()
        train_in_child(unbroken, None)
        length = time.monotonic() - began
        count = Counter[str]()
        problems = kill_workers(place, unbroken, options.kills, length, chance, count)
        print(f"workers: {dict(count)}, {problems} problems", flush=True)
        home, of_servers = place / "home", Counter[str]()
        home.mkdir()
        found = kill_servers(home, CONFIG, options.servers, chance, of_servers)
        for folder in run_folders(home / "runs"):
            found += [f"{folder.run_id}: {problem}" for problem in problems_at_the_end(folder, unbroken)]
        problems += tell("the queue", found)
        print(f"the queue's process: {dict(of_servers)}, {len(found)} problems", flush=True)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
