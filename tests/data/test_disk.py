"""A full disk where uploads are kept, images are decoded or results exported: said in words, nothing half-written is left."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnlab import paths
from attnlab.cli.app import main
from attnlab.config import DatasetConfig, RunConfig
from attnlab.data import DataError, keep_upload, load_dataset, uploads
from attnlab.experiments.grid import GridRow, make_grid, save_grid
from attnlab.experiments.tensorboard import available
from attnlab.runs.folder import RunFolder
from tests.example_runs import finished_run
from tests.small_disk import fill, small_disk

WORDS = "the disk is full; free some space"


@pytest.fixture
def disk(tmp_path: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of two megabytes, which is the home."""
    with small_disk(private_home, 2):
        yield private_home


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 160 pictures of two classes."""
    noise = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("pictures") / "pictures.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(160):
            file = io.BytesIO()
            Image.fromarray(noise.integers(0, 255, (8, 8, 3), np.uint8)).save(file, "PNG")
            archive.writestr(f"{'ab'[number % 2]}/{number}.png", file.getvalue())
    return path


def files(folder: Path) -> dict[str, int]:
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("filler", "lock")]
    return {str(path.relative_to(folder)): path.stat().st_size for path in found}


@pytest.mark.parametrize("browser", ["", "a browser"])
@pytest.mark.parametrize("free", [0, 10_000, None], ids=["full", "too little", "no room for the owner"])
def test_an_upload_is_kept_whole_or_refused_in_words(
    browser: str, free: int | None, disk: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LEAST_FREE_BYTES", 0)
    kept = keep_upload("first.zip", io.BytesIO(pictures.read_bytes()), browser)
    other = io.BytesIO(pictures.read_bytes())
    with zipfile.ZipFile(other, "a") as archive:
        archive.writestr("a/another.txt", "so it is another archive")
    other.seek(0)
    before = files(disk)
    size = len(other.getvalue())
    pages = -(-size // 4096) * 4096
    filler = fill(disk, leave=pages if free is None else free)
    if free is None and not browser:
        keep_upload("second.zip", other)
        return
    with pytest.raises(DataError, match=f"second.zip cannot be stored: {WORDS}"):
        keep_upload("second.zip", other, browser)
    assert files(disk) == before and kept.is_file()
    filler.unlink()
    other.seek(0)
    assert keep_upload("second.zip", other, browser).is_file()


@pytest.mark.parametrize("when", ["before", "while they are decoded"])
def test_images_that_find_no_room_are_refused_in_words_and_read_when_there_is_room(
    when: str, disk: Path, pictures: Path
) -> None:
    """A write into a mapped file that finds no room on the disk would end the process, whatever it is doing."""
    config = DatasetConfig(name=str(pictures), image_size=32)
    filler = [fill(disk)] if when == "before" else []

    def progress(what: str, done: float) -> None:
        if what.startswith("decoding") and not filler:
            filler.append(fill(disk))

    with pytest.raises(DataError, match=r"decoded images (cannot be kept: the disk is full|need)"):
        load_dataset(config, progress=progress)
    assert not list(disk.rglob("*.tmp"))
    filler[0].unlink()
    assert len(load_dataset(config).train) > 100


EXPORTS = {
    "a comparison": ["compare", "--dataset", "digits", "--to", "{to}/table"],
    "a table": ["grid", "export", "{grid}", "--to", "{to}/table"],
    "a whole grid": ["grid", "export", "{grid}", "--format", "json", "--to", "{to}/table"],
    "TensorBoard files": ["tensorboard", "{run}", "--to", "{to}"],
}


@pytest.fixture
def results(private_home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    runs = [finished_run(private_home, RunConfig(seed=seed), 0.5) for seed in range(2)]
    grid = make_grid([GridRow("none", RunConfig())], [0, 1], title="two seeds")
    save_grid(private_home, grid)
    return {"grid": grid.grid_id, "run": runs[0].run_id}


@pytest.mark.parametrize("what", EXPORTS)
def test_an_export_is_written_whole_or_not_at_all(
    what: str, results: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if what == "TensorBoard files" and not available():
        pytest.skip("the package tensorboard is not installed")
    with small_disk(tmp_path / "elsewhere", 2) as disk:
        command = [part.format(to=disk, **results) for part in EXPORTS[what]]
        assert main(command) == 0
        before = files(disk)
        filler = fill(disk)
        capsys.readouterr()
        assert main(command) == 2
        told = capsys.readouterr().err
        assert f"error: {WORDS}" in told and "Traceback" not in told and "Errno" not in told
        assert files(disk) == before, "what was exported before is still there, and nothing else"
        filler.unlink()
        assert main(command) == 0
        assert len(files(disk)) == len(before)
    assert RunFolder(paths.runs_dir() / results["run"]).metrics()
