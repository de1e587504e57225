"""The demo runs: what is shipped names no folder of this machine, and a training that is kept is not repeated."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from attnlab.experiments.demo import DEMO_RUNS, DERMOSCOPY, PHOTOGRAPHS, demo_config, make_demo, ship, trained
from attnlab.runs.folder import RunFolder, run_folders
from tests.example_runs import TWO_EPOCHS


def silent(*_: object) -> None:
    """Nobody watches these trainings."""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for label, level in (("dark", 40), ("light", 200)):
        folder = tmp_path / "somebody" / "my pictures" / label
        folder.mkdir(parents=True)
        for number in range(20):
            cv2.imwrite(str(folder / f"{number}.png"), rng.integers(level, level + 40, (16, 16, 3), dtype=np.uint8))
    return tmp_path / "somebody" / "my pictures"


def test_what_is_shipped_of_own_pictures_names_no_folder_of_this_machine(pictures: Path, tmp_path: Path) -> None:
    config = TWO_EPOCHS.changed(
        dataset__name=str(pictures), dataset__options={}, dataset__subset=None, dataset__test_subset=None, training__epochs=1
    )
    folder = trained(config, tmp_path / "runs")
    target = tmp_path / "shipped"
    target.mkdir()
    ship(folder, target)
    (shipped,) = run_folders(target)
    assert shipped.config == config.changed(dataset__name="my pictures")
    assert shipped.path.name == shipped.config.run_id
    assert shipped.has_weights and shipped.probes() is not None
    for path in shipped.path.rglob("*"):
        assert path.is_dir() or b"somebody" not in path.read_bytes(), path


def test_a_kept_training_is_used_again_and_one_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    folder = trained(TWO_EPOCHS, tmp_path)
    stamp = folder.weights_stamp
    assert trained(TWO_EPOCHS, tmp_path).weights_stamp == stamp
    begun = RunFolder.create(tmp_path, TWO_EPOCHS.changed(seed=1))
    assert trained(begun.config, tmp_path).path == begun.path
    assert begun.end() is not None


def test_a_run_on_real_pictures_without_their_path_is_refused_by_name(tmp_path: Path) -> None:
    for name in (PHOTOGRAPHS, DERMOSCOPY):
        with pytest.raises(ValueError, match=name):
            next(make_demo([name], tmp_path, silent))


def test_every_demo_run_has_settings_of_its_own() -> None:
    ids = {name: demo_config(name, f"/elsewhere/{name}.zip").run_id for name in DEMO_RUNS}
    assert len(set(ids.values())) == len(DEMO_RUNS)
