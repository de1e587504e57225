"""Many short runs in a row: do the server and its worker grow? `docs/reliability.md` has the result.

    OMP_NUM_THREADS=1 python -m benchmarks.leaks --runs 200

This process is the server: a manager with the usual warm worker. After each run it reads the list of runs and the curve, as a
page does. Memory (resident), threads and open files of both are noted after each run; the slope is that of the last half, by
least squares, since what is loaded once comes in the first runs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from attnlab.config import RunConfig
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.runs.folder import RunFolder
from attnlab.runs.history import history
from attnlab.runs.records import RunState

CONFIG = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=32,
    dataset__test_subset=16,
    model__width=4,
    model__attention="eca",
    training__epochs=1,
    training__batch_size=16,
    training__device="cpu",
)
WHAT = ("MiB of memory", "threads", "open files")


def state(process: psutil.Process) -> tuple[float, float, float]:
    return process.memory_info().rss / (1 << 20), process.num_threads(), process.num_fds()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    seen: dict[str, list[tuple[float, float, float]]] = {"server": [], "worker": []}
    workers = set()
    with tempfile.TemporaryDirectory() as place:
        manager = Manager(Path(place), WorkerProcessExecutor())
        began = time.monotonic()
        for seed in range(options.runs):
            run_id = manager.submit(CONFIG.changed(seed=seed))
            record = manager.wait(run_id, 600)
            if record.state is not RunState.FINISHED:
                raise SystemExit(f"{run_id} is {record.state}: {record.reason}")
            history(record)
            owner = RunFolder(record.folder).owner()
            assert owner is not None
            workers.add(owner["process"]["pid"])
            seen["server"].append(state(psutil.Process()))
            seen["worker"].append(state(psutil.Process(owner["process"]["pid"])))
        seconds = time.monotonic() - began
        manager.shutdown()
    print(f"{options.runs} runs in {seconds:.0f} s, by {len(workers)} worker process(es)\n")
    print(f"| process | what | after {options.runs // 2} runs | at the end | slope per 100 runs |\n|---|---|---:|---:|---:|")
    for process, states in seen.items():
        later = np.array(states[len(states) // 2 :])
        for column, what in enumerate(WHAT):
            slope = 100 * np.polyfit(np.arange(len(later)), later[:, column], 1)[0]
            print(f"| {process} | {what} | {later[0, column]:.1f} | {later[-1, column]:.1f} | {slope:+.2f} |")


if __name__ == "__main__":
    main()
