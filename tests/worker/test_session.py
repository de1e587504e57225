"""Runs that are trained together end as a run that is trained alone does, each in its own folder, whatever goes wrong."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attnlab.config import RunConfig
from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.worker.session import run, run_together
from tests.example_runs import TWO_EPOCHS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Mounts a file system of 48 MiB at a path."""
    mounts: list[Path] = []

    def mount(path: Path) -> Path:
        path.mkdir(exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(path)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small file system needs root")
        mounts.append(path)
        return path

    yield mount
    for path in mounts:
        subprocess.run(["umount", "-l", str(path)], check=True)


def seeds(parent: Path, config: RunConfig = TWO_EPOCHS) -> list[RunFolder]:
    return [RunFolder.create(parent, config.changed(seed=seed)) for seed in range(3)]


def at_step(step: int, act: Callable[[], object]) -> Callable[[dict[str, Any]], None]:
    """A watch that does something once, when the run has come to this step."""
    pending = [act]

    def watch(progress: dict[str, Any]) -> None:
        if progress["step"] >= step and pending:
            pending.pop()()

    return watch


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    filler.write_bytes(bytes(shutil.disk_usage(disk).free - 4096))
    return filler


def reasons(folders: list[RunFolder]) -> list[tuple[RunState, str]]:
    return [(folder.observe().state, folder.observe().reason) for folder in folders]


def test_on_a_full_disk_every_run_of_a_stack_ends_with_the_reason_and_can_be_resumed(
    tmp_path: Path, small_disk: Callable[[Path], Path]
) -> None:
    disk = small_disk(tmp_path / "disk")
    folders = seeds(disk)
    outcome = run_together(folders, watch=at_step(4, lambda: fill(disk)))
    assert (outcome.state, outcome.reusable) == (RunState.FAILED, True)
    assert "disk is full" in outcome.reason
    assert reasons(folders) == [(RunState.FAILED, outcome.reason)] * 3
    for folder in folders:
        assert checkpoints.find(folder.checkpoints_path).path is not None
        assert not (folder.path / ".reserve").exists()

    (disk / "filler").unlink()
    assert [run(folder.path).state for folder in folders] == [RunState.FINISHED] * 3


def test_an_end_that_cannot_be_written_is_reported_and_the_others_get_theirs(
    tmp_path: Path, small_disk: Callable[[Path], Path]
) -> None:
    folders = seeds(tmp_path)
    content = shutil.copytree(folders[0].path, tmp_path / "copy")
    disk = small_disk(folders[0].path)
    shutil.copytree(content, disk, dirs_exist_ok=True)

    def fill_the_first() -> None:
        (disk / "second_name").hardlink_to(disk / ".reserve")  # so that giving the reserve back frees nothing
        filler = fill(disk)
        with filler.open("ab") as stream, pytest.raises(OSError, match="No space"):
            while True:
                stream.write(bytes(4096))
                stream.flush()

    with pytest.raises(OSError, match="No space"):
        run_together(folders, watch=at_step(4, fill_the_first))
    assert folders[0].end() is None
    assert folders[0].observe().state is RunState.INTERRUPTED
    full = (RunState.FAILED, "the disk is full; free some space, then resume the run")
    assert reasons(folders[1:]) == [full, full]


def test_a_folder_that_is_lost_while_it_trains_does_not_keep_the_others_from_their_ends(tmp_path: Path) -> None:
    folders = seeds(tmp_path)
    with pytest.raises(FileNotFoundError, match=folders[0].run_id):
        run_together(folders, watch=at_step(4, lambda: folders[0].path.rename(tmp_path / ".moved")))
    for state, reason in reasons(folders[1:]):
        assert state is RunState.FAILED and folders[0].run_id in reason
    assert all(not (folder.path / ".reserve").exists() for folder in folders[1:])


def test_a_run_that_cannot_be_begun_is_left_out_and_stays_in_the_queue(tmp_path: Path) -> None:
    folders = seeds(tmp_path)
    for folder in folders[1:]:
        folder.enqueue(1.0)
    with folders[1].lock():
        assert run_together(folders).state is RunState.FINISHED
    (folders[1].path / "owner.json").write_text("{")
    assert run_together(folders).state is RunState.FINISHED
    assert (folders[1].path / "queued.json").exists() and folders[1].end() is None
    assert [(folder.end() or {})["attempt"] for folder in (folders[0], folders[2])] == [2, 2]


MEMORY = '''
import json, sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from attnlab.attention._registry import register_attention
from attnlab.attention._tap import MapKind
from attnlab.config import RunConfig
from attnlab.data._registry import register_dataset
from attnlab.runs.folder import RunFolder
from attnlab.worker.session import run, run_together

about = dict(title="", summary="")


@register_dataset("huge", **about, image_size=8, class_names=("a", "b"), source="", licence="", channels=1)
def build(image_size, progress):
    """More than any computer has."""
    return np.empty((1 << 46, image_size, image_size))


@register_attention("greedy", **about, paper="", formula="", kinds=[MapKind.SPATIAL])
class Greedy(nn.Module):
    """Fails as a layer does that finds the GPU full."""

    def __init__(self, channels, size):
        super().__init__()

    def forward(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


small, where = RunConfig.from_json(sys.argv[1]), Path(sys.argv[2])
outcomes = {}
for name, config in {
    "computer": RunConfig().changed(dataset__name="huge", training__device="cpu"),
    "gpu": small.changed(model__attention="greedy"),
}.items():
    alone = run(RunFolder.create(where / "alone", config).path)
    folders = [RunFolder.create(where / "together", config.changed(seed=seed)) for seed in range(3)]
    together = run_together(folders)
    outcomes[name] = {
        "alone": [alone.state, alone.reason, alone.reusable],
        "together": [together.state, together.reason, together.reusable],
        "ends": [[folder.end()["state"], folder.end()["reason"]] for folder in folders],
    }
print(json.dumps(outcomes))
'''


@pytest.fixture(scope="module")
def out_of_memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """How runs end, alone and together, when the memory of the computer or of its GPU is too small.

    In a process of its own, since what is registered for it cannot be taken back.
    """
    folder = tmp_path_factory.mktemp("memory")
    command = [sys.executable, "-c", MEMORY, TWO_EPOCHS.to_json(), str(folder)]
    environment = os.environ | {"ATTNLAB_HOME": str(folder / "home")}
    done = subprocess.run(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True, timeout=200)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_running_out_of_memory_gives_the_same_advice_alone_and_together(out_of_memory: dict[str, dict[str, Any]]) -> None:
    outcomes = out_of_memory["computer"]
    state, reason, reusable = outcomes["alone"]
    assert (state, reusable) == ("failed", True)
    assert "smaller training.batch_size, dataset.image_size or dataset.subset" in reason
    assert outcomes["together"] == outcomes["alone"]
    assert outcomes["ends"] == [["failed", reason]] * 3


@pytest.mark.slow
def test_after_a_gpu_ran_out_of_memory_the_process_is_not_used_again(out_of_memory: dict[str, dict[str, Any]]) -> None:
    outcomes = out_of_memory["gpu"]
    for state, reason, reusable in (outcomes["alone"], outcomes["together"]):
        assert (state, reusable) == ("failed", False)
        assert "the device has too little memory" in reason and "batches of 8" in reason
    assert outcomes["ends"] == [["failed", outcomes["together"][1]]] * 3


def test_the_progress_of_every_run_of_a_stack_is_up_to_date_at_its_end(tmp_path: Path) -> None:
    folders = seeds(tmp_path)
    assert run_together(folders).state is RunState.FINISHED
    for folder in folders:
        progress = folder.progress()
        assert progress["step"] == progress["total_steps"] == len([row for row in folder.metrics() if row["kind"] == "step"])
        end = folder.end()
        assert end is not None and end["result"]["extra"]["stacked"] == 3
        json.dumps(end, allow_nan=False)


def test_a_run_that_diverges_in_a_stack_leaves_the_process_usable(tmp_path: Path) -> None:
    folders = seeds(tmp_path, TWO_EPOCHS.changed(training__optimizer="sgd", training__lr=1e30))
    outcome = run_together(folders)
    assert (outcome.state, outcome.reusable) == (RunState.FAILED, True)
    for state, reason in reasons(folders):
        assert state is RunState.FAILED and "learning rate" in reason
