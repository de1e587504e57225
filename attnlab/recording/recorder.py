"""``attnlab.Recorder``: two lines in a training loop of one's own write a run that the app opens, with curves and maps.

The run says honestly what it is: a *recorded* run (`RunConfig.recorded`) of a network that attnlab cannot build again. It holds
figures, the maps of the probe images at some steps, and the weights at the end; nobody but the program that trains can stop or
continue it. Once it has begun, what cannot be written is said in one warning, and the training goes on.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from attnlab import paths
from attnlab.attention import attention_taps, locate_maps
from attnlab.config import RECORDED, DatasetConfig, ModelConfig, RunConfig
from attnlab.data import normalise
from attnlab.data.given import images_for
from attnlab.files import is_full
from attnlab.geometry import Cells
from attnlab.recording.figures import EPOCH_FIGURES, STEP_FIGURES, sorted_figures
from attnlab.runs import checkpoints
from attnlab.runs.folder import TRAINING, RunFolder
from attnlab.runs.metrics_log import MetricsLog
from attnlab.runs.records import RunState
from attnlab.training.events import ProbeEvent, SnapshotEvent
from attnlab.training.losses import output_probabilities
from attnlab.training.snapshots import SNAPSHOTS, Snapshots, snapshot_steps

MOST_PROBES = 16
MAP_BYTES = 16_000_000
"""Of all snapshots at most, unless a person asks for more of them: networks of others have a hundred maps and more."""
_GROWTH = 1.3
"""Where nobody says how long the training is, the next snapshot comes after so many times the steps: forty in 25,000."""
_PROGRESS_SECONDS = 0.5
"""The least time between two writes of the progress."""


class Recorder:
    """Records the training of any network with attention taps as a run in attnlab's home.

    It may be used as a context manager: then an exception in the block ends the run as interrupted, with the reason. A program
    that is killed leaves a run that can be read up to its last line.

    Args:
        model: the network that is trained: with blocks of attnlab, or what `attnlab.adopt` makes of another. It is run on the
            probe images in evaluation mode now and then, and left as it was. Of a network wrapped for several devices
            (``DistributedDataParallel``) the wrapped one is taken; record in one of the processes.
        images: up to 16 probe images of one size, in any form that `attnlab.show` takes. Their maps are kept over time.
        name: what the run is called in the app.
        class_names: in the order of the outputs; numbered without. labels: the true class of each probe image.
        mean, std, size: as for `attnlab.show`.
        data: what the training images are called. Runs on data of another name, or with other probe images, are not compared.
        settings: what decides the result (learning rate, epochs, ...), as JSON values. Runs that agree in network, data and
            settings count as one configuration with several seeds.
        seed: of this training.
        steps: how many steps it will have, where that is known; then snapshots are spread over them.
        snapshots: every so many steps, or these steps; by itself about forty, close together early and far apart late.
        weights: whether `close` writes the weights.
        home: attnlab's home, where the app looks (``ATTNLAB_HOME``). folder: another place for this run, a new folder.

    Raises:
        ValueError: when the network has no taps, the images do not fit it, or the folder exists already.
        OSError: when the run cannot be begun, because the disk is full or may not be written.

    Example:
        >>> import tempfile, torch, attnlab
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), attnlab.build_attention("cbam", 8, (16, 16)))
        >>> with attnlab.Recorder(model, torch.rand(2, 3, 16, 16), mean=0, std=1, home=tempfile.mkdtemp()) as recorder:
        ...     for step in range(1, 4):
        ...         recorder.log(step, loss=1 / step)
        >>> attnlab.show(recorder.folder).about
        '2 images, 2 maps'
    """

    def __init__(
        self,
        model: nn.Module,
        images: Any,
        *,
        name: str = "",
        class_names: Sequence[str] | None = None,
        labels: Sequence[int] | None = None,
        mean: Sequence[float] | float | None = None,
        std: Sequence[float] | float | None = None,
        size: int | tuple[int, int] | None = None,
        data: str = "own data",
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        steps: int | None = None,
        snapshots: int | Sequence[int] | None = None,
        weights: bool = True,
        home: str | Path | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self._model = _bare(model if isinstance(model, nn.Module) else getattr(model, "model", model))
        if not attention_taps(self._model):
            raise ValueError(
                f"{type(self._model).__name__} has no attention that attnlab can record: pass what attnlab.adopt makes of a "
                "network of timm, torchvision or transformers, or put blocks of attnlab.build_attention into your own"
            )
        self._plan, self._total, self._weights = snapshots, steps, weights
        probes, mean, std = _probes(self._model, images, labels, mean, std, size)
        self._look = _Look(self._model, mean, std)
        self._snapshots = Snapshots(probes, self._look, SNAPSHOTS**2, most=MAP_BYTES)
        first = self._take(0)
        names = _names(class_names, first.probabilities.shape[1], probes.labels)
        network = str(getattr(model, "name", "") or type(self._model).__name__)
        options = {"network": network, **(settings or {})}
        shown = DatasetConfig(name=data, options={"probes": _digest(probes)})
        config = RunConfig(dataset=shown, model=ModelConfig(backbone=RECORDED, options=options), seed=seed)

        self.step, self.epoch = 0, 0
        self.trouble = ""
        self._next = self._after(0)
        self._epochs = 0
        self._last: float | None = None
        self._began = time.monotonic()
        self._written = 0.0
        self._held, self._room = ExitStack(), ExitStack()
        parameters = sum(each.numel() for each in self._model.parameters())
        self._about = {"attempt": 1, "device": str(self._look.device), "parameters": parameters, "torch": torch.__version__}

        def fill(made: RunFolder) -> None:
            """Everything is there, and locked, before anybody can see the run."""
            lock = made.lock()
            lock.acquire(timeout=0)
            self._held.callback(lock.release)
            made.begin_attempt()
            channels, height, width = probes.images.shape[1:]
            made.write_dataset(
                {
                    "name": data,
                    "class_names": list(names),
                    "shape": [channels, height, width],
                    "mean": list(mean),
                    "std": list(std),
                    "provenance": {"source": data, "note": "recorded by attnlab.Recorder", "skipped": []},
                }
            )
            made.write_probes(probes)
            made.write_snapshot(first)
            made.write_progress(self._progress())

        with ExitStack() as failed:
            failed.callback(self._held.close)
            self._files = _create(Path(home) if home is not None else None, folder, config, name, fill)
            self._room.enter_context(self._files.reserve())
            self._metrics = self._room.enter_context(MetricsLog(self._files.metrics_path))
            failed.pop_all()

    @property
    def folder(self) -> Path:
        """The folder of the run."""
        return self._files.path

    @property
    def run_id(self) -> str:
        """The name of the run, as in `attnlab.show(run_id)` and in the app."""
        return self._files.run_id

    def log(self, step: int | None = None, *, epoch: int | None = None, **figures: Any) -> None:
        """Writes figures of a step or of an epoch, and keeps the maps when it is time. Never raises once the run has begun.

        Args:
            step: number of the step, from 1; without it and without an epoch the next one. epoch: number of the epoch; the
                figures are then those of the epoch.
            figures: numbers or tensors with one number. ``loss`` and ``lr`` of a step; ``train_loss`` (or ``loss``),
                ``train_acc``, ``val_loss``, ``val_acc`` of an epoch, also as ``..._accuracy`` and ``validation_...``.
                Accuracies are shares from 0 to 1. Others are kept in ``metrics.jsonl``, and the app does not draw them.
        """
        if not self._recording:
            return
        with self._carefully():
            of_step, of_epoch, left_out = sorted_figures(figures, of_epoch=epoch is not None and step is None)
            for why in left_out:
                self._warn_once(why)
            if epoch is not None:
                self.epoch = int(epoch)
            if step is not None:
                self.step = int(step)
            elif epoch is None or not self._stepped:
                self.step += 1
            self._stepped = self._stepped or epoch is None or step is not None
            if "loss" in of_step:
                known = dict.fromkeys((*STEP_FIGURES, "images_per_second"))
                self._metrics.append({"kind": "step", "step": self.step, "epoch": self.epoch, **known, **of_step})
            if of_epoch:
                self._epochs += 1
                number = self._epochs if epoch is None else self.epoch
                row = dict.fromkeys(EPOCH_FIGURES) | of_epoch
                self._metrics.append({"kind": "epoch", "step": self.step, "epoch": number, **row, "best": False})
                self._last = row["validation_accuracy"]
            if self._next is not None and self.step >= self._next:
                self.snapshot()
            if of_epoch or time.monotonic() - self._written > _PROGRESS_SECONDS:
                self._files.write_progress(self._progress())

    def snapshot(self) -> None:
        """Keeps the maps of the probe images as they are now, at the current step."""
        if not self._recording or not self._looking:
            return
        try:
            taken = self._take(self.step)
        except Exception as error:  # of the network, or too little memory; the training shall go on
            self._looking = False
            self._warn_once(f"no more maps are kept, since the network failed on the probe images: {error}")
            return
        with self._carefully():
            self._files.write_snapshot(taken)
            self._kept, self._next = self.step, self._after(self.step)

    def close(self, *, test_accuracy: float | None = None, test_loss: float | None = None) -> None:
        """Ends the run as finished, with the last maps and the weights. Later calls do nothing.

        Args:
            test_accuracy: in [0, 1]; a run that has one counts in *Compare*. test_loss: beside it.
        """
        if not self._recording:
            return
        result, _, left_out = sorted_figures({"test_accuracy": test_accuracy, "test_loss": test_loss}, of_epoch=False)
        for why in left_out:
            self._warn_once(why)
        if self._kept != self.step:
            self.snapshot()
        with self._carefully():
            if self._weights:
                weights = {name: value.detach().cpu().clone() for name, value in self._model.state_dict().items()}
                checkpoints.save_best(
                    self._files.final_path, weights, self.epoch, math.nan if self._last is None else self._last
                )
        self._end(RunState.FINISHED, "", {"step": self.step, "validation_accuracy": self._last, **result})

    def lightning(self) -> Any:
        """A callback for Lightning's ``Trainer``, see `attnlab.recording.lightning`.

        Raises:
            ImportError: when neither ``lightning`` nor ``pytorch_lightning`` is installed.
        """
        from attnlab.recording.lightning import callback

        return callback(self)

    def timm(self, epoch: int, train_metrics: Mapping[str, Any], eval_metrics: Mapping[str, Any] | None = None) -> None:
        """Writes what timm's training script knows after an epoch: ``train_metrics["loss"]``, ``eval_metrics["loss"]`` and
        ``["top1"]``, which is in percent there. timm counts epochs from 0.
        """
        found = {"train_loss": train_metrics.get("loss")}
        if eval_metrics:
            top1 = eval_metrics.get("top1")
            found |= {"val_loss": eval_metrics.get("loss"), "val_acc": None if top1 is None else float(top1) / 100}
        self.log(epoch=epoch + 1, **found)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.close()
        else:
            self.interrupt(error)

    def interrupt(self, error: BaseException) -> None:
        """Ends the run before its time: stopped by a person where it was Ctrl-C, else interrupted, with the reason."""
        if self._recording:
            stopped = isinstance(error, KeyboardInterrupt)
            said = f"{type(error).__name__}: {error}"[:300].rstrip(": ")
            reason = "stopped by a person at the keyboard" if stopped else f"the program that trained it ended with {said}"
            self._end(RunState.STOPPED if stopped else RunState.INTERRUPTED, reason, {})

    # Within

    _recording, _looking, _stepped, _kept = True, True, False, 0

    def _take(self, step: int) -> SnapshotEvent:
        devices = [self._look.device] if self._look.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # the training draws the same numbers with and without a recorder
            return self._snapshots.take(self._model, self._look, step, self._look.device)

    def _after(self, step: int) -> int | None:
        """The step of the next snapshot; `None` where there is none."""
        if isinstance(self._plan, int):
            return (step // self._plan + 1) * self._plan
        steps = snapshot_steps(self._total) if self._plan is None and self._total else self._plan
        if steps is None:
            return max(step + 1, math.ceil(step * _GROWTH))
        return min((int(each) for each in steps if each > step), default=None)

    def _progress(self) -> dict[str, Any]:
        self._written = time.monotonic()
        total = max(self.step, self._total or 0)
        known = {"phase": TRAINING, "step": self.step, "epoch": self.epoch, "total_steps": total, "seconds": self._seconds()}
        return {**self._about, **known, "validation_accuracy": self._last}

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def _end(self, state: RunState, reason: str, result: Mapping[str, Any]) -> None:
        with self._carefully():
            self._total = self.step
            self._files.write_progress(self._progress())
            self._files.write_end(state, 1, reason=reason, result={**result, "seconds": self._seconds()} if result else None)
        self._finish()

    def _finish(self) -> None:
        self._recording = False
        self._room.close()
        self._held.close()

    @contextmanager
    def _carefully(self) -> Iterator[None]:
        """Around what is written: a failure ends the recording with one warning, and not the training."""
        try:
            yield
        except (OSError, ValueError) as error:
            if not self._recording:
                return
            self._recording = False
            why = "the disk is full" if is_full(error, self.folder) else str(error)
            self._room.close()  # so that the end can be written
            with suppress(OSError):
                self._files.write_end(RunState.INTERRUPTED, 1, reason=f"it could not be recorded further: {why}")
            self._held.close()
            self._warn_once(f"the recording ends at step {self.step:,}: {why}. Your training goes on; what was recorded stays")

    def _warn_once(self, why: str) -> None:
        if why not in self.trouble:
            self.trouble = f"{self.trouble} {why}.".strip()
            warnings.warn(f"attnlab.Recorder, run {self.run_id}: {why}.", stacklevel=4)


@dataclass(frozen=True)
class _Look:
    """How the network is shown the probe images, and what its outputs mean."""

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def device(self) -> torch.device:
        weight = next(self.model.parameters(), None)
        return torch.device("cpu") if weight is None else weight.device

    def normalise(self, images: Tensor) -> Tensor:
        weight = next(self.model.parameters(), None)
        x = normalise(images, self.mean, self.std)
        return x if weight is None or not weight.is_floating_point() else x.to(weight.dtype)

    def probabilities(self, output: Any) -> Tensor:
        return output_probabilities(output)


def _bare(model: Any) -> nn.Module:
    """The network itself, without what wraps it for several devices or compiles it."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"a recorder takes a network (a torch.nn.Module), and not {type(model).__name__}")
    while True:
        if isinstance(model, nn.parallel.DistributedDataParallel | nn.DataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _probes(
    model: nn.Module,
    images: Any,
    labels: Sequence[int] | None,
    mean: Sequence[float] | float | None,
    std: Sequence[float] | float | None,
    size: int | tuple[int, int] | None,
) -> tuple[ProbeEvent, tuple[float, ...], tuple[float, ...]]:
    seen, means, stds = images_for(model, images, mean, std, size)
    if len(seen) > MOST_PROBES or len({each.shape for each in seen}) > 1:
        raise ValueError(f"a recorder takes up to {MOST_PROBES} probe images of one size; `size=` makes pictures fit")
    if labels is not None and len(labels) != len(seen):
        raise ValueError(f"{len(seen)} probe images need as many labels, not {len(labels)}")
    cells: dict[str, Cells] = {}
    try:
        cells = locate_maps(model, seen[0].shape)
    except Exception:  # a network of others may do what cannot be followed; its maps are then stretched evenly
        cells = {}
    probes = ProbeEvent(
        images=np.stack([each.image.numpy() for each in seen]),
        labels=np.array([-1] * len(seen) if labels is None else [int(label) for label in labels], np.int64),
        masks=None,
        names=tuple(f"image {number}" for number in range(1, len(seen) + 1)),
        cells=cells,
    )
    return probes, means, stds


def _names(given: Sequence[str] | None, classes: int, labels: np.ndarray) -> tuple[str, ...]:
    names = tuple(f"class {number}" for number in range(classes)) if given is None else tuple(map(str, given))
    if len(names) != classes:
        raise ValueError(f"{len(names)} class names were given, but the network returns {classes or 'no scores of'} classes")
    if labels.max() >= max(1, classes) or labels.min() < -1:
        raise ValueError(f"the labels must be numbers of {classes} classes, from 0")
    return names


def _digest(probes: ProbeEvent) -> str:
    return hashlib.sha256(probes.images.tobytes()).hexdigest()[:10]


def _create(home: Path | None, folder: str | Path | None, config: RunConfig, title: str, fill: Any) -> RunFolder:
    """The new folder of the run."""
    if folder is None:
        return RunFolder.create(paths.runs_dir() if home is None else home / "runs", config, title=title, fill=fill)
    path = Path(folder)
    if home is not None:
        raise ValueError("give a recorder a home or a folder, not both")
    if path.exists():
        raise ValueError(f"{path} exists already; a recording begins in a new folder, so that none overwrites another")
    return RunFolder.create(path.resolve().parent, config, title=title, fill=fill, name=path.name)
