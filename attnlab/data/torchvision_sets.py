"""CIFAR-10, CIFAR-100 and Fashion-MNIST, downloaded once from torchvision's addresses and read by torchvision.

CIFAR: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009. Fashion-MNIST: Xiao, Rasul, Vollgraf,
arXiv:1708.07747. The normalisation constants of CIFAR-10 are those of the report; those of the others are the
statistics of their training images.

The original CIFAR files are read, not the JPEG copies in circulation, and CIFAR-100's labels are its hundred fine ones.
Departs from torchvision's own download in two ways: it reports its progress, and a partial file never stands under its
final name. Files are checked against torchvision's MD5 before they are opened.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
from filelock import FileLock

from attnlab.data._dataset import DataError, Part, Pool, Progress, Provenance
from attnlab.data._registry import register_dataset
from attnlab.files import is_full, replacing, why_not_written
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


Halves = list[tuple[np.ndarray, np.ndarray]]
"""Training and test images as (uint8 (n, C, H, W), labels (n,))."""


def fetch(urls: list[str], file: Path, md5: str, title: str, progress: Progress) -> Path:
    """The file, downloaded from the first of ``urls`` that works unless it exists already, and checked.

    Raises:
        DataError: when no address provides the file; the message says what to do without a network.
    """
    if file.exists() and hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() == md5:
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in urls:
        try:
            _download(url, file.with_suffix(".part"), md5, f"downloading {title}", progress)
        except (OSError, http.client.HTTPException, DataError) as error:
            if is_full(error, file.parent):
                file.with_suffix(".part").unlink(missing_ok=True)
                full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                raise DataError(f"{title} cannot be stored: {why_not_written(full, file.parent)}") from error
            reason = getattr(error, "reason", None) or error
            failures.append(f"{url}: {getattr(reason, 'strerror', None) or reason}")
            continue
        file.with_suffix(".part").replace(file)
        return file
    raise DataError(
        f"{title} could not be downloaded ({'; '.join(failures)}). Without a network, put {file.name} into {file.parent}, "
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
        raise DataError("the downloaded file is not the expected one (wrong MD5)")


def _cifar(name: str, title: str, progress: Progress) -> Halves:
    import torchvision

    kind = getattr(torchvision.datasets, name.upper())
    root = cache_dir() / "downloads" / name
    with _locked(root):
        if not (root / kind.base_folder).exists():
            archive = fetch([kind.url], root / kind.filename, kind.tgz_md5, title, progress)
            unpacked = root / "unpacking"
            with tarfile.open(archive) as packed:
                packed.extractall(unpacked, filter="data")
            (unpacked / kind.base_folder).replace(root / kind.base_folder)
    try:
        halves = [kind(root, train=train) for train in (True, False)]
    except RuntimeError as error:  # torchvision's check of the unpacked files
        raise DataError(f"{root / kind.base_folder} is damaged; delete it, and it will be unpacked again") from error
    progress(f"reading {title}", 1.0)
    return [(half.data.transpose(0, 3, 1, 2), np.array(half.targets)) for half in halves]


def _fashion_mnist(name: str, title: str, progress: Progress) -> Halves:
    from torchvision.datasets import FashionMNIST

    root = cache_dir() / "downloads" / name
    raw = root / "FashionMNIST" / "raw"
    with _locked(raw):
        for i, (file, md5) in enumerate(FashionMNIST.resources):
            target = raw / Path(file).stem
            if not target.exists():
                archive = fetch([mirror + file for mirror in FashionMNIST.mirrors], raw / file, md5, title, progress)
                with replacing(target, sync=False, locked=True) as draft:
                    draft.write_bytes(gzip.decompress(archive.read_bytes()))
            progress(f"reading {title}", (i + 1) / len(FashionMNIST.resources))
    halves = [FashionMNIST(root, train=train) for train in (True, False)]
    return [(half.data.numpy()[:, None], half.targets.numpy()) for half in halves]


def _register(
    name: str,
    title: str,
    summary: str,
    class_names: tuple[str, ...],
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    download_bytes: int,
    image_size: int = 32,
    source: str = CIFAR_HOME,
    licence: str = "none stated; cite Krizhevsky 2009",
    load: Callable[[str, str, Progress], Halves] = _cifar,
) -> None:
    """Registers one of these data sets; the defaults are those of the two CIFAR sets."""

    @register_dataset(
        name,
        title=title,
        summary=summary,
        image_size=image_size,
        channels=len(mean),
        class_names=class_names,
        source=source,
        licence=licence,
        download_bytes=download_bytes,
    )
    def build(image_size: int, progress: Progress) -> Pool:
        halves = load(name, title, progress)
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
            class_names=class_names,
            provenance=Provenance(source=source, digest=digest.hexdigest(), licence=licence),
            mean=mean,
            std=std,
            side=image_size,
        )


def _locked(folder: Path) -> FileLock:
    """A lock under which one process downloads, while others wait and then use the file."""
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / "lock")


_register(
    "cifar10",
    "CIFAR-10",
    "60,000 small photographs in ten classes, the report's data set.",
    CIFAR10_CLASSES,
    mean=(0.491, 0.482, 0.447),
    std=(0.247, 0.243, 0.262),
    download_bytes=170_498_071,
)
_register(
    "cifar100",
    "CIFAR-100",
    "60,000 small photographs in a hundred classes, 500 training images per class.",
    CIFAR100_CLASSES,
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    download_bytes=169_001_437,
)
_register(
    "fashion_mnist",
    "Fashion-MNIST",
    "70,000 grey images of clothes in ten classes.",
    FASHION_CLASSES,
    mean=(0.2860,),
    std=(0.3530,),
    download_bytes=30_878_645,
    image_size=28,
    source="https://arxiv.org/abs/1708.07747",
    licence="MIT",
    load=_fashion_mnist,
)
