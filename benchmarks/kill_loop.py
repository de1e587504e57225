"""Kills trainings at random moments and resumes them: does any finished epoch get lost? `docs/reliability.md` has the result.

    python -m benchmarks.kill_loop --runs 10 --kills 5

Each run is a tiny network that writes a checkpoint every three steps. Its process gets SIGKILL after a random time and the
run is resumed, several times over; the last attempt ends by itself. Checked after each kill: every JSON file can be read, no
checkpoint that is found is damaged, and every epoch that was reported before the last checkpoint is still there. Checked at
the end: weights equal to the bit to those of a run that nobody killed, every step and epoch once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from attnlab.config import RunConfig
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.worker import session

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
_TIMES = ("seconds", "images_per_second")


def train_in_child(folder: RunFolder, seconds: float | None) -> int:
    """One attempt in a child process, killed after some seconds. Returns its exit code, negative for a signal."""
    child = os.fork()
    if not child:
        session.run(folder.path)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=5, help="of each run")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["ATTNLAB_CHECKPOINT_STEPS"] = "3"
    chance, count = random.Random(options.seed), Counter[str]()
    session.load()
    with tempfile.TemporaryDirectory() as place:
        unbroken = RunFolder.create(Path(place), CONFIG)
        began = time.monotonic()
        train_in_child(unbroken, None)
        length = time.monotonic() - began
        for number in range(options.runs):
            folder = RunFolder.create(Path(place) / str(number), CONFIG)
            for _ in range(options.kills):
                code = train_in_child(folder, chance.uniform(0.2, 0.6) * length)
                count["killed" if code == -signal.SIGKILL else "had ended before"] += 1
                count["problems"] += len(found := problems_after_kill(folder))
                for problem in found:
                    print(f"run {number}: {problem}", flush=True)
                if folder.observe().state is RunState.FINISHED:
                    break
            if folder.observe().state is not RunState.FINISHED:
                train_in_child(folder, None)
            for problem in problems_at_the_end(folder, unbroken):
                count["problems"] += 1
                print(f"run {number}: {problem}", flush=True)
            print(f"{number + 1} runs: {dict(count)}", flush=True)


if __name__ == "__main__":
    main()
