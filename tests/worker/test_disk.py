"""A disk that becomes full while runs train, alone or together: each ends with the reason, keeps its checkpoint and resumes."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attnlab.runs import checkpoints
from attnlab.runs.folder import RunFolder
from attnlab.runs.metrics_log import MetricsLog
from attnlab.runs.records import RunState
from attnlab.worker.session import run_together
from tests.example_runs import TWO_EPOCHS
from tests.small_disk import fill, small_disk

WRITES: dict[str, tuple[type, str, int]] = {
    "a snapshot": (RunFolder, "write_snapshot", 5),
    "metrics": (MetricsLog, "append", 14),
    "progress": (RunFolder, "write_progress", 14),
}
"""What is being written when the disk is full: the class and its method, and its how-manieth call."""


def fill_before(monkeypatch: pytest.MonkeyPatch, disk: Path, what: str, together: int) -> list[Path]:
    """Fills the disk right before that write, and then does it. Returns the files that fill the disk, once there is one."""
    owner, name, call = WRITES[what]
    write: Callable[..., Any] = getattr(owner, name)
    calls, fillers = [0], list[Path]()

    def on_a_full_disk(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == call * together and not fillers:
            fillers.append(fill(disk))
        return write(*arguments, **named)

    monkeypatch.setattr(owner, name, on_a_full_disk)
    return fillers


@pytest.mark.slow
@pytest.mark.parametrize("together", [1, 3])
@pytest.mark.parametrize("what", WRITES)
def test_every_run_gets_its_end_on_a_full_disk_and_can_be_resumed(
    what: str, together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attnlab.worker.attempt._PROGRESS_SECONDS", 0.0)  # progress is written at every step
    with small_disk(tmp_path / "disk", 24) as disk:
        folders = [RunFolder.create(disk / "runs", TWO_EPOCHS.changed(seed=seed)) for seed in range(together)]
        filler = fill_before(monkeypatch, disk, what, together)
        run_together(folders)
        assert filler, "the disk was filled"
        for folder in folders:
            observed = folder.observe()
            assert observed.state is RunState.FAILED, observed
            assert "disk is full" in observed.reason
            assert checkpoints.find(folder.checkpoints_path).path is not None
            assert folder.readable_snapshots()[1] == []
            assert not list(folder.path.rglob("*.tmp"))
        filler[0].unlink()
        assert shutil.disk_usage(disk).free > 1 << 20
        run_together(folders)
        for folder in folders:
            assert folder.observe().state is RunState.FINISHED
            steps = [row["step"] for row in folder.metrics() if row["kind"] == "step"]
            assert steps == list(range(1, len(steps) + 1))
