"""How the threads of a training should wait for each other: writes `docs/openmp.md`. About four minutes.

    python -m benchmarks.openmp
    python -m benchmarks.openmp --seconds 0.5 --rounds 1 --no-docs

Each setting has a process of its own, since the libraries read it when they are loaded. The processes take turns, so that what
else the machine does meets all of them: in each round every setting trains for some seconds while the machine is left alone,
while one core is kept busy, and while all cores are busy in short bursts. The figures are milliseconds per step of the
one-minute preset, the median over the rounds. All have the same precedence; `benchmarks.priority` measures a lower one.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from attnlab import paths

TARGET = paths.DOCS / "openmp.md"
SETTINGS: dict[str, dict[str, str]] = {
    "as by default": {},
    "`GOMP_SPINCOUNT=0`": {"GOMP_SPINCOUNT": "0"},
    "`GOMP_SPINCOUNT=10000`": {"GOMP_SPINCOUNT": "10000"},
    "`OMP_WAIT_POLICY=PASSIVE`": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
CONDITIONS = ("left alone", "one core busy", "bursts on all cores")
BURST_SECONDS, PAUSE_SECONDS = 0.05, 0.05
_VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_TOO_BUSY = 0.25
"""Of the cores: what other programs may take while the machine is to be left alone."""


class Training:
    """A process that trains the preset when it is asked to."""

    def __init__(self, setting: dict[str, str]) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _VARIABLES} | setting
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.openmp", "--child"],
            env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def milliseconds(self, seconds: float) -> float:
        """Per step, of a training of so many seconds."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(seconds, file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def child() -> None:
    """Trains for as many seconds as each line of the input says, and prints the milliseconds per step."""
    import torch

    from attnlab.data import load_dataset
    from attnlab.models import ImageShape, build_model
    from attnlab.training.device import keep_freed_memory
    from attnlab.training.presets import one_minute

    keep_freed_memory()
    config = one_minute("eca").changed(dataset__options={"train_images": 256, "test_images": 40})
    data = load_dataset(config.dataset)
    model = build_model(config.model, ImageShape(*data.shape), len(data.class_names))
    optimizer = torch.optim.Adam(model.parameters())
    images = torch.rand(config.training.batch_size, *data.shape)
    labels = torch.randint(len(data.class_names), (config.training.batch_size,))

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()

    for line in sys.stdin:
        step()
        began, steps = time.perf_counter(), 0
        while time.perf_counter() < began + float(line):
            step()
            steps += 1
        print(1000 * (time.perf_counter() - began) / steps, flush=True)


@contextmanager
def neighbours(condition: str) -> Iterator[None]:
    """Other programs on the cores, in a session of their own."""
    cores = sorted(os.sched_getaffinity(0))
    busy = {"left alone": [], "one core busy": cores[:1], "bursts on all cores": cores}[condition]
    children = []
    for core in busy:
        pid = os.fork()
        if not pid:
            os.setsid()
            os.sched_setaffinity(0, {core})
            while True:
                end = time.monotonic() + BURST_SECONDS
                while time.monotonic() < end:
                    pass
                if condition.startswith("bursts"):
                    time.sleep(PAUSE_SECONDS)
        children.append(pid)
    try:
        yield
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def share_of_others(seconds: float = 2.0) -> float:
    """The share of all cores that other programs take now."""
    import psutil

    return psutil.cpu_percent(interval=seconds) / 100


def measure(rounds: int, seconds: float) -> dict[str, dict[str, float]]:
    """Condition -> setting -> milliseconds per step."""
    trainings = {name: Training(setting) for name, setting in SETTINGS.items()}
    found: dict[str, dict[str, list[float]]] = {condition: {name: [] for name in SETTINGS} for condition in CONDITIONS}
    for training in trainings.values():
        training.milliseconds(0.1)  # loads everything
    for number in range(rounds):
        for condition in CONDITIONS:
            with neighbours(condition):
                names = list(trainings)
                for name in names[number % len(names) :] + names[: number % len(names)]:
                    found[condition][name].append(trainings[name].milliseconds(seconds))
    for training in trainings.values():
        training.close()
    return {condition: {name: median(times) for name, times in settings.items()} for condition, settings in found.items()}


def page(found: dict[str, dict[str, float]], rounds: int, seconds: float, others: float) -> str:
    """The text of `docs/openmp.md`."""
    from importlib.metadata import version

    lines = [
        "# How the threads of a training wait for each other",
        "",
        "Threads of OpenMP wait for each other in a loop that keeps the core busy. attnlab lets them sleep after a moment",
        "(`GOMP_SPINCOUNT=10000`, in `attnlab/worker/openmp.py`), unless `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT` is set.",
        "",
        "Milliseconds per step of the one-minute preset, the median over the rounds:",
        "",
        f"| setting | {' | '.join(CONDITIONS)} |",
        f"|---|{'---:|' * len(CONDITIONS)}",
        *(f"| {name} | {' | '.join(f'{found[condition][name]:.0f}' for condition in CONDITIONS)} |" for name in SETTINGS),
        "",
        f"Written by `python -m benchmarks.openmp`: {rounds} rounds of {seconds:g} s each, in turns, on {os.cpu_count()} cores",
        f"({platform.machine()}), torch {version('torch')}. Before it began, other programs took {others:.0%} of the cores.",
    ]
    if others > _TOO_BUSY:
        lines += ["", "**Not to be relied on:** the machine was busy with other programs, so it was never left alone."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--no-docs", action="store_true", help="only print the figures")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child()
        return
    others = share_of_others()
    found = measure(options.rounds, options.seconds)
    print(json.dumps(found, indent=1))
    if not options.no_docs:
        Path(TARGET).write_text(page(found, options.rounds, options.seconds, others))


if __name__ == "__main__":
    main()
