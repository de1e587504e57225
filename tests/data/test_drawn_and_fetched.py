"""Drawn lesions, and the data sets that are fetched: told how far, checked, read from disk, clear without a network."""

import gzip
import hashlib
import io
import pickle
import socket
import struct
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from attnlab.config import DatasetConfig
from attnlab.data import DataError, ImageDataset, list_datasets, load_dataset, options_of_a_new_run
from attnlab.data._drawn import MOST_KEPT
from attnlab.data.torchvision_sets import fetch

DRAWN = {"train_images": 200, "test_images": 100}


def load_lesions(**options):
    return load_dataset(DatasetConfig(name="lesions", options=DRAWN | options))


def test_lesions_say_that_they_are_synthetic() -> None:
    data = load_lesions()
    assert "SYNTHETIC" in data.provenance.note
    assert "synthetic" in list_datasets()["lesions"].title
    assert data.shape == (3, 64, 64)
    assert data.summary()["counts"]["test"] == [70, 30]


def test_lesions_are_darker_than_skin_under_their_masks_and_the_same_for_a_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_lesions()
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path))  # where nothing has been drawn
    again = load_lesions()
    assert torch.equal(data.train.images, again.train.images)
    light = data.train.images.float().mean(1)
    masks = data.train.masks
    assert light[~masks].mean() - light[masks].mean() > 30
    assert masks.flatten(1).any(1).all()
    assert not torch.equal(data.train.images, load_lesions(drawing_seed=1).train.images)


def test_lesion_classes_follow_the_abcd_signs_and_overlap() -> None:
    data = load_lesions(train_images=600)
    area = data.train.masks.flatten(1).float().sum(1)
    edges = (data.train.masks[:, 1:] ^ data.train.masks[:, :-1]).flatten(1).float().sum(1)
    ragged = edges / area.sqrt()
    colours = torch.stack([data.train.images[i].float()[:, m].std(1).sum() for i, m in enumerate(data.train.masks)])
    signs = torch.stack([area, ragged, colours], 1).numpy()
    signs = (signs - signs.mean(0)) / signs.std(0)
    score = LogisticRegression().fit(signs, data.train.labels).decision_function(signs)
    assert 0.75 < roc_auc_score(data.train.labels, score) < 0.99, "the signs tell the classes apart, not perfectly"


def test_lesions_lie_in_the_middle_for_earlier_runs_and_anywhere_for_new_ones() -> None:
    """Earlier runs name no place. Where lesions lie anywhere, no edge cuts them and the centre is rarely on one."""
    assert options_of_a_new_run("lesions") == {"place": "anywhere"}
    assert options_of_a_new_run("a-folder-of-images") == {}
    earlier, middle, anywhere = load_lesions(), load_lesions(place="centre"), load_lesions(place="anywhere")
    assert torch.equal(earlier.train.images, middle.train.images)
    assert earlier.provenance.digest == middle.provenance.digest != anywhere.provenance.digest
    assert earlier.test.masks[:, 32, 32].float().mean() > 0.9
    assert anywhere.test.masks[:, 32, 32].float().mean() < 0.25
    edges = [anywhere.test.masks[:, row] for row in (0, -1)] + [anywhere.test.masks[:, :, column] for column in (0, -1)]
    assert not any(edge.any() for edge in edges) and anywhere.test.masks.flatten(1).any(dim=1).all()


