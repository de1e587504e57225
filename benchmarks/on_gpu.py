"""What has to be seen on a GPU: the same results as on a CPU, memory that comes back, speed, and Table 1.

    benchmarks/on_gpu.sh OUTPUT.json                 on a machine with CUDA
    benchmarks/on_gpu.sh OUTPUT.json --tiny          all parts on the CPU, at a tiny size: shows that the script works

The file is written after every part, so that what was measured is kept when time runs out. A part that fails says why, and the
others go on. docs/gpu.md explains the parts.
"""

from __future__ import annotations

import argparse
import copy
import gc
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import torch
from torch import Tensor

from attnlab.attention import MapKind, get_attention, list_attention
from attnlab.config import DatasetConfig, ModelConfig, RunConfig
from attnlab.data import ImageDataset, load_dataset
from attnlab.models import REPORT_ROWS, ImageShape, build_model, list_models, report_config
from attnlab.queue.executors.process import WorkerProcessExecutor
from attnlab.queue.manager import Manager
from attnlab.training import TrainingFailed, train
from attnlab.training.events import CheckpointEvent, Event, ResultEvent
from attnlab.training.stacked import train_stacked
from benchmarks.table1_speed import BATCH, _peak, dataset, our_loop, plain_loop, training_flop

TOLERANCE = 1e-3
"""Largest difference of float32 results of order one between CPU and CUDA that the order of sums explains."""


@dataclass
class Setting:
    """Where and how large, and until when."""

    device: torch.device
    tiny: bool
    ends: float
    data: Path | None
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def left(self) -> float:
        return self.ends - time.monotonic()


def equality(setting: Setting) -> dict[str, Any]:
    """Outputs and gradients of every variant and network on the CPU and on the device, in float32 without TF32."""
    configs = {f"variant {name}": _with_variant(name) for name in list_attention()}
    configs |= {f"network {name}": ModelConfig(backbone=name, width=8) for name in list_models()}
    side = 32
    differences = {name: _difference(config, ImageShape(3, side, side), setting.device) for name, config in configs.items()}
    return {"tolerance": TOLERANCE, "differences": differences, "all_equal": max(differences.values()) < TOLERANCE}


def _with_variant(name: str) -> ModelConfig:
    pairwise = MapKind.PAIRWISE in get_attention(name).kinds
    return ModelConfig(attention=name, width=16, placement="block_end" if pairwise else "block_first")


def _difference(config: ModelConfig, shape: ImageShape, device: torch.device) -> float:
    torch.manual_seed(0)
    here = build_model(config, shape, 10).eval()
    there = copy.deepcopy(here).to(device)
    x = torch.randn(4, *shape)
    results: list[list[Tensor]] = []
    for model, images in ((here, x), (there, x.to(device))):
        y = model(images)
        y.sum().backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        scale = max(1.0, *(float(gradient.abs().max()) for gradient in gradients))
        results.append([y.detach().cpu(), *(gradient.cpu() / scale for gradient in gradients)])
    return max(float((a - b).abs().max()) for a, b in zip(*results, strict=True))


def stacked_is_single(setting: Setting) -> dict[str, Any]:
    """Two seeds trained together and one by one, without dropout: their weights afterwards."""
    data = dataset(64, 64, 64)  # two steps: with more, a maximum that falls to another pixel by rounding moves everything
    configs = [_short(setting, seed=seed) for seed in range(2)]
    together: dict[int, list[Event]] = {0: [], 1: []}
    train_stacked(configs, on_event=lambda place, event: together[place].append(event), dataset=data)
    apart = 0.0
    for place, config in enumerate(configs):
        alone: list[Event] = []
        train(config, on_event=alone.append, dataset=data)
        apart = max(apart, _weights_apart(together[place], alone))
    return {"tolerance": TOLERANCE, "difference": apart, "equal": apart < TOLERANCE}


def determinism(setting: Setting) -> dict[str, Any]:
    """The same run twice. On a CPU the bits are the same; on CUDA the order of sums may differ."""
    data = dataset(128, 64, 64)
    told: list[list[Event]] = [[], []]
    for events in told:
        train(_short(setting), on_event=events.append, dataset=data)
    return {"difference": _weights_apart(*told)}


def _short(setting: Setting, seed: int = 0) -> RunConfig:
    return RunConfig.model_validate(
        {
            "dataset": {"name": "noise"},
            "model": {"attention": "eca", "width": 8, "options": {"dropout": 0.0, "spatial_dropout": 0.0}},
            "training": {
                "epochs": 1,
                "batch_size": 32,
                "optimizer": "sgd",  # Adam would divide rounding by rounding where a gradient is nearly zero
                "lr": 0.01,
                "device": setting.device.type,
                "amp": False,
            },
            "seed": seed,
        }
    )


