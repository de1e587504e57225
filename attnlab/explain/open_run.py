"""Opens the network of a run: a separate copy on the CPU, never the one in training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from attnlab import plugins
from attnlab.adapters import build_network, why_unfit
from attnlab.config import RunConfig
from attnlab.explain.inspection import OpenNetwork
from attnlab.models import ImageShape
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.weights import load
from attnlab.training.losses import Objective, output_probabilities


class OpenError(ValueError):
    """The run cannot be opened; the message says which file is missing or damaged."""


@dataclass(frozen=True, eq=False, kw_only=True)
class OpenRun(OpenNetwork):
    """A run's network, ready for inspection: in evaluation mode, on the CPU, with the classes and images of its data set.

    Attributes:
        folder: of the run.
        config: its settings.
        notice: a sentence where these are not the weights that were asked for, because those are damaged.
    """

    folder: Path
    config: RunConfig
    notice: str = ""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits -> float32 (B, classes), by the run's own loss head."""
        if self.config.recorded:
            return output_probabilities(logits)
        return Objective(self.config).probabilities(logits)


def open_run(folder: Path, which: Literal["best", "last"] | int = "best", *, model: nn.Module | None = None) -> OpenRun:
    """Loads the network of a run folder.

    Args:
        which: the best epoch by validation, the newest checkpoint, or the checkpoint of this step.
        model: the network of a run that `attnlab.Recorder` wrote, which attnlab cannot build; it gets the weights that the
            recording kept at its end.

    Raises:
        OpenError: when a file of the run is missing or damaged, its network cannot be built, or its weights do not
            fit its config.

    Example:
        >>> import torch
        >>> from attnlab import open_run, paths
        >>> run = open_run(min(paths.DEMO_RUNS.glob("*-cbam-*")))
        >>> run.config.model.attention, run.shape
        ('cbam', (3, 32, 32))
        >>> images = torch.zeros(2, *run.shape, dtype=torch.uint8)
        >>> inspection = run.inspect(images)
        >>> inspection.probabilities.shape
        (2, 10)
        >>> attention = inspection.maps[1]
        >>> attention.name, tuple(attention.values.shape)
        ('blocks.0.attention1.cbam.spatial.tap', (2, 1, 32, 32))
    """
    files = RunFolder(folder)
    try:
        config, summary = files.config, files.dataset_summary()
        if summary is None:
            raise OpenError(f"the run {folder.name} has no dataset.json yet: it has not started")
        channels, height, width = summary["shape"]
        if not len(summary.get("mean", ())) == len(summary.get("std", ())) == channels:
            raise OpenError(f"{folder.name}/dataset.json has no mean and std for each of {channels} channels")
        if config.recorded:
            return _recorded(files, summary, model)
        model = _network(config, ImageShape(channels, height, width), len(summary["class_names"]), folder.name)
        weights = _best_weights(folder) if which == "best" else _checkpoint_weights(folder, which)
    except FolderError as error:
        raise OpenError(str(error)) from error
    _load(model, weights, f"the weights of {folder.name} do not fit its config")
    return _opened(files, summary, model)


def _recorded(files: RunFolder, summary: Mapping[str, Any], model: nn.Module | None) -> OpenRun:
    """A run of a network that only the program can build that trained it."""
    if model is None:
        raise OpenError(
            f"{files.run_id} was recorded from another program's training, so attnlab cannot build its network; in Python, "
            "attnlab.open_run(folder, model=...) puts its weights into yours"
        )
    if not files.final_path.is_file():
        raise OpenError(f"{files.run_id} has no weights: its recording was not closed, or kept none")
    _load(model, load(files.final_path, load_file), f"the weights of {files.run_id} do not fit this network")
    return _opened(files, summary, model)


def _load(model: nn.Module, weights: Mapping[str, Tensor], trouble: str) -> None:
    """Puts weights into a network.

    Raises:
        OpenError: when they are those of another network, or hold numbers that are not finite.
    """
    if problems := why_unfit(model.state_dict(), weights):
        raise OpenError(f"{trouble}: {problems}")
    odd = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if odd:
        raise OpenError(f"{trouble}: {odd[0]} holds numbers that are not finite, as after a training that diverged")
    model.load_state_dict(weights)


def _opened(files: RunFolder, summary: Mapping[str, Any], model: nn.Module) -> OpenRun:
    channels, height, width = summary["shape"]
    return OpenRun(
        name=files.run_id,
        folder=files.path,
        config=files.config,
        model=model.eval(),
        class_names=tuple(summary["class_names"]),
        mean=tuple(summary["mean"]),
        std=tuple(summary["std"]),
        shape=(channels, height, width),
    )


def _network(config: RunConfig, shape: ImageShape, classes: int, name: str) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn only to be replaced
            return build_network(config.model, shape, classes)
    except Exception as error:  # of a plug-in that is not here or has changed, or values that no version of ours has written
        raise OpenError(f"the network of {name} cannot be built: {plugins.with_place(error)}") from error


def _best_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / checkpoints.BEST
    if not path.is_file():
        raise OpenError(f"the run {folder.name} has no best epoch yet: no epoch has been validated, or {path.name} was deleted")
    return load(path, load_file)


def _checkpoint_weights(folder: Path, which: Literal["last"] | int) -> dict[str, Tensor]:
    parent = folder / "checkpoints"
    # Two checkpoints of one step differ in the epochs finished, not in the weights.
    path = checkpoints.find(parent).path if which == "last" else max(parent.glob(f"{which:08d}-*"), default=None)
    if path is None:
        raise OpenError(f"the run {folder.name} has no checkpoint" + ("" if which == "last" else f" of step {which}"))
    if which != "last":
        checkpoints.verify(path)
    return checkpoints.model_weights(load(path / checkpoints.STATE, load_file))
