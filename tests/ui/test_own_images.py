"""A run on one's own images in Inspect: what was left out, images that have changed, and names that look like Markdown."""

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attnlab.cli.app import main
from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
from attnlab.ui.run_cache import source_stamp
from tests.example_runs import trained_run
from tests.pages import INSPECT, open_page, texts

NAMES = ("_under_", "M\udce4rz")
"""Of classes: one that Markdown would change, one whose bytes are not UTF-8."""


def draw(file: Path, level: int) -> None:
    picture = np.full((24, 24, 3), level, np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(".png", picture)[1].tobytes())


@pytest.fixture
def pictures(app: AppTest, tmp_path: Path, private_home: Path) -> Path:
    """A folder of images on which a run was trained."""
    folder = tmp_path / "pictures"
    for label, name in enumerate(NAMES):
        for i in range(12):
            draw(folder / name / f"{i}.png", 100 * label + 5 * i)
    for i in range(5):
        (folder / NAMES[0] / f"IMG_{i}.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    config = RunConfig().changed(
        dataset__name=str(folder),
        dataset__image_size=16,
        training__epochs=1,
        training__batch_size=8,
        model__width=2,
        model__attention="eca",
    )
    run = trained_run(config, tmp_path / "trained").path
    shutil.copytree(run, private_home / "runs" / run.name)
    get_manager().store.sync()
    app.query_params["run"] = run.name
    source_stamp.clear()
    return folder


def test_what_was_left_out_stands_beside_the_run(app: AppTest, pictures: Path) -> None:
    open_page(app, INSPECT)
    (told,) = [block.value for block in app.code if "HEIC" in block.value]
    first, second, third = (f"{NAMES[0]}/IMG_{i}.jpg" for i in range(3))
    assert told == f"5 files: HEIC under the name of another format ({first}, {second}, {third} and 2 more)"
    assert app.selectbox("class").options == ["every class", "M\ufffdrz", "_under_"]
    assert "have changed" not in texts(app)


def test_images_that_have_changed_since_are_told(app: AppTest, pictures: Path) -> None:
    for i in range(20):
        draw(pictures / NAMES[0] / f"new{i}.png", 3 * i)
    source_stamp.clear()
    open_page(app, INSPECT)
    assert "The pictures have changed since this run was trained" in texts(app)


def test_a_folder_whose_name_is_not_utf8_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / os.fsdecode(b"M\xe4rz")
    for name in "ab":
        for i in range(6):
            draw(folder / name / f"{i}.png", 20 * i)
    assert main(["train", "--dataset", str(folder)]) == 2
    assert "dataset.name: " in capsys.readouterr().err
