"""CIFAR-10, CIFAR-100 and Fashion-MNIST, fetched once from where torchvision fetches them, and read by torchvision.

CIFAR: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. Fashion-MNIST: Xiao, Rasul, Vollgraf,
arXiv:1708.07747. The normalisation constants of CIFAR-10 are those of the report; those of the others are the
statistics of their training images.

Departs from torchvision's own download in two ways: the caller is told how far it is, and a half-fetched file is never
left under its final name. Files are checked against torchvision's MD5 before they are opened.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from attnlab.data._dataset import DataError, Part, Pool, Progress, Provenance
from attnlab.data._registry import list_datasets, register_dataset
from attnlab.paths import cache_dir

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR100_CLASSES = tuple(_CIFAR100.split())
CIFAR_HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"
CHUNK = 1 << 18
TIMEOUT_SECONDS = 20


@register_dataset(
    "cifar10",
    title="CIFAR-10",
    summary="60,000 small photographs in ten classes, the report's data set.",
    image_size=32,
    class_names=CIFAR10_CLASSES,
    source=CIFAR_HOME,
    licence="none stated; cite Krizhevsky 2009",
    download_bytes=170_498_071,
)
def cifar10(image_size: int, progress: Progress) -> Pool:
    """The original files, of which the JPEG copies that go around are a degraded version."""
    from torchvision.datasets import CIFAR10

    mean, std = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
    return _pool("cifar10", _cifar(CIFAR10, "cifar10", progress), image_size, mean, std)


@register_dataset(
    "cifar100",
    title="CIFAR-100",
    summary="60,000 small photographs in a hundred classes, 500 training images each.",
    image_size=32,
    class_names=CIFAR100_CLASSES,
    source=CIFAR_HOME,
    licence="none stated; cite Krizhevsky 2009",
    download_bytes=169_001_437,
)
def cifar100(image_size: int, progress: Progress) -> Pool:
    """Labels are the hundred fine ones."""
    from torchvision.datasets import CIFAR100

    mean, std = (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)
    return _pool("cifar100", _cifar(CIFAR100, "cifar100", progress), image_size, mean, std)


@register_dataset(
    "fashion_mnist",
    title="Fashion-MNIST",
    summary="70,000 grey pictures of clothes in ten classes.",
    image_size=28,
    channels=1,
    class_names=FASHION_CLASSES,
    source="https://arxiv.org/abs/1708.07747",
    licence="MIT",
    download_bytes=30_878_645,
)
def fashion_mnist(image_size: int, progress: Progress) -> Pool:
    """One channel, 28 x 28."""
    from torchvision.datasets import FashionMNIST

    root = cache_dir() / "downloads" / "fashion_mnist"
    raw = root / "FashionMNIST" / "raw"
    with _locked(raw):
        for i, (name, md5) in enumerate(FashionMNIST.resources):
            target = raw / Path(name).stem
            if not target.exists():
                archive = fetch([mirror + name for mirror in FashionMNIST.mirrors], raw / name, md5, "Fashion-MNIST", progress)
                _replace(target, gzip.decompress(archive.read_bytes()))
            progress("reading Fashion-MNIST", (i + 1) / len(FashionMNIST.resources))
    halves = [FashionMNIST(root, train=train) for train in (True, False)]
    read = [(half.data.numpy()[:, None], half.targets.numpy()) for half in halves]
    return _pool("fashion_mnist", read, image_size, (0.2860,), (0.3530,))


def fetch(urls: list[str], file: Path, md5: str, title: str, progress: Progress) -> Path:
    """The file, fetched from the first of ``urls`` that answers unless it is there already, and checked.

    Raises:
        DataError: when no address gives the right file; says what to do without a network.
    """
    if file.exists() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == md5:
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            _download(url, file.with_suffix(".part"), md5, f"fetching {title}", progress)
        except (OSError, http.client.HTTPException, DataError) as error:
            failures.append(f"{url}: {getattr(error, 'reason', None) or error}")
            continue
        file.with_suffix(".part").replace(file)
        return file
    raise DataError(
        f"{title} could not be fetched ({'; '.join(failures)}). Without a network, put {file.name} into {file.parent}, "
        "or give the path of a folder or archive of images instead"
    )


def _download(url: str, draft: Path, md5: str, what: str, progress: Progress) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer, draft.open("wb") as out:
        total = int(answer.headers.get("Content-Length") or 0)
        done = 0
        while chunk := answer.read(CHUNK):
            out.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            progress(f"{what}, {done / 1e6:.0f} of {total / 1e6:.0f} MB", min(1.0, done / total) if total else 0.0)
    if digest.hexdigest() != md5:
        draft.unlink()
        raise DataError("what came is not the expected file (wrong MD5)")


def _cifar(kind: Any, name: str, progress: Progress) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train and test as (uint8 (n, 3, 32, 32), labels)."""
    root = cache_dir() / "downloads" / name
    with _locked(root):
        if not (root / kind.base_folder).exists():
            archive = fetch([kind.url], root / kind.filename, kind.tgz_md5, name.upper().replace("CIFAR", "CIFAR-"), progress)
            unpacked = root / "unpacking"
            with tarfile.open(archive) as packed:
                packed.extractall(unpacked, filter="data")
            (unpacked / kind.base_folder).replace(root / kind.base_folder)
    try:
        halves = [kind(root, train=train) for train in (True, False)]
    except RuntimeError as error:  # torchvision's check of the unpacked files
        raise DataError(f"{root / kind.base_folder} is damaged; delete it, and it is unpacked again") from error
    progress(f"reading {name}", 1.0)
    return [(half.data.transpose(0, 3, 1, 2), np.array(half.targets)) for half in halves]


def _pool(
    name: str,
    halves: list[tuple[np.ndarray, np.ndarray]],
    image_size: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Pool:
    info = list_datasets()[name]
    images = np.ascontiguousarray(np.concatenate([images for images, _ in halves]))
    labels = np.concatenate([labels for _, labels in halves]).astype(np.int64)
    counts = [len(labels) for _, labels in halves]
    digest = hashlib.sha256(images.data)
    digest.update(labels.data)
    return Pool(
        images=images,
        labels=labels,
        parts=np.repeat(np.array([Part.TRAIN, Part.TEST], np.int8), counts),
        names=[f"{part} {i}" for part, count in zip(("train", "test"), counts, strict=True) for i in range(count)],
        class_names=info.class_names,
        provenance=Provenance(source=info.source, digest=digest.hexdigest(), licence=info.licence),
        mean=mean,
        std=std,
        side=image_size,
    )


def _locked(folder: Path) -> FileLock:
    """One process fetches; the others wait and find the file."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock")


def _replace(file: Path, content: bytes) -> None:
    draft = file.with_suffix(".tmp")
    draft.write_bytes(content)
    draft.replace(file)