def _weights_apart(one: list[Event], other: list[Event]) -> float:
    last = [[event for event in events if isinstance(event, CheckpointEvent)][-1].state.model for events in (one, other)]
    return max(float((last[0][name].float() - last[1][name].float()).abs().max()) for name in last[0])


def out_of_memory(setting: Setting) -> dict[str, Any]:
    """A batch that does not fit ends with a reason, and the memory comes back."""
    if setting.device.type != "cuda":
        return {"left_out": "needs CUDA"}
    data = dataset(BATCH, BATCH, BATCH)
    total = torch.cuda.get_device_properties(setting.device).total_memory
    before = torch.cuda.memory_allocated(setting.device)
    torch.cuda.set_per_process_memory_fraction((before + 256 * 2**20) / total, setting.device)
    try:
        train(report_config("CNN").changed(training__device="cuda"), on_event=lambda event: None, dataset=data)
        reason = ""
    except TrainingFailed as error:
        reason = error.reason
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, setting.device)
    gc.collect()
    kept = torch.cuda.memory_allocated(setting.device) - before
    return {"reason": reason, "caught": "too little memory" in reason, "bytes_kept": kept, "returned": kept < 2**20}


SLIP = '''
"""A variant with a slip, as a plug-in may have one: it looks up a value that does not exist."""

import torch
from torch import Tensor, nn

from attnlab.attention import AttentionTap, MapKind, register_attention


@register_attention(
    "slip", title="Slip", paper="https://example.org", summary="A slip.", formula="y = x", kinds=[MapKind.SPATIAL]
)
class Slip(nn.Module):
    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.tap = AttentionTap(MapKind.SPATIAL)

    def forward(self, x: Tensor) -> Tensor:
        table = torch.ones(2, device=x.device)
        weight = table[torch.full((1,), 5 if self.training else 1, device=x.device)]
        return x * self.tap(weight * torch.ones_like(x[:, :1]))
'''


def worker_faults(setting: Setting) -> dict[str, Any]:
    """A run that asks for too much memory, and one with a device-side assert: each ends alone, and the next one trains.

    Without a GPU the second alone, which is then an ordinary error.
    """
    small = _short(setting).changed(dataset__name="digits", dataset__subset=64, dataset__test_subset=32)
    small = small.changed(dataset__options={"train_images": 100, "test_images": 40})
    runs = {"assert": small.changed(model__attention="slip", seed=1)}
    if setting.device.type == "cuda":
        runs["memory"] = small.changed(model__width=512, training__batch_size=8192, dataset__subset=8192, seed=2)
        runs["memory"] = runs["memory"].changed(dataset__options={"train_images": 10_000, "test_images": 40})
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        plugins = Path(place) / "plugins"
        plugins.mkdir()
        (plugins / "slip.py").write_text(SLIP)
        before = os.environ.get("ATTNLAB_PLUGINS")
        os.environ["ATTNLAB_PLUGINS"] = str(plugins)
        manager = Manager(Path(place) / "home", WorkerProcessExecutor())
        try:
            for name, config in runs.items():
                ended = manager.wait(manager.submit(config), 200)
                after = manager.wait(manager.submit(small), 200)
                found[name] = {"state": ended.state, "reason": ended.reason, "the next run": after.state}
        finally:
            manager.shutdown()
            del os.environ["ATTNLAB_PLUGINS"]
            if before is not None:
                os.environ["ATTNLAB_PLUGINS"] = before
    found["as promised"] = all(run["state"] == "failed" and run["the next run"] == "finished" for run in found.values())
    return found


def speed(setting: Setting) -> dict[str, Any]:
    """Images per second of training steps, the plain PyTorch loop beside ours, and the share of the peak of fp32.

    On CUDA ours computes in bf16 (the default of a run), so its share may be above 1.
    """
    rows = ["CNN"] if setting.tiny else list(REPORT_ROWS)
    batches = 1 if setting.tiny else 30
    accelerator = None if setting.device.type == "cpu" else setting.device
    peak = _peak(256 if setting.tiny else 8192, accelerator)
    found: dict[str, Any] = {"peak_fp32": peak, "rows": {}}
    for row in rows:
        loops = {"plain": plain_loop(row, setting.device, batches)[0], "ours": our_loop(row, setting.device, batches)[0]}
        rates = {}
        for name, loop in loops.items():
            loop(1)
            rates[name] = batches * BATCH / loop(batches)
        share = rates["ours"] * training_flop(row) / peak
        found["rows"][row] = {**rates, "ratio": rates["ours"] / rates["plain"], "share_of_peak": share}
        if setting.left < 0:
            break
    return found


