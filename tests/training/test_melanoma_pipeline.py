"""The article's pipeline from a CSV with images to an AUC: as documented, on the command line and in code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from attnlab.cli.app import main
from attnlab.config import DatasetConfig, RunConfig
from attnlab.data import DataError, list_path, load_dataset, tables_at
from attnlab.explain import open_run
from attnlab.explain.concentration import article_claims, concentration
from attnlab.models.melanoma import melanoma_config
from attnlab.paths import ROOT, cache_dir
from attnlab.stats.intervals import auc_interval
from attnlab.stats.ranks import roc_auc
from attnlab.viz.melanoma_figure import contact_sheet, gate_overlays

ARTICLE_NAMES = {"0": "benign", "1": "malignant"}


def test_the_defaults_are_the_articles() -> None:
    config = melanoma_config("melanoma.zip")
    assert (config.dataset.image_size, config.model.width, config.dataset.split_seed) == (224, 64, 1234)
    training = config.training
    assert (training.optimizer, training.lr, training.epochs, training.batch_size) == ("adam", 1e-4, 2, 100)
    assert (training.loss, training.focal_alpha, training.focal_gamma) == ("focal", 0.25, 2.0)
    assert training.augment == "rotate_flip" and config.model.options["output"] == "single"
    twin = melanoma_config("melanoma.zip", attention=False)
    assert twin.model.options["depths"] == 0 and twin.changed(model__options=config.model.options) == config


def write_csv_set(folder: Path, sides: list[int]) -> Path:
    """One noise image for each side, labels in turn, none of them small."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, side in enumerate(sides):
        image = cv2.resize(rng.integers(0, 256, (16, 16, 3), np.uint8), (side + side // 3, side))
        cv2.imwrite(str(folder / "images" / f"{number}.jpg"), image)
    lines = [f"{number},{number % 2}" for number in range(len(sides))]
    (folder / "marking.csv").write_text("\n".join(["image_id,target", *lines]))
    return folder


@pytest.mark.slow
def test_large_images_are_kept_only_resized_and_only_where_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """300 MB of pixels as 12 x 3 x 32 x 32 bytes in a file of the cache; a second look decodes nothing."""
    folder = write_csv_set(tmp_path / "large", [2500] * 12)
    config = DatasetConfig(name=str(folder), image_size=32, validation=0.3)
    data = load_dataset(config)
    assert data.shape == (3, 32, 32) and data.train.images.dtype.is_signed is False
    kept = sum(file.stat().st_blocks * 512 for file in cache_dir().rglob("*") if file.is_file())
    assert kept < 200_000
    monkeypatch.setattr("attnlab.data._decoded.decode_image", lambda *_, **__: pytest.fail("decoded a second time"))
    again = load_dataset(config)
    assert (again.train.images == data.train.images).all()


def test_the_table_is_looked_at_without_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_csv_set(tmp_path / "set", [40] * 20)
    monkeypatch.setattr("attnlab.data._decoded.decode_image", lambda *_, **__: pytest.fail("decoded"))
    assert tables_at(folder)["marking.csv"].columns == ("image_id", "target")
    listing = list_path(folder, {"class_names": ARTICLE_NAMES})
    assert listing.class_names == ("benign", "malignant")
    assert sum(item.part.name == "TEST" for item in listing.items) == 4
    with pytest.raises(DataError, match="has no column 'diagnosis'; its columns: image_id, target"):
        list_path(folder, {"label_column": "diagnosis"})


def test_pictures_of_the_articles_figure() -> None:
    images = [np.full((4, 4, 3), 100, np.uint8)] * 3
    maps = np.stack([np.zeros((2, 2)), np.full((2, 2), 0.5), np.full((2, 2), 2.0)])
    low, middle, high = gate_overlays(images, maps, bounds=(0.0, 0.5), colours="viridis")
    assert (middle == high).all(), "what lies beyond the bounds is clipped"
    dark, bright = np.array((68, 1, 84)), np.array((253, 231, 37))  # the two ends of viridis
    assert np.abs(low[0, 0] - (0.6 * 100 + 0.4 * dark)).max() <= 1
    assert np.abs(high[0, 0] - (0.6 * 100 + 0.4 * bright)).max() <= 1
    sheet = contact_sheet(images, columns=2, gap=1)
    assert sheet.shape == (2 * (160 + 2), 2 * (160 + 2), 3)
    assert (sheet[-10, -10] == 255).all() and (sheet[10, 10] == 100).all(), "the place without a picture is white"


@pytest.mark.slow
@pytest.mark.data
def test_the_documented_command_prints_the_auc(shared_data: Path, private_home: Path) -> None:
    """As a person types it, a quarter of the images for the test's sake."""
    archive = str((shared_data / "dermoscopy.zip").resolve())
    command = ["train", "--dataset", archive, "--backbone", "attention_vgg16", "--width", "8", "--image-size", "64"]
    command += ["--loss", "focal", "--epochs", "1", "--subset", "300", "--json"]
    environment = os.environ | {"ATTNLAB_HOME": str(private_home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "attnlab", *command], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert 0 <= told["metrics"]["test_auc"] <= 1
    end = json.loads((Path(told["folder"]) / "end.json").read_text())["result"]
    labels, scores = np.array(end["extra"]["labels"]), np.array(end["extra"]["probabilities"], np.float32)
    assert (len(labels), labels.sum()) == (150, 30), "the split column's validation images are the test"
    assert roc_auc(labels, scores) == pytest.approx(told["metrics"]["test_auc"], abs=1e-3)
    low, high = auc_interval(labels, scores) or (1, 0)
    assert low < told["metrics"]["test_auc"] < high


@pytest.mark.slow
@pytest.mark.data
def test_own_split_of_the_dermoscopy_images_and_the_claim_on_their_masks(shared_data: Path, private_home: Path, capsys) -> None:
    """80/20 with random state 1234 where the split column is left out; every image has a lesion mask."""
    archive = str((shared_data / "dermoscopy.zip").resolve())
    listing = list_path(Path(archive), {"split_column": "", "class_names": ARTICLE_NAMES})
    test = [item for item in listing.items if item.part.name == "TEST"]
    assert (len(listing.items), len(test), sum(item.label for item in test)) == (1500, 300, 81)
    assert all(item.mask for item in listing.items) and not listing.skipped

    config = melanoma_config(
        archive, image_size=32, width=2, epochs=1, options={"split_column": "", "class_names": ARTICLE_NAMES}
    ).changed(dataset__subset=100, dataset__test_subset=40, training__batch_size=20)
    file = private_home / "config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(config.to_json())
    assert main(["train", "--config", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert RunConfig.model_validate(told["config"]) == config
    measured = concentration(open_run(Path(told["folder"])), load_dataset(config.dataset).test)
    rows = measured.table(("benign", "malignant"))
    assert [row["images"] for row in rows] == [29, 11, 29, 11]
    for row in rows:
        assert 0 < row["entropy"].low <= row["entropy"].value <= row["entropy"].high <= 1
        assert row["on_mask"].low < row["on_mask"].value < row["on_mask"].high
    assert len(article_claims(measured, positive=1)) == 4


def test_the_published_training_never_leaves_training_mode_and_turns_by_the_nearest_pixel() -> None:
    ours, published = (melanoma_config("lesions", as_published=way) for way in (False, True))
    assert (ours.protocol.evaluation_mode, ours.training.augment) == ("evaluation", "rotate_flip")
    assert (published.protocol.evaluation_mode, published.training.augment) == ("training", "rotate_nearest_flip")
    same = published.changed(protocol__evaluation_mode="evaluation", training__augment="rotate_flip")
    assert same == ours
