"""Runs that train together on a disk that becomes full: each gets its end with the reason, and all can be resumed."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.worker.session import run_together
from tests.example_runs import TWO_EPOCHS
from tests.small_disk import fill, small_disk


@pytest.mark.slow
@pytest.mark.parametrize("step", [4, 16], ids=["in the middle", "at the end"])
def test_every_run_of_a_stack_gets_its_end_on_a_full_disk(step: int, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 24) as disk:
        folders = [RunFolder.create(disk / "runs", TWO_EPOCHS.changed(seed=seed)) for seed in range(3)]
        filler: list[Path] = []

        def full(progress: dict[str, Any]) -> None:
            if progress["step"] >= step and not filler:
                filler.append(fill(disk))

        run_together(folders, watch=full)
        assert filler, "the disk was filled"
        for folder in folders:
            observed = folder.observe()
            assert observed.state is RunState.FAILED, observed
            assert "disk is full" in observed.reason
            assert checkpoints.find(folder.checkpoints_path).path is not None
            assert not list(folder.path.rglob("*.tmp"))
        filler[0].unlink()
        assert shutil.disk_usage(disk).free > 1 << 20
        run_together(folders)
        for folder in folders:
            assert folder.observe().state is RunState.FINISHED
            steps = [row["step"] for row in folder.metrics() if row["kind"] == "step"]
            assert steps == list(range(1, len(steps) + 1))
