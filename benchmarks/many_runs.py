"""How the index and the queue carry many runs: `docs/scale.md` shows the figures.

    python -m benchmarks.many_runs --runs 1000 10000

Finished runs with twenty steps and two epochs each are written as a worker would, into a temporary home. Measured, each
``--repeats`` times: making the index anew, one look at folders that have not changed, and reading all records.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.runs.store import Store


def write_runs(parent: Path, count: int) -> None:
    """Finished runs that differ in their seed."""
    rows = [{"kind": "step", "step": step, "epoch": 1 + step // 11, "loss": 1 / step, "lr": 0.1} for step in range(1, 21)]
    for epoch in (1, 2):
        losses = {"train_loss": 1.0, "validation_loss": 1.1, "train_accuracy": 0.5, "validation_accuracy": 0.5}
        rows.append({"kind": "epoch", "step": 10 * epoch, "epoch": epoch, **losses})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    for seed in range(count):
        folder = RunFolder.create(parent, RunConfig().changed(seed=seed))
        attempt = folder.begin_attempt()
        folder.metrics_path.write_text(lines)
        folder.write_progress({"attempt": attempt, "step": 20, "total_steps": 20, "parameters": 1000})
        result = {"test_accuracy": 0.5, "validation_accuracy": 0.5, "seconds": 12.0, "images_per_second": 100.0}
        folder.write_end(RunState.FINISHED, attempt, result=result)


def seconds(act: Callable[[], object], repeats: int) -> str:
    """Median and range."""
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        taken.append(time.perf_counter() - began)
    return f"{statistics.median(taken):.3f} s ({min(taken):.3f} to {max(taken):.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, {options.repeats} repeats: median (range)\n")
    print("| runs | index made anew | a look, nothing changed | all records read |\n|---:|---|---|---|")
    for count in options.runs:
        with tempfile.TemporaryDirectory() as place:
            home = Path(place)
            write_runs(home / "runs", count)
            store = Store(home, write=True, demo=home / "none")
            store.sync()
            figures = [seconds(act, options.repeats) for act in (store.reindex, store.sync, store.runs)]
            store.close()
        print(f"| {count:,} | " + " | ".join(figures) + " |", flush=True)


if __name__ == "__main__":
    main()
