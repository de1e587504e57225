"""How fast the nine networks of Table 1 train here, against the plain loop of the report's code, side by side.

    python -m benchmarks.table1_speed --output docs/table1_speed.json       measures and writes docs/table1_speed.md too
    python -m benchmarks.table1_speed --rows CNN --output ...               measures a row again and keeps the others

*Plain*: one model at a time, a DataLoader with per-sample transforms (PIL image, ToTensor, Normalize), batch 128, fp32,
SGD, loss and accuracy fetched at every step, in a process that nothing was set up in. *Ours*: the training's own steps, in
a process prepared as the worker's. Both train the same modules on the same two cores of threads, so that the ratio is of the
loops alone. On a CPU each loop has a process of its own and they take turns, plain and ours, then ours and plain; one
waits while the other works. The ratio of a turn is of two neighbours in time, and so suffers little from a busy machine.

On CUDA *ours* trains 16 seeds together, and the time of all 144 runs is made up from it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode
from torchvision import transforms

from attnlab.data import ImageDataset, Split
from attnlab.data import Provenance as Source
from attnlab.models import REPORT_ROWS, report_config, report_network
from attnlab.training.device import choose_device, describe_device, prepare_process, usable_cores
from attnlab.training.feed import Feed
from attnlab.training.loop import Training, never
from attnlab.training.metrics import evaluate
from attnlab.training.seeding import epoch_order
from attnlab.training.stacked import train_stacked

BATCH = 128
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
RUNS, EPOCHS, SEEDS = 144, 10, 16
TRAIN_IMAGES, VALIDATION_IMAGES, TEST_IMAGES = 45_000, 5_000, 10_000
Timed = Callable[[int], float]
"""Does so many batches and says how many seconds they took."""


def images(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """uint8 (count, 32, 32, 3) and labels: noise, since weights and pixels do not change the time."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, count)


class PlainImages(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's CIFAR10: an array, a PIL image at each access, then the transforms."""

    def __init__(self, count: int) -> None:
        self.pixels, self.labels = images(count)
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), int(self.labels[index])


