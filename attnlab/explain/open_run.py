"""Opens the network of a run: a separate copy on the CPU, never the one in training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from attnlab import plugins
from attnlab.attention import locate_maps
from attnlab.config import RunConfig
from attnlab.explain.inspection import Inspection, inspect_images
from attnlab.explain.transformers.relevance import layers_with_gradients
from attnlab.geometry import Cells
from attnlab.models import ImageShape, build_model
from attnlab.runs import checkpoints
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.weights import load
from attnlab.training.losses import Objective


class OpenError(ValueError):
    """The run cannot be opened; the message says which file is missing or damaged."""


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run's network, ready for inspection.

    Attributes:
        folder: of the run.
        model: in evaluation mode, on the CPU.
        class_names, mean, std, shape: of the run's data set; mean and std per channel, on images in [0, 1]; shape is
            (C, H, W).
        notice: a sentence where these are not the weights that were asked for, because those are damaged.
    """

    folder: Path
    config: RunConfig
    model: nn.Module
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shape: tuple[int, int, int]
    notice: str = ""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits -> float32 (B, classes), by the run's own loss head."""
        return Objective(self.config).probabilities(logits)

    def class_scores(self, logits: Tensor) -> Tensor:
        """Scores before the softmax, (B, classes), for gradients; a single output is the score of class 1 of two."""
        return torch.cat([-logits, logits], dim=1) / 2 if logits.shape[1] == 1 else logits

    @cached_property
    def class_token(self) -> bool:
        """Whether the network is a transformer that classifies a first token without a position; found by one gradient."""
        black = torch.zeros(1, *self.shape, device=next((weight.device for weight in self.model.parameters()), None))
        layers = layers_with_gradients(self.model, black, lambda logits: self.class_scores(logits).amax(dim=1))[0]
        return layers is not None and layers.class_token

    @cached_property
    def cells(self) -> dict[str, Cells]:
        """Where each tap's features lie in the picture, see `attnlab.attention.locate_maps`; found once, by one forward."""
        return locate_maps(self.model, self.shape)

    def inspect(self, images: Tensor, *, derived: bool = False) -> Inspection:
        """Predictions and maps for uint8 (B, C, H, W) of the run's shape. The maps know where their cells lie.

        Args:
            derived: see `inspect_images`.
        """
        return inspect_images(
            self.model,
            images,
            self.mean,
            self.std,
            probabilities=self.probabilities,
            cells=self.cells,
            derived=derived,
        )


def open_run(folder: Path, which: Literal["best", "last"] | int = "best") -> OpenRun:
    """Loads the network of a run folder.

    Args:
        which: the best epoch by validation, the newest checkpoint, or the checkpoint of this step.

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
        model = _network(config, ImageShape(channels, height, width), len(summary["class_names"]), folder.name)
        weights = _best_weights(folder) if which == "best" else _checkpoint_weights(folder, which)
    except FolderError as error:
        raise OpenError(str(error)) from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise OpenError(f"the weights of {folder.name} do not fit its config: {error}") from error
    return OpenRun(
        folder=folder,
        config=config,
        model=model.eval(),
        class_names=tuple(summary["class_names"]),
        mean=tuple(summary["mean"]),
        std=tuple(summary["std"]),
        shape=(channels, height, width),
    )


def _network(config: RunConfig, shape: ImageShape, classes: int, name: str) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn only to be replaced
            return build_model(config.model, shape, classes)
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
