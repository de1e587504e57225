"""The melanoma page as a person uses it: choose images, train, see the classifier, the gates and the article's claim."""

import csv
import shutil
import threading
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.data import ImageDataset, load_dataset
from attnlab.experiments.managers import get_manager
from attnlab.models.melanoma import melanoma_config
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord, RunState
from attnlab.ui import background, run_cache
from attnlab.worker.session import run
from tests.pages import open_page, seen, texts
from tests.waiting import wait_until

PAGE = "pages/melanoma.py"


def draw_lesions(folder: Path, count: int = 24) -> Path:
    """Images with a dark (benign) or dark and blue (malignant) spot, masks of it, and a marking.csv as in the article."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    rows = []
    for number in range(count):
        malignant = number % 3 == 0
        rng = np.random.default_rng(number)
        image = np.full((40, 40, 3), 200, np.uint8)
        mask = np.zeros((40, 40), np.uint8)
        centre = tuple(int(side) for side in rng.integers(12, 28, 2))
        cv2.circle(image, centre, 8, (140, 40, 20) if malignant else (60, 60, 60), -1)
        cv2.circle(mask, centre, 8, 255, -1)
        cv2.imwrite(str(folder / "images" / f"ISIC_{number:03d}.jpg"), image)
        cv2.imwrite(str(folder / "masks" / f"ISIC_{number:03d}.png"), mask)
        rows.append((f"ISIC_{number:03d}", int(malignant)))
    with (folder / "marking.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_id", "target"), *rows, ("ISIC_lost", 0), ("../escape", 1)])
    return folder


def train(folder: Path, *, attention: bool = True, seed: int = 0) -> str:
    """A finished run of the article's network on the images in a folder, trained here and now."""
    names = {"0": "benign", "1": "malignant"}
    config = melanoma_config(
        str(folder),
        attention=attention,
        image_size=32,
        width=2,
        epochs=1,
        batch_size=8,
        seed=seed,
        options={"class_names": names},
    )
    outcome = run(RunFolder.create(paths.runs_dir(), config).path)
    assert outcome.state is RunState.FINISHED, outcome.reason
    return config.run_id


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def table(page: AppTest, column: str) -> pd.DataFrame:
    """The table that has this column."""
    return next(frame.value for frame in page.dataframe if column in frame.value)


def test_before_any_run_the_page_says_what_will_be_here_and_that_it_is_no_medical_device(app: AppTest) -> None:
    page = open_page(app, PAGE)
    assert "not a medical device" in texts(page)
    assert "Synthetic" in texts(page)
    assert "When a run has finished" in texts(page)


