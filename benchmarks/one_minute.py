"""Measures the "one minute" preset: test accuracy and seconds, or the accuracy to expect after fewer epochs.

    python -m benchmarks.one_minute --seeds 5             # writes docs/one_minute.md
    python -m benchmarks.one_minute --seeds 2 --expected  # writes attnlab/training/expected.json

The second trains each variant with several numbers of epochs, for the test accuracies that the Train page and
`attnlab train --time-budget` show (`attnlab.training.expected`). With ``--keep HOME`` the trainings stay in that home, and
those that are finished there, for example by ``attnlab demo --keep HOME``, are not repeated.

Seconds are from reading the data to the test result, in a process set up as the worker's. CPU seconds are those of all its
threads together: on a machine that is busy otherwise, they are the figure to read.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.data import load_dataset
from attnlab.experiments.demo import VARIANTS, demo_config, trained
from attnlab.training import train
from attnlab.training.device import prepare_process
from attnlab.training.estimate import ignore
from attnlab.training.expected import save_expected

TARGET = paths.DOCS / "one_minute.md"
EPOCHS = (1, 2, 4)
"""Numbers of epochs whose accuracy is measured, besides that of the preset."""


@dataclass(frozen=True)
class Run:
    """One training of the preset."""

    variant: str
    seed: int
    seconds: float
    cpu_seconds: float
    images_per_second: float
    accuracy: float


def measure(variant: str, seed: int) -> Run:
    """One run of the preset, from reading the data to the result of the test."""
    config = demo_config(variant).changed(seed=seed)
    began, cpu_began = time.perf_counter(), time.process_time()
    result = train(config, on_event=ignore, dataset=load_dataset(config.dataset))
    assert result is not None
    took, cpu_took = time.perf_counter() - began, time.process_time() - cpu_began
    return Run(variant, seed, took, cpu_took, result.images_per_second, result.test_accuracy)


def expected_curve(variant: str, seeds: int, runs: Path) -> tuple[RunConfig, list[tuple[int, float]]]:
    """The preset, and its mean test accuracy after several numbers of epochs, each with a schedule of its own."""
    preset = demo_config(variant)
    curve = []
    for epochs in (*EPOCHS, preset.training.epochs):
        wanted = [preset.changed(seed=seed, training__epochs=epochs) for seed in range(seeds)]
        ends = [trained(config, runs).end() for config in wanted]
        accuracies = [end["result"]["test_accuracy"] for end in ends if end is not None]
        curve.append((epochs, round(fmean(accuracies), 4)))
        print(f"{variant}, {epochs} epochs: " + ", ".join(f"{accuracy:.1%}" for accuracy in accuracies), flush=True)
    return preset, curve


def report(runs: list[Run], threads: int) -> str:
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = [
        f"| `{run.variant}` | {run.seed} | {run.accuracy:.1%} | {run.seconds:.1f} | {run.cpu_seconds:.1f} | "
        f"{run.images_per_second:.0f} |"
        for run in runs
    ]
    means = "; ".join(
        f"`{variant}` {fmean(run.accuracy for run in of_it):.1%} in at most {max(run.seconds for run in of_it):.0f} s, "
        f"n = {len(of_it)}"
        for variant in dict.fromkeys(run.variant for run in runs)
        if (of_it := [run for run in runs if run.variant == variant])
    )
    gates = " `gates` is the network of the preset with gates of its own." if "gates" in {run.variant for run in runs} else ""
    return f"""# One minute

What the one-minute preset of the Train page (`attnlab.training.presets.one_minute`) reaches on small digits among distractors,
with all its {demo_config("none").training.epochs} epochs. Written by `python -m benchmarks.one_minute`.

{platform.processor() or platform.machine()}, {threads} threads, torch {torch.__version__}, Python {platform.python_version()};
load average at the end {load}.

| variant | seed | test accuracy | seconds | CPU seconds | training images/s |
|---|---:|---:|---:|---:|---:|
{chr(10).join(rows)}

Mean test accuracy over the seeds, and the longest run: {means}.

Seconds are from reading the data to the result of the test. Where the CPU seconds are close to them, the process had only one
core; on two idle cores a run takes about half its CPU seconds.{gates}

On a slower or busier machine the Train page trains as many epochs as fit into the minute: [time_budget.md](time_budget.md).
Which of the maps find the digit is measured in [showcase.md](showcase.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--expected", action="store_true", help="measure the accuracies to expect instead")
    parser.add_argument("--keep", type=Path, help="a home for the trainings of --expected")
    options = parser.parse_args()
    prepare_process(options.threads)
    if options.expected:
        with tempfile.TemporaryDirectory() as workshop:
            runs = Path(workshop) if options.keep is None else options.keep / "runs"
            save_expected([expected_curve(variant, options.seeds, runs) for variant in options.variants], options.seeds)
        return
    measured = []
    for variant in options.variants:
        for seed in range(options.seeds):
            run = measure(variant, seed)
            print(
                f"{variant} seed {seed}: {run.accuracy:.1%} in {run.seconds:.1f} s ({run.cpu_seconds:.1f} of CPU)", flush=True
            )
            measured.append(run)
    TARGET.write_text(report(measured, torch.get_num_threads()))


if __name__ == "__main__":
    main()
