"""Pages as a person finds them: opened from app.py; and finished runs to show on them, without training."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.config import RunConfig
from attnlab.experiments.managers import shutdown_all
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunState
from attnlab.ui import warmup

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def app(private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The app without shipped runs, with torch there, and runs trained in a thread of this process."""
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    warmup.wait()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    shutdown_all()


def open_page(app: AppTest, file: str) -> AppTest:
    """Goes to a page by its file, as ``pages/train.py``."""
    app.run()
    app.switch_page(file).run()
    assert not app.exception, app.exception
    return app


def texts(app: AppTest) -> str:
    """Everything a person can read on the page outside of widgets."""
    kinds = (app.title, app.header, app.subheader, app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


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