def table1(setting: Setting) -> dict[str, Any]:
    """Table 1 with the published protocol, the seeds of a row trained together; as many seeds as the time allows."""
    if setting.tiny:
        data, rows, seeds, changes = dataset(160, 64, 64), ["CNN"], 2, {"model__width": 4, "training__epochs": 1}
    elif setting.data is None:
        return {"left_out": "no data set was given (--data)"}
    else:
        data = load_dataset(DatasetConfig(name=str(setting.data.resolve()), image_size=32))
        rows, seeds, changes = list(REPORT_ROWS), 16, {}
    found: dict[str, Any] = {"images": len(data.train), "rows": {}}
    if not setting.tiny:
        began = time.monotonic()
        _row(rows[0], data, setting, 1, {"training__epochs": 1})
        found["seconds_of_one_epoch_of_one_seed"] = time.monotonic() - began
    for number, row in enumerate(rows):
        share = setting.left / (len(rows) - number)
        if share <= 0:
            found["left_out"] = rows[number:]
            break
        began = time.monotonic()
        found["rows"][row] = _row(row, data, setting, seeds, changes)
        seconds = time.monotonic() - began
        found["rows"][row]["seconds"] = seconds
        later = setting.left / max(1, len(rows) - number - 1)
        while seeds > 1 and not setting.tiny and seconds > later:
            seeds, seconds = seeds // 2, seconds / 1.5
    return found


def _row(row: str, data: ImageDataset, setting: Setting, seeds: int, changes: dict[str, Any]) -> dict[str, Any]:
    base = report_config(row).changed(training__device=setting.device.type, **changes)
    ends = train_stacked(
        [base.changed(seed=seed) for seed in range(seeds)],
        on_event=lambda place, event: None,
        dataset=data,
        checkpoint_every=None,
    )
    accuracies = [end.test_accuracy for end in ends if isinstance(end, ResultEvent)]
    return {
        "seeds": seeds,
        "accuracies": accuracies,
        "mean": fmean(accuracies) if accuracies else None,
        "std": stdev(accuracies) if len(accuracies) > 1 else None,
    }


PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "equality": equality,
    "stacked_is_single": stacked_is_single,
    "determinism": determinism,
    "out_of_memory": out_of_memory,
    "worker_faults": worker_faults,
    "speed": speed,
    "table1": table1,
}


def measure(output: Path, *, tiny: bool, seconds: float, data: Path | None) -> dict[str, Any]:
    """Runs every part, and writes what was found after each.

    Raises:
        SystemExit: without CUDA, unless ``tiny``.
    """
    if not (tiny or torch.cuda.is_available()):
        raise SystemExit("there is no CUDA device here; --tiny runs every part on the CPU, at a tiny size")
    device = torch.device("cpu" if tiny else "cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = platform.machine() if tiny else torch.cuda.get_device_name(device)
    began = time.monotonic()
    setting = Setting(device, tiny, began + seconds, data)
    found: dict[str, Any] = {"device": device.type, "name": name, "torch": torch.__version__, "tiny": tiny, "parts": {}}
    for part, run in PARTS.items():
        at = time.monotonic()
        if setting.left <= 0:
            found["parts"][part] = {"left_out": "no time was left"}
        else:
            try:
                found["parts"][part] = run(setting)
            except Exception as error:  # whatever it is, the other parts go on
                found["parts"][part] = {"failed": f"{type(error).__name__}: {error}"}
        found["parts"][part]["seconds"] = round(time.monotonic() - at, 2)
        found["seconds"] = round(time.monotonic() - began, 2)
        output.write_text(json.dumps(found, indent=1) + "\n")
        print(part, json.dumps(found["parts"][part])[:300], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--tiny", action="store_true", help="everything on the CPU, at a tiny size")
    parser.add_argument("--seconds", type=float, default=450, help="no part begins after so many")
    parser.add_argument("--data", type=Path, help="folder or archive with CIFAR-10, for Table 1")
    given = parser.parse_args()
    measure(given.output, tiny=given.tiny, seconds=given.seconds, data=given.data)


if __name__ == "__main__":
    main()
