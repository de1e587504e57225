"""Runs of these tests write a checkpoint every three steps, so that there is one to go back to."""

import pytest


@pytest.fixture(autouse=True)
def frequent_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_CHECKPOINT_STEPS", "3")
