"""How long a person waits for the prediction after an operation on the attention: one forward for one image, on the CPU.

For each shipped run and each operation that fits its network, what happens when a control or the brush is released: the
forward with changed attention, in which the changed maps are recorded too. The first forwards warm up and do not count.

    python benchmarks/surgery.py [--repeats 50] [--threads 1] [--images 500] [--json out.json]

What a person waits for in all, with the page and the trip to the server, is measured by `benchmarks.surgery_drag`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from attnlab import paths  # noqa: E402
from attnlab.data import DataError, load_dataset  # noqa: E402
from attnlab.explain.open_run import open_run  # noqa: E402
from attnlab.explain.surgery.effect import accuracy_change, operate, standard_interventions  # noqa: E402
from attnlab.explain.surgery.operations import Intervention, applicable  # noqa: E402
from attnlab.runs.folder import RunFolder  # noqa: E402

TARGET = 200.0
WARM_UP = 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--repeats", type=int, default=50, help="forwards of each operation")
    arguments.add_argument("--threads", type=int, default=1, help="threads of torch")
    arguments.add_argument("--json", type=Path, help="also write the figures here")
    arguments.add_argument("--images", type=int, default=0, help="also the change in accuracy over so many test images")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    folders = [folder for folder in sorted(paths.DEMO_RUNS.iterdir()) if folder.is_dir() and is_whole(folder)]
    rows = [row for folder in folders if (row := measured(folder, given.repeats))]
    print(f"{'run':44} {'median':>8} {'p95':>8} {'max':>8}   n  slowest operation")
    for row in rows:
        print(f"{row['run']:44} {row['median']:6.1f}ms {row['p95']:6.1f}ms {row['max']:6.1f}ms {row['n']:4}  {row['slowest']}")
    worst = max(row["p95"] for row in rows)
    print(f"target {TARGET:.0f} ms: {'met' if worst < TARGET else 'missed'} (largest p95 {worst:.1f} ms)")
    result: dict[str, Any] = {"torch": torch.__version__, "threads": given.threads, "target_ms": TARGET, "rows": rows}
    if given.images:
        result["accuracy"] = [row for folder in folders if (row := accuracies(folder, given.images))]
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


def is_whole(folder: Path) -> bool:
    """Whether the run's weights and pictures are here; those of real data sets, and of further seeds, are not shipped."""
    if not RunFolder(folder).has_weights:
        return False
    try:
        load_dataset(RunFolder(folder).config.dataset)
    except DataError:
        print(f"{folder.name} is left out: its pictures are not shipped")
        return False
    return True


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


if __name__ == "__main__":
    main()
