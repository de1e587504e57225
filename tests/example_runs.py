"""Runs to look at: folders of finished runs as a worker leaves them, written without training or really trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from attnlab.config import RunConfig
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.worker import session as worker

SMALL_MAPS = RunConfig().changed(
    dataset__options={"train_images": 500, "test_images": 60},
    dataset__subset=400,
    dataset__test_subset=60,
    model__attention="eca+self_attention",
    model__placement="block_end",
    model__width=8,
    training__epochs=1,
)
"""Gates of channels and maps of 225 positions, all of which the viewer shows."""

LARGE_MAPS = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=40,
    dataset__test_subset=20,
    dataset__image_size=36,
    model__attention="self_attention",
    model__attention_options={"self_attention": {"heads": 2}},
    model__placement="block_first",
    model__width=8,
    training__epochs=1,
)
"""1,296 positions in the first block, too many for the viewer, and 289 in the second."""


TWO_EPOCHS = RunConfig().changed(
    dataset__options={"train_images": 100, "test_images": 40},
    dataset__subset=64,
    dataset__test_subset=32,
    model__width=4,
    model__attention="eca",
    training__epochs=2,
    training__batch_size=8,
    training__device="cpu",
)
"""Two epochs of a tiny network: the shortest run that has something to resume."""


def trained_run(config: RunConfig, runs: Path) -> RunFolder:
    """The folder of a run that was really trained, below ``runs``."""
    folder = RunFolder.create(runs, config)
    outcome = worker.run(folder.path)
    assert outcome.state is RunState.FINISHED, outcome.reason
    return folder


def finished_run(home: Path, config: RunConfig, accuracy: float, epochs: Sequence[float] = (0.3, 0.5)) -> RunFolder:
    """The folder of a finished run with these validation accuracies, written as a worker would."""
    folder = RunFolder.create(home / "runs", config)
    with folder.lock():
        attempt = folder.begin_attempt()
        folder.write_dataset({"name": config.dataset.name, "shape": [3, 32, 32], "class_names": [str(i) for i in range(10)]})
        with folder.metrics_path.open("w") as lines:
            for number, value in enumerate(epochs, 1):
                lines.write(json.dumps({"kind": "step", "step": number, "epoch": number, "loss": 1 / number, "lr": 0.1}) + "\n")
                losses = {"train_loss": 1.0, "validation_loss": 1.1, "train_accuracy": value, "validation_accuracy": value}
                lines.write(json.dumps({"kind": "epoch", "step": number, "epoch": number, **losses}) + "\n")
        folder.write_progress({"attempt": attempt, "step": len(epochs), "total_steps": len(epochs), "parameters": 1000})
        result = {"test_accuracy": accuracy, "validation_accuracy": epochs[-1], "seconds": 12.0, "images_per_second": 100.0}
        folder.write_end(RunState.FINISHED, attempt, result=result)
    return folder