def test_the_page_does_not_wait_for_images_that_take_long(
    app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(draw_lesions(tmp_path / "images-with-csv"))
    read, load = threading.Event(), load_dataset

    def slowly(*arguments: Any, **options: Any) -> ImageDataset:
        read.wait()
        return load(*arguments, **options)

    monkeypatch.setattr(run_cache, "load_dataset", slowly)
    monkeypatch.setattr(background, "PATIENCE", 0.05)
    page = open_page(app, PAGE)
    assert "How good is the classifier?" in texts(page) and "Where do the gates look?" not in texts(page)
    read.set()
    wait_until(lambda: "Where do the gates look?" in texts(page.run()), "the gates")
    assert not page.exception


def test_a_finished_run_shows_classifier_gates_and_claim(app: AppTest, tmp_path: Path) -> None:
    images = draw_lesions(tmp_path / "images-with-csv")
    gated, plain = train(images), train(images, attention=False)
    train(images, seed=1)
    page = open_page(app, PAGE)
    assert "gates" in page.selectbox("melanoma.run").format_func(page.selectbox("melanoma.run").value), "gates come first"
    page.selectbox("melanoma.run").select(gated).run()
    shown = metrics(page)
    result = next(record for record in get_manager().runs() if record.run_id == gated)
    assert shown["ROC AUC"] == f"{result.test_auc:.3f}"

    page.slider("melanoma.threshold").set_value(0.0).run()
    assert metrics(page)["Sensitivity"] == "100.0%" and metrics(page)["Specificity"] == "0.0%"
    page.slider("melanoma.threshold").set_value(1.0).run()
    assert metrics(page)["Sensitivity"] == "0.0%" and metrics(page)["Specificity"] == "100.0%"

    claims = table(page, "pointing game")
    assert list(claims["gate"]) == ["pool-3", "pool-3", "pool-4", "pool-4"]
    assert list(claims["class"]) == ["benign", "malignant"] * 2
    assert "no masks" not in set(claims["weight on the lesion"])
    assert "In malignant images, the later gate puts above-average weight on the lesion." in seen(page)
    page.toggle("melanoma.siblings").set_value(True).run()
    assert list(table(page, "claim").columns) == ["claim", "seed 1"]
    epochs = table(page, "train loss")
    assert epochs["validation AUC"].notna().all() and list(epochs["best"]) == ["tested"]
    assert any("ISIC_lost" in block.value and "../escape" in block.value for block in page.code), "what is left out is listed"

    page.selectbox("melanoma.run").select(plain).run()
    assert not page.exception
    assert "This network has no gates" in texts(page)


def test_a_link_opens_its_run(app: AppTest, tmp_path: Path) -> None:
    images = draw_lesions(tmp_path / "images-with-csv")
    plain, _ = train(images, attention=False), train(images)
    app.query_params["run"] = plain
    page = open_page(app, PAGE)
    assert page.selectbox("melanoma.run").value == plain
    assert page.query_params["run"] == plain


def test_own_images_are_looked_at_before_they_are_trained_on(app: AppTest, tmp_path: Path) -> None:
    images = draw_lesions(tmp_path / "copy", count=60)
    page = open_page(app, PAGE)
    page.segmented_control("melanoma.source").set_value("my own images").run()
    assert page.button("melanoma.start").disabled
    page.text_input("melanoma.path").input(str(tmp_path / "nowhere")).run()
    assert "there is no file or folder" in texts(page) and page.button("melanoma.start").disabled

    archive = Path(shutil.make_archive(str(tmp_path / "marked"), "zip", images))
    page.file_uploader("melanoma.upload").set_value(("marked.zip", archive.read_bytes(), "application/zip")).run()
    assert Path(page.text_input("melanoma.path").value).parent == paths.uploads_dir()
    assert page.selectbox("melanoma.label_column.marking.csv").value == "target"
    assert "60 pictures · 2 classes (0: 40, 1: 20)" in seen(page)
    assert "43 for training, 5 for validation, 12 for testing" in texts(page), "the article's 80/20"
    assert "60 lesion masks" in texts(page)
    assert page.text_input("melanoma.class.1").value == "malignant"
    assert any("no such image (ISIC_lost (line 62))" in block.value for block in page.code)

    page.selectbox("melanoma.label_column.marking.csv").select("image_id").run()
    assert page.button("melanoma.start").disabled
    page.selectbox("melanoma.label_column.marking.csv").select("target").run()
    page.segmented_control("melanoma.balance").set_value("same number per class").run()
    assert "(0: 20, 1: 20)" in seen(page)

    page.number_input("melanoma.size").set_value(32).run()
    page.number_input("melanoma.width").set_value(2).run()
    page.number_input("melanoma.epochs").set_value(1).run()
    page.button("melanoma.start").click().run()
    assert not page.exception, page.exception
    runs = finished(2)
    assert [record.state for record in runs] == [RunState.FINISHED] * 2, [record.reason for record in runs]
    assert {record.config.model.options["depths"] for record in runs} == {0, 2}
    assert runs[0].config.dataset.options["balance"] == "equal"
    page.run()
    assert "How good is the classifier?" in texts(page)


def finished(count: int) -> list[RunRecord]:
    """The runs, once none is live any more."""

    def own() -> list[RunRecord]:
        return [record for record in get_manager().runs() if not record.demo]

    wait_until(lambda: len(own()) == count and not any(record.state.live for record in own()), f"{count} runs at their end")
    return own()


def test_a_run_on_images_that_are_gone_is_explained(app: AppTest, tmp_path: Path) -> None:
    images = draw_lesions(tmp_path / "copy")
    train(images)
    images.rename(tmp_path / "moved")
    page = open_page(app, PAGE)
    assert "is neither a data set nor a path" in texts(page)
