"""Measures the "one minute" preset: test accuracy, seconds, and whether its maps lie on the digit.

    python -m benchmarks.one_minute --seeds 3 --output docs/one_minute.md
    python -m benchmarks.one_minute --seeds 3 --expected

The second trains each variant with several numbers of epochs and writes the test accuracies to expect, which the Train page
and `attnlab train --time-budget` show (`attnlab.training.expected`).

Seconds are from reading the data to the test result, in a process set up as the worker's. CPU seconds are those of all
its threads together: on a machine that is busy otherwise, they are the figure to read. The ratio is the mean weight
inside the digit's mask over the mean weight of the whole map, averaged over the 1,000 test images with a bootstrap
interval: 1 is what a uniform map has. The same network before its first step stands beside it.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from attnlab.attention import MapKind, locate_maps, to_spatial
from attnlab.config import RunConfig
from attnlab.data import ImageDataset, load_dataset
from attnlab.explain.faithfulness import pointing_game, weight_on_mask
from attnlab.explain.inspection import inspect_images
from attnlab.models import ImageShape, build_model
from attnlab.stats.intervals import Interval, mean_interval, proportion_interval
from attnlab.training import CheckpointEvent, Event, train
from attnlab.training.device import prepare_process
from attnlab.training.estimate import ignore
from attnlab.training.expected import save_expected
from attnlab.training.presets import one_minute
from attnlab.training.seeding import mix

VARIANTS = ("none", "eca", "cbam_spatial", "eca+cbam_spatial", "cbam", "squeeze_excite", "conv_autoencoder")
EPOCHS = (1, 2, 3, 5, 7, 10, 15, 20)
"""Numbers of epochs whose accuracy is measured, up to that of the preset."""


@dataclass(frozen=True)
class MapFigures:
    """One map with positions: its weight on the mask before and after training, and how often its peak lies there."""

    name: str
    untrained: Interval
    trained: Interval
    pointing: Interval | None


@dataclass(frozen=True)
class Run:
    variant: str
    seed: int
    seconds: float
    cpu_seconds: float
    images_per_second: float
    accuracy: float
    maps: tuple[MapFigures, ...]


def measure(variant: str, seed: int) -> Run:
    """One run of the preset, from reading the data to the figures of its maps (these not in the seconds)."""
    config = one_minute(variant, seed)
    states = []

    def on_event(event: Event) -> None:
        if isinstance(event, CheckpointEvent):
            states.append(event.state)

    began, cpu_began = time.perf_counter(), time.process_time()
    data = load_dataset(config.dataset)
    result = train(config, on_event=on_event, dataset=data)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    assert result is not None and states[-1].best is not None
    untrained = network(config, data)
    trained = network(config, data)
    trained.load_state_dict(states[-1].best.weights)
    figures = tuple(map_figures(untrained, trained, data))
    return Run(variant, seed, seconds, cpu_seconds, result.images_per_second, result.test_accuracy, figures)


def network(config: RunConfig, data: ImageDataset) -> torch.nn.Module:
    torch.manual_seed(mix(config.seed, "weights"))
    return build_model(config.model, ImageShape(*data.shape), len(data.class_names))


def map_figures(untrained: torch.nn.Module, trained: torch.nn.Module, data: ImageDataset) -> Iterator[MapFigures]:
    """Each map with positions; last the mean over them, image by image, so that no layer is picked by its result."""
    masks = data.test.masks
    assert masks is not None
    cells = locate_maps(trained, data.shape)
    before = inspect_images(untrained, data.test.images, data.mean, data.std, cells=cells).maps
    after = inspect_images(trained, data.test.images, data.mean, data.std, cells=cells).maps
    values = []
    for first, last in zip(before, after, strict=True):
        if last.kind is MapKind.CHANNEL:
            continue
        pointing = pointing_game(to_spatial(last), masks, last.cells)
        values.append(tuple(weight_on_mask(to_spatial(each), masks, last.cells) for each in (first, last)))
        yield MapFigures(
            f"`{last.name}`", mean_interval(values[-1][0]), mean_interval(values[-1][1]), proportion_interval(pointing)
        )
    if values:
        ratios = [np.mean(columns, axis=0) for columns in zip(*values, strict=True)]
        yield MapFigures("mean of its maps", mean_interval(ratios[0]), mean_interval(ratios[1]), None)


def expected_curve(variant: str, seeds: int) -> tuple[RunConfig, list[tuple[int, float]]]:
    """The preset, and its mean test accuracy after several numbers of epochs, each with a schedule of its own."""
    preset = one_minute(variant)
    data = load_dataset(preset.dataset)
    most = preset.training.epochs
    curve = []
    for epochs in sorted({epochs for epochs in EPOCHS if epochs < most} | {most}):
        accuracies = []
        for seed in range(seeds):
            result = train(preset.changed(seed=seed, training__epochs=epochs), on_event=ignore, dataset=data)
            assert result is not None
            accuracies.append(result.test_accuracy)
        curve.append((epochs, round(float(np.mean(accuracies)), 4)))
        print(f"{variant}, {epochs} epochs: " + ", ".join(f"{accuracy:.1%}" for accuracy in accuracies), flush=True)
    return preset, curve


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(header), *[[str(cell) for cell in row] for row in rows]]
    rule = ["---"] * len(lines[0])
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def with_bounds(interval: Interval) -> str:
    return f"{interval.value:.2f} ({interval.low:.2f} to {interval.high:.2f})"


def report(runs: list[Run], threads: int) -> str:
    summary = [
        (
            run.variant,
            run.seed,
            f"{run.accuracy:.1%}",
            f"{run.seconds:.1f}",
            f"{run.cpu_seconds:.1f}",
            f"{run.images_per_second:.0f}",
        )
        for run in runs
    ]
    maps = [
        (
            run.variant,
            run.seed,
            seen.name,
            with_bounds(seen.untrained),
            with_bounds(seen.trained),
            with_bounds(seen.pointing) if seen.pointing else "",
        )
        for run in runs
        for seen in run.maps
    ]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return "\n\n".join(
        [
            "# One minute",
            "What the one-minute preset of the Train page (`attnlab.training.presets.one_minute`) reaches on digits in\n"
            "clutter. Measured with `python -m benchmarks.one_minute`; its docstring says exactly what is counted.",
            f"{platform.processor() or platform.machine()}, {threads} threads, torch {torch.__version__}, Python "
            f"{platform.python_version()}; load average at the end {load}.",
            "## Accuracy and time",
            table(("variant", "seed", "test accuracy", "seconds", "CPU seconds", "training images/s"), summary),
            "On the Train page the number of epochs is what fits into a minute on the machine at hand:\n"
            "[time_budget.md](time_budget.md).",
            "Where the CPU seconds are close to the seconds, the process had only one core; on two idle cores a run takes\n"
            "about half its CPU seconds.",
            "## Weight on the digit",
            "Ratio: the mean weight inside the digit's mask divided by the mean weight of the whole map. Pointing game:\n"
            "the share of images whose largest weight lies on the digit, which covers 11% of the image. In brackets, 95%\n"
            "intervals over the test images.",
            table(("variant", "seed", "map", "ratio untrained", "ratio trained", "pointing game"), maps),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--output", type=Path, help="Markdown file; printed otherwise")
    parser.add_argument("--expected", action="store_true", help="measure the accuracies to expect instead")
    options = parser.parse_args()
    prepare_process(options.threads)
    if options.expected:
        save_expected([expected_curve(variant, options.seeds) for variant in options.variants], options.seeds)
        return
    runs = []
    for variant in options.variants:
        for seed in range(options.seeds):
            run = measure(variant, seed)
            ratios = ", ".join(f"{seen.trained.value:.2f}" for seen in run.maps)
            took = f"{run.seconds:.1f} s ({run.cpu_seconds:.1f} of CPU)"
            print(f"{variant} seed {seed}: {run.accuracy:.1%} in {took}; ratios {ratios or 'none'}", flush=True)
            runs.append(run)
    text = report(runs, torch.get_num_threads()) + "\n"
    if options.output is None:
        print(text)
    else:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