@pytest.mark.parametrize("options", [{"malignant_share": 0.0}, {"train_images": 5}, {"drawing_seed": "x"}, {"place": "left"}])
def test_lesion_options_are_checked(options) -> None:
    with pytest.raises(DataError, match=next(iter(options))):
        load_lesions(**options)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server on the loopback interface, and the folder it serves."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    folder = tmp_path / "served"
    folder.mkdir()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/", folder
    httpd.shutdown()
    thread.join()
    httpd.server_close()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def test_fetch_tells_how_far_it_is_and_keeps_the_file(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    content = bytes(1_000_000)
    (folder / "data.bin").write_bytes(content)
    told: list[float] = []
    file = fetch(
        [url + "gone", url + "data.bin"], tmp_path / "x" / "data.bin", md5(content), "Data", lambda _, f: told.append(f)
    )
    assert file.read_bytes() == content
    assert told == sorted(told)
    assert len(told) > 2
    assert told[-1] == 1.0
    (folder / "data.bin").unlink()
    assert fetch([url + "data.bin"], file, md5(content), "Data", lambda *_: None) == file, "not fetched twice"


def test_a_wrong_file_is_refused_and_not_kept(server: tuple[str, Path], tmp_path: Path) -> None:
    url, folder = server
    (folder / "data.bin").write_bytes(b"something else")
    with pytest.raises(DataError, match="wrong MD5"):
        fetch([url + "data.bin"], tmp_path / "data.bin", md5(b"data"), "Data", lambda *_: None)
    assert list(tmp_path.glob("data*")) == []


def test_without_a_network_the_message_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: connecting is refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/data.bin"
        with pytest.raises(
            DataError, match=r"Data could not be downloaded .*Without a network, put data.bin into .* or give the path"
        ):
            fetch([url], tmp_path / "data.bin", "0" * 32, "Data", lambda *_: None)


def test_cifar10_is_fetched_unpacked_and_read(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    kind = torchvision.datasets.CIFAR10
    rng = np.random.default_rng(0)
    pixels = {f"data_batch_{i}": rng.integers(0, 256, (20, 3072), np.uint8) for i in range(1, 6)}
    pixels["test_batch"] = rng.integers(0, 256, (20, 3072), np.uint8)
    files = {name: pickle.dumps({"data": rows, "labels": [i % 10 for i in range(20)]}) for name, rows in pixels.items()}
    names = list(list_datasets()["cifar10"].class_names)
    files["batches.meta"] = pickle.dumps({"label_names": names})
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    monkeypatch.setattr(kind, "url", url + "cifar.tar.gz")
    monkeypatch.setattr(kind, "tgz_md5", md5((folder / "cifar.tar.gz").read_bytes()))
    monkeypatch.setattr(kind, "train_list", [[f"data_batch_{i}", md5(files[f"data_batch_{i}"])] for i in range(1, 6)])
    monkeypatch.setattr(kind, "test_list", [["test_batch", md5(files["test_batch"])]])
    monkeypatch.setattr(kind, "meta", {"filename": "batches.meta", "key": "label_names", "md5": md5(files["batches.meta"])})

    data = load_dataset(DatasetConfig(name="cifar10"))
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 10, 20)
    assert torch.equal(data.test.images, torch.from_numpy(pixels["test_batch"]).reshape(20, 3, 32, 32))
    assert (data.mean, data.std) == ((0.491, 0.482, 0.447), (0.247, 0.243, 0.262)), "the report's constants"
    larger = load_dataset(DatasetConfig(name="cifar10", image_size=48, test_subset=10))
    assert larger.test.images.shape == (10, 3, 48, 48)
    assert larger.test.images.float().mean() == pytest.approx(127.5, abs=3)


def test_fashion_mnist_is_grey(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    kind = torchvision.datasets.FashionMNIST
    images = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    labels = np.arange(30, dtype=np.uint8) % 10
    resources = []
    for name, _ in kind.resources:
        array = images if "images" in name else labels
        head = struct.pack(">HBB", 0, 8, array.ndim) + b"".join(struct.pack(">I", n) for n in array.shape)
        (folder / name).write_bytes(gzip.compress(head + array.tobytes()))
        resources.append((name, md5((folder / name).read_bytes())))
    monkeypatch.setattr(kind, "mirrors", [url])
    monkeypatch.setattr(kind, "resources", resources)
    data = load_dataset(DatasetConfig(name="fashion_mnist"))
    assert data.shape == (1, 28, 28)
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(images))
    assert load_dataset(DatasetConfig(name="fashion_mnist", image_size=32)).shape == (1, 32, 32)


@pytest.mark.parametrize("name", ["digits", "lesions"])
def test_drawings_are_kept_and_drawn_again_when_the_file_is_damaged(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path / "own"))
    config = DatasetConfig(name=name, image_size=24, options={"train_images": 40, "test_images": 20})
    first = load_dataset(config)
    (file,) = (tmp_path / "own" / "cache" / "drawn").glob("*.npz")
    content, written = file.read_bytes(), file.stat().st_ino
    assert same(load_dataset(config), first) and file.stat().st_ino == written
    for damaged in (content[: len(content) // 2], content[:3000] + bytes([content[3000] ^ 1]) + content[3001:], b""):
        file.write_bytes(damaged)
        assert same(load_dataset(config), first) and file.read_bytes() == content
    file.unlink()
    (tmp_path / "own" / "cache" / "drawn").rmdir()
    (tmp_path / "own" / "cache" / "drawn").write_text("a file in its place")
    assert same(load_dataset(config), first)


def test_only_the_last_used_drawings_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTNLAB_HOME", str(tmp_path / "own"))
    for seed in range(MOST_KEPT + 3):
        options = {"train_images": 20, "test_images": 10, "drawing_seed": seed}
        load_dataset(DatasetConfig(name="digits", image_size=16, options=options))
    assert len(list((tmp_path / "own" / "cache" / "drawn").iterdir())) == MOST_KEPT


def same(one: ImageDataset, other: ImageDataset) -> bool:
    pairs = ((one.train, other.train), (one.validation, other.validation), (one.test, other.test))
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)