def plain_loop(row: str, device: torch.device, batches: int) -> tuple[Timed, Timed]:
    """Training and evaluation as the report's code does them."""
    model = report_network(row).to(device)
    head = nn.Sequential(nn.ReLU(), nn.Softmax(dim=1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    criterion = nn.CrossEntropyLoss()
    data = PlainImages(batches * BATCH)

    def train(steps: int) -> float:
        loader = DataLoader(data, BATCH, shuffle=True, drop_last=True)
        model.train()
        began = time.perf_counter()
        for step, (x, y) in enumerate(loader, 1):
            x, y = x.to(device), y.to(device)
            optimizer.zero_grad()
            out = head(model(x))
            loss = criterion(out, y)
            loss.backward()
            optimizer.step()
            _ = loss.item(), (out.argmax(1) == y).float().mean().item()
            if step == steps:
                break
        return time.perf_counter() - began

    def test(steps: int) -> float:
        loader = DataLoader(data, BATCH)
        model.eval()
        began = time.perf_counter()
        with torch.no_grad():
            for step, (x, y) in enumerate(loader, 1):
                x, y = x.to(device), y.to(device)
                out = head(model(x))
                _ = criterion(out, y).item(), (out.argmax(1) == y).float().mean().item()
                if step == steps:
                    break
        return time.perf_counter() - began

    return train, test


def our_loop(row: str, device: torch.device, batches: int) -> tuple[Timed, Timed]:
    """Training and evaluation as a run does them."""
    data = dataset(batches * BATCH, batches * BATCH, BATCH)
    config = report_config(row).changed(training__device=device.type)
    training = Training(config, data, device, lambda event: None)

    def train(steps: int) -> float:
        order = epoch_order(0, training.step, len(data.train)).split(BATCH)
        began = time.perf_counter()
        for index in order[:steps]:
            training.one_step(index)
        return time.perf_counter() - began

    def test(steps: int) -> float:
        count = steps * BATCH
        few = Feed(Split(data.test.images[:count], data.test.labels[:count]), data, device)
        began = time.perf_counter()
        evaluate(
            training.model,
            few,
            training.objective,
            batch_size=BATCH,
            protocol=training.config.protocol,
            should_stop=never,
            autocast=training.autocast,
        )
        return time.perf_counter() - began

    return train, test


def dataset(train: int, test: int, validation: int) -> ImageDataset:
    def split(count: int) -> Split:
        pixels, labels = images(count)
        return Split(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels))

    names = tuple(str(number) for number in range(10))
    return ImageDataset(
        "noise", names, MEAN, STD, split(train), split(validation), split(test), Source("numpy's generator, seed 0", "")
    )


def serve(kind: str, row: str, batches: int) -> None:
    """One loop in this process, which does what its input says: ``train 2``."""
    torch.set_num_threads(usable_cores())
    if kind == "ours":
        prepare_process()
    loops = dict(
        zip(("train", "test"), (our_loop if kind == "ours" else plain_loop)(row, torch.device("cpu"), batches), strict=True)
    )
    loops["peak"] = lambda size: _peak(size)
    print("ready", flush=True)
    for line in sys.stdin:
        what, count = line.split()
        print(loops[what](int(count)), flush=True)


class Loop:
    """A loop in a process of its own."""

    def __init__(self, kind: str, row: str, batches: int) -> None:
        command = [sys.executable, "-m", "benchmarks.table1_speed", "--serve", kind, "--rows", row, "--batches", str(batches)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def seconds(self, what: str, count: int) -> float:
        assert self.process.stdin is not None
        print(what, count, file=self.process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process ended with {self.process.wait()}")
        return line.strip()


def measure_cpu(row: str, repeats: int, batches: int) -> dict[str, Any]:
    """Images per second of both loops, turn by turn."""
    loops = {kind: Loop(kind, row, batches) for kind in ("plain", "ours")}
    found: dict[str, Any] = {"flop": training_flop(row), "peak": []}
    for kind, loop in loops.items():
        for what in ("train", "test"):
            found[f"{kind}_{what}"] = []
            loop.seconds(what, 1)  # first-time work of every library
    for turn in range(repeats):
        found["peak"].append(loops["ours"].seconds("peak", 2048))
        for what in ("train", "test"):
            for kind in ("plain", "ours") if turn % 2 == 0 else ("ours", "plain"):
                found[f"{kind}_{what}"].append(batches * BATCH / loops[kind].seconds(what, batches))
    for loop in loops.values():
        loop.close()
    return found


def measure_cuda(row: str, repeats: int, batches: int) -> dict[str, Any]:
    """As `measure_cpu` in this process; ours is 16 seeds together, timed as the difference of runs of two and of one epoch."""
    device = choose_device("cuda")
    plain_train, plain_test = plain_loop(row, device, batches)
    data = dataset(TRAIN_IMAGES, TEST_IMAGES, VALIDATION_IMAGES)
    found: dict[str, Any] = {"flop": training_flop(row), "peak": [], "epoch_seconds": [], "rest_seconds": []}
    found |= {f"{kind}_{what}": [] for kind in ("plain", "ours") for what in ("train", "test")}

    def together(epochs: int) -> float:
        base = report_config(row).changed(training__device="cuda", training__epochs=epochs)
        torch.cuda.synchronize(device)
        began = time.perf_counter()
        train_stacked(
            [base.changed(seed=seed) for seed in range(SEEDS)],
            on_event=lambda place, event: None,
            dataset=data,
            checkpoint_every=None,
        )
        torch.cuda.synchronize(device)
        return time.perf_counter() - began

    plain_train(2), plain_test(2), together(1)
    for _ in range(repeats):
        found["peak"].append(_peak(8192, device))
        found["plain_train"].append(batches * BATCH / plain_train(batches))
        found["plain_test"].append(batches * BATCH / plain_test(batches))
        one, two = together(1), together(2)
        found["epoch_seconds"].append(two - one)
        found["rest_seconds"].append(2 * one - two)  # the set-up and the test
        found["ours_train"].append(SEEDS * TRAIN_IMAGES / (two - one))
        found["ours_test"].append(math.nan)
    return found


def training_flop(row: str) -> int:
    """Floating point operations of a training step, for one image; a multiply-add counts as two."""
    with torch.device("meta"):
        model = report_network(row).train()
        x = torch.empty(2, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return counter.get_total_flops() // 2


def _peak(size: int, device: torch.device | None = None) -> float:
    """Operations per second of a matrix product in fp32, best of five."""
    a = torch.rand(size, size, device=device)
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        a @ a
        if device is not None:
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def report(found: dict[str, Any]) -> str:
    """The Markdown of what was measured."""
    rows: dict[str, dict[str, Any]] = found["rows"]
    lines = [
        "| network | n | plain, images/s | ours, images/s | ratio, training | GFLOP/s, ours | share of the matmul peak "
        "| ratio, evaluation |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    ratios: dict[str, list[list[float]]] = {"train": [], "test": []}
    for row, of_row in rows.items():
        for what, all_of_them in ratios.items():
            pairs = zip(of_row[f"ours_{what}"], of_row[f"plain_{what}"], strict=True)
            all_of_them.append([ours / plain for ours, plain in pairs])
        speed, peak = median(of_row["ours_train"]), max(of_row["peak"])
        plain = of_row["plain_train"]
        lines.append(
            f"| {row} | {len(plain)} | {median(plain):,.0f} | {speed:,.0f} | {_spread(ratios['train'][-1])} | "
            f"{speed * of_row['flop'] / 1e9:,.0f} | {speed * of_row['flop'] / peak:.0%} | {_spread(ratios['test'][-1])} |"
        )
    means = {what: [math.exp(fmean(map(math.log, turn))) for turn in zip(*each, strict=False)] for what, each in ratios.items()}
    for row in REPORT_ROWS.keys() - rows.keys():
        lines.append(f"| {row} | 0 | not measured | | | | | |")
    train, test = means["train"], means["test"]
    lines.append(f"| **geometric mean** | {len(train)} | | | **{_spread(train)}** | | | **{_spread(test)}** |")
    text = [
        "# Table 1: how fast its networks train",
        "Measured with `python -m benchmarks.table1_speed`; its docstring says what the plain loop is and how both loops run.\n"
        "Ratios: median of the turns ± standard deviation, then the smallest and the largest. Images per second: median.\n"
        "The matmul peak is a product of two 2048 x 2048 matrices, best of five, measured between the turns.",
        f"{found['device']}, torch {found['torch']}, Python {found['python']}, {found['date']}; "
        f"n turns of {found['batches']} batches of {BATCH} each; the geometric mean is over the turns that every row has.",
        "\n".join(lines),
    ]
    if found["kind"] == "cuda":
        seconds = sum(EPOCHS * median(each["epoch_seconds"]) + median(each["rest_seconds"]) for each in rows.values())
        text.append(
            f"{len(rows)} rows of {SEEDS} seeds, {EPOCHS} epochs, with validation and test: **{seconds / 60:.1f} minutes**."
        )
    else:
        text += [WHY, OPEN]
    return "\n\n".join(text) + "\n"


WHY = """## What makes the difference

- Freed memory is kept. Otherwise a large activation is mapped, cleared page by page and returned to the kernel at every
  step. `attnlab.training.device.prepare_process` tells glibc to keep it, in every worker process, so every run benefits. The
  linear autoencoder, which has the largest activations, gains most. The price is resident memory until the worker ends.
- The images lie in one uint8 tensor and are normalised one batch at a time; there is no loader and no per-image transform.
- Batches are in channels-last format, and evaluation runs in inference mode.

The plain CNN then runs close to the speed of this machine's matrix product, so little is left to gain there. Small
convolutions (in the autoencoders) and element-wise work keep the other rows further away from it. Training the seeds of a
row together is slower on a CPU, so there they train one after the other. The machine was not always idle: a turn in
which one of the two loops was disturbed shows in the smallest or the largest ratio."""

OPEN = """## On a GPU: unmeasured

No GPU was available. Written but not measured: the 16 seeds of a row train together (`attnlab.training.stacked`), in bf16
autocast, with fused SGD. The aims are all 144 runs of 10 epochs in under 10 minutes, and 20 times as many images per second
as the plain loop. `python -m benchmarks.table1_speed --device cuda --output FILE` measures both, and the share of the peak,
in one run."""


def _spread(values: list[float]) -> str:
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return "–"
    around = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{median(values):.2f}{around} ({min(values):.2f} to {max(values):.2f})"


def processor() -> str:
    """The processor's name, where the system tells it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(REPORT_ROWS), choices=list(REPORT_ROWS), metavar="ROW")
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--batches", type=int, default=2, help="of 128 images, in each turn")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", type=Path, required=False, help="JSON; the Markdown is written beside it")
    parser.add_argument("--serve", choices=("plain", "ours"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.rows[0], options.batches)
        return
    found: dict[str, Any] = {"rows": {}}
    if options.output is not None and options.output.exists():
        found = json.loads(options.output.read_text())
    measure = measure_cuda if options.device == "cuda" else measure_cpu
    for row in options.rows:
        found["rows"][row] = measure(row, options.repeats, options.batches)
        print(
            row,
            {name: round(median(each), 1) for name, each in found["rows"][row].items() if isinstance(each, list)},
            flush=True,
        )
    found["rows"] = {row: found["rows"][row] for row in REPORT_ROWS if row in found["rows"]}
    device = choose_device(options.device)
    name = describe_device(device) if device.type == "cuda" else f"{processor()}, {usable_cores()} of {os.cpu_count()} cores"
    found |= {"device": name, "kind": device.type, "torch": torch.__version__, "python": platform.python_version()}
    found |= {"date": time.strftime("%Y-%m-%d"), "repeats": options.repeats, "batches": options.batches}
    text = report(found)
    if options.output is None:
        print(text)
    else:
        options.output.write_text(json.dumps(found, indent=1) + "\n")
        options.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
