"""`attnlab.Recorder`: a training loop of one's own becomes a run; what goes wrong with writing does not reach the training."""

from __future__ import annotations

import os
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import attnlab
from attnlab.experiments.managers import get_manager, shutdown_all
from attnlab.explain.open_run import OpenError, open_run
from attnlab.queue.manager import Manager
from attnlab.recording import Recorder
from attnlab.runs.errors import RequestRefused
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from tests.notebook.test_show import classifier, network

PROBES = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
PLAIN: dict[str, Any] = {"mean": 0, "std": 1}


def train(model: nn.Module, steps: int = 6, recorder: Recorder | None = None) -> nn.Module:
    """A loop as people write it, with dropout-like randomness in the data."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.train()
    for step in range(1, steps + 1):
        loss = nn.functional.cross_entropy(model(torch.rand(4, 3, 16, 16)), torch.randint(3, (4,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if recorder is not None:
            recorder.log(step, loss=loss, lr=0.1)
            if step % 3 == 0:
                recorder.log(epoch=step // 3, train_loss=loss, val_acc=0.5 + step / 100)
    return model


def test_a_recorded_training_is_a_run_with_curves_maps_and_weights(tmp_path: Path) -> None:
    model = classifier()
    with Recorder(
        model, PROBES, name="mine", class_names=["a", "b", "c"], labels=[0, 1, 2], data="toys", home=tmp_path, **PLAIN
    ) as recorder:
        during = RunFolder(recorder.folder).observe()
        train(model, recorder=recorder)
        recorder.close(test_accuracy=0.75)
    folder = RunFolder(recorder.folder)
    assert during.state is RunState.RUNNING
    assert recorder.folder.parent == tmp_path / "runs"
    observed = folder.observe()
    assert observed.state is RunState.FINISHED and observed.result["test_accuracy"] == 0.75
    rows = folder.metrics()
    assert [row["step"] for row in rows if row["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [(row["epoch"], row["step"], row["validation_accuracy"]) for row in rows if row["kind"] == "epoch"] == [
        (1, 3, 0.53),
        (2, 6, 0.56),
    ]
    assert folder.snapshot_steps() == [0, 1, 2, 3, 4, 6]
    snapshots, problems = folder.readable_snapshots()
    assert not problems and snapshots[0].probabilities.shape == (3, 3)
    assert not np.array_equal(snapshots[0].probabilities, snapshots[-1].probabilities)
    with pytest.raises(OpenError, match="cannot build its network"):
        open_run(folder.path)
    opened = open_run(folder.path, model=classifier())
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in opened.model.state_dict().items())
    assert attnlab.show(opened, PROBES).about == "3 images, 2 maps"
    assert attnlab.show(folder.path).about == "3 images, 2 maps"


def test_recording_changes_no_bit_of_the_training(tmp_path: Path) -> None:
    model = classifier()
    recorder = Recorder(model, PROBES, home=tmp_path, **PLAIN)
    train(model, recorder=recorder)
    alone = train(classifier())
    assert all(torch.equal(value, alone.state_dict()[name]) for name, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [({"snapshots": 2}, [0, 2, 4, 6]), ({"snapshots": [3]}, [0, 3, 6]), ({"steps": 6}, [0, 1, 2, 3, 4, 5, 6])],
)
def test_maps_are_kept_at_the_steps_that_were_chosen(chosen: dict[str, Any], kept: list[int], tmp_path: Path) -> None:
    with Recorder(classifier(), PROBES, home=tmp_path, **PLAIN, **chosen) as recorder:
        for step in range(1, 7):
            recorder.log(step, loss=1.0)
    assert RunFolder(recorder.folder).snapshot_steps() == kept


def test_a_network_without_classes_logged_by_epochs_alone(tmp_path: Path) -> None:
    with Recorder(network(), PROBES, home=tmp_path, **PLAIN) as recorder:
        for epoch in range(3):
            recorder.timm(epoch, {"loss": 1 / (epoch + 1)}, {"loss": 2.0, "top1": torch.tensor(87.5)})
    folder = RunFolder(recorder.folder)
    rows = folder.metrics()
    assert [(row["step"], row["epoch"], row["train_loss"], row["validation_accuracy"]) for row in rows] == [
        (1, 1, 1.0, 0.875),
        (2, 2, 0.5, 0.875),
        (3, 3, pytest.approx(1 / 3), 0.875),
    ]
    assert attnlab.show(recorder.folder).about == "3 images, 2 maps"


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (RuntimeError("the loss is not finite"), RunState.INTERRUPTED, "ended with RuntimeError: the loss is not finite"),
        (KeyboardInterrupt(), RunState.STOPPED, "at the keyboard"),
    ],
)
def test_an_exception_in_the_loop_ends_the_run_with_the_reason(
    error: BaseException, state: RunState, said: str, tmp_path: Path
) -> None:
    with pytest.raises(type(error)), Recorder(classifier(), PROBES, home=tmp_path, **PLAIN) as recorder:
        recorder.log(1, loss=2.0)
        raise error
    observed = RunFolder(recorder.folder).observe()
    assert observed.state is state and said in observed.reason
    assert RunFolder(recorder.folder).readable_snapshots()[0]


def test_a_killed_program_leaves_a_run_that_can_be_read(tmp_path: Path) -> None:
    child = os.fork()
    if not child:  # a program of its own, which dies in the middle
        try:
            recorder = Recorder(classifier(), PROBES, folder=tmp_path / "run", **PLAIN)
            recorder.log(1, loss=1.0)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    observed = RunFolder(tmp_path / "run").observe()
    assert observed.state is RunState.INTERRUPTED and "without closing the recording" in observed.reason
    assert RunFolder(tmp_path / "run").metrics()[0]["loss"] == 1.0


def test_a_second_recorder_on_a_folder_is_refused(tmp_path: Path) -> None:
    Recorder(classifier(), PROBES, folder=tmp_path / "run", **PLAIN)
    with pytest.raises(ValueError, match="exists already"):
        Recorder(classifier(), PROBES, folder=tmp_path / "run", **PLAIN)


@pytest.mark.parametrize(
    ("model", "images", "options", "said"),
    [
        (nn.Conv2d(3, 3, 1), PROBES, PLAIN, "attnlab.adopt"),
        (classifier(), [PROBES, torch.rand(3, 8, 8)], PLAIN, "of one size"),
        (classifier(), PROBES, {}, "pass mean= and std="),
        (classifier(), PROBES, {**PLAIN, "class_names": ["a"]}, "returns 3 classes"),
        (classifier(), PROBES, {**PLAIN, "labels": [0, 1, 7]}, "numbers of 3 classes"),
        (classifier(), PROBES, {**PLAIN, "labels": [0]}, "as many labels"),
        (classifier(), PROBES, {**PLAIN, "home": "a", "folder": "b"}, "not both"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(
    model: nn.Module, images: Any, options: dict[str, Any], said: str, private_home: Path
) -> None:
    with pytest.raises(ValueError) as refused:
        Recorder(model, images, **options)
    assert said in str(refused.value)
    assert not list(private_home.glob("runs/*"))


def test_a_full_disk_gives_one_warning_and_the_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier()
    recorder = Recorder(model, PROBES, home=tmp_path, **PLAIN)
    recorder.log(1, loss=1.0)
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if b'"kind":"step"' in content:
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    monkeypatch.setattr(os, "write", full)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for step in range(2, 6):
            recorder.log(step, loss=1.0)
        recorder.close()
    assert [str(each.message) for each in caught if "Recorder" in str(each.message)] == [
        f"attnlab.Recorder, run {recorder.run_id}: the recording ends at step 2: the disk is full. Your training goes on; what "
        "was recorded stays."
    ]
    observed = RunFolder(recorder.folder).observe()
    assert observed.state is RunState.INTERRUPTED and "the disk is full" in observed.reason


def test_figures_that_cannot_be_drawn_are_left_out_with_one_warning(tmp_path: Path) -> None:
    recorder = Recorder(classifier(), PROBES, home=tmp_path, **PLAIN)
    with pytest.warns(UserWarning, match="no share from 0 to 1"):
        recorder.log(epoch=1, val_acc=93.0, val_loss=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.log(epoch=2, val_acc=93.0, val_loss=0.2)
    with pytest.warns(UserWarning, match="not a finite number"):
        recorder.log(3, loss=float("nan"))
    assert [row["validation_loss"] for row in RunFolder(recorder.folder).metrics()] == [0.3, 0.2]


@pytest.fixture
def manager(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    yield get_manager()
    shutdown_all()


def test_the_app_neither_signals_the_program_nor_keeps_a_place_for_it(manager: Manager) -> None:
    recorder = Recorder(classifier(), PROBES, **PLAIN)
    manager.tick()
    assert manager.get(recorder.run_id).state is RunState.RUNNING
    for act in (manager.stop, manager.pause):
        with pytest.raises(RequestRefused, match="which alone can stop or continue it"):
            act(recorder.run_id)
    assert RunFolder(recorder.folder).requested() is None
    with pytest.raises(RequestRefused, match="is running"):
        manager.delete(recorder.run_id)
    manager.change_executor(manager.executor)  # is refused while the queue's own runs train
    recorder._held.close()  # as when the program ends
    manager.tick()
    record = manager.get(recorder.run_id)
    assert record.state is RunState.INTERRUPTED and "without closing the recording" in record.reason
    with pytest.raises(RequestRefused, match="which alone can stop or continue it"):
        manager.resume(recorder.run_id)
    assert not record.resumable


def test_lightning_calls_the_recorder(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")

    class Module(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = classifier()

        def training_step(self, batch: Any, index: int) -> Any:
            loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val/acc", 0.25)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.5)

    data = torch.utils.data.TensorDataset(torch.rand(8, 3, 16, 16), torch.zeros(8, dtype=torch.int64))
    loader = torch.utils.data.DataLoader(data, batch_size=4)
    module = Module()
    recorder = Recorder(module.net, PROBES, home=tmp_path / "home", **PLAIN)
    trainer = lightning.Trainer(
        max_epochs=2,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[recorder.lightning()],
        default_root_dir=tmp_path,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, loader, loader)
    rows = RunFolder(recorder.folder).metrics()
    assert [(row["step"], row["epoch"], row["lr"]) for row in rows if row["kind"] == "step"] == [
        (1, 1, 0.5),
        (2, 1, 0.5),
        (3, 2, 0.5),
        (4, 2, 0.5),
    ]
    assert [(row["step"], row["epoch"], row["validation_accuracy"]) for row in rows if row["kind"] == "epoch"] == [
        (2, 1, 0.25),
        (4, 2, 0.25),
    ]
    assert all(row["train_loss"] is not None for row in rows if row["kind"] == "epoch")
    assert RunFolder(recorder.folder).observe().state is RunState.FINISHED
