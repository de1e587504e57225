"""From a pool of images to training, validation and test images. Every random choice depends on ``split_seed`` alone.

1. Test: the source's own test images; without any, a stratified fifth is held out.
2. ``subset`` and ``test_subset``: a stratified choice, so that a small subset keeps the proportions of the classes.
3. Validation: the source's own validation images; without any, `hold_out` of the (subset of the) training images.

Rows are chosen by label before any pixel is decoded, so a small subset of a large archive loads fast.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np
from filelock import FileLock

from attnlab.config import DatasetConfig
from attnlab.data._dataset import DataError, ImageDataset, Part, Pool, Progress, Split, hold_out
from attnlab.data.decode import fit_array
from attnlab.files import replacing
from attnlab.paths import cache_dir

Array = TypeVar("Array", bound=np.ndarray)

TEST_SHARE = 0.2
MEMORY_LIMIT = 1 << 30
"""A split of more bytes is mapped from a file instead of held in memory."""


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted positions of ``count`` of ``labels``, proportional to the classes (largest remainder), with at least one of each
    class where ``count`` allows it.
    """
    if count >= len(labels):
        return np.arange(len(labels))
    sizes = np.bincount(labels)
    ideal = sizes * count / len(labels)
    quota = np.floor(ideal).astype(int)
    if count >= np.count_nonzero(sizes):
        quota = np.maximum(quota, sizes > 0)
    while quota.sum() != count:
        gap = ideal - quota
        if quota.sum() < count:
            quota[np.argmax(np.where(quota < sizes, gap, -np.inf))] += 1
        else:
            quota[np.argmin(np.where(quota > 1, gap, np.inf))] -= 1
    rng = np.random.default_rng(seed)
    positions = [rng.permutation(np.flatnonzero(labels == label))[:k] for label, k in enumerate(quota)]
    return np.sort(np.concatenate(positions))


def hold_out_stratified(labels: np.ndarray, share: float, seed: int, class_names: tuple[str, ...]) -> np.ndarray:
    """Sorted positions of a stratified ``share`` of ``labels``, as chosen by scikit-learn's ``train_test_split``.

    Raises:
        DataError: when a class is too small for both parts.
    """
    from sklearn.model_selection import train_test_split

    sizes = np.bincount(labels, minlength=len(class_names))
    if sizes.min() < 2:
        small = ", ".join(f"{name} ({size})" for name, size in zip(class_names, sizes, strict=True) if size < 2)
        raise DataError(f"holding out a test split needs at least two images per class; too few of: {small}")
    size = max(round(len(labels) * share), len(class_names))
    if len(labels) - size < len(class_names):
        raise DataError(f"{len(labels)} images are too few to hold out a test split of {len(class_names)} classes")
    _, test = train_test_split(np.arange(len(labels)), test_size=size, random_state=seed, stratify=labels)
    return np.sort(test)


def split_pool(pool: Pool, config: DatasetConfig, progress: Progress) -> ImageDataset:
    """The data set of a config.

    Raises:
        DataError: when a split or a class has no images.
    """
    import torch

    parts = pool.parts.copy()
    if not (parts == Part.TEST).any():
        open_rows = np.flatnonzero(parts == Part.TRAIN)
        test_rows = hold_out_stratified(pool.labels[open_rows], TEST_SHARE, config.split_seed, pool.class_names)
        parts[open_rows[test_rows]] = Part.TEST
    train, validation, test = (np.flatnonzero(parts == part) for part in (Part.TRAIN, Part.VALIDATION, Part.TEST))
    if config.subset is not None:
        if config.subset < len(pool.class_names):
            raise DataError(f"a subset of {config.subset} is too small for {len(pool.class_names)} classes")
        train = train[stratified(pool.labels[train], config.subset, config.split_seed)]
    if config.test_subset is not None:
        test = test[stratified(pool.labels[test], config.test_subset, config.split_seed)]
    if not len(validation):
        train_at, validation_at = hold_out(torch.from_numpy(pool.labels[train]), config.validation, config.split_seed)
        train, validation = train[train_at.numpy()], train[validation_at.numpy()]

    used = np.concatenate([train, validation, test])
    provenance, extra = pool.provenance, pool.extra
    if pool.prepare is not None:
        prepared = pool.prepare(np.sort(used), progress)
        reasons = tuple(f"{pool.names[row]}: {reason}" for row, reason in prepared.refused.items())
        provenance = replace(provenance, skipped=provenance.skipped + reasons, digest=prepared.digest)
        extra = extra | prepared.extra
        train, validation, test = (rows[~np.isin(rows, list(prepared.refused))] for rows in (train, validation, test))
    for part, rows in (("training", train), ("validation", validation), ("test", test)):
        if not len(rows):
            raise DataError(f"there is no readable {part} image{_first(provenance.skipped)}")
    missing = set(range(len(pool.class_names))) - set(pool.labels[np.concatenate([train, validation])].tolist())
    if missing:
        names = ", ".join(pool.class_names[label] for label in sorted(missing))
        raise DataError(f"no training image of: {names}{_first(provenance.skipped)}")

    mean, std = pool.mean, pool.std
    if mean is None or std is None:
        mean, std = channel_statistics(pool.images, train)
    return ImageDataset(
        name=config.name,
        class_names=pool.class_names,
        mean=mean,
        std=std,
        train=_take(pool, train),
        validation=_take(pool, validation),
        test=_take(pool, test),
        provenance=provenance,
        split_seed=config.split_seed,
        extra=extra,
    )


def channel_statistics(images: np.ndarray, rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of ``images[rows]`` scaled to [0, 1]; exact, from histograms.

    A constant channel gets a standard deviation of one grey level, so that normalising never divides by zero.
    """
    channels = images.shape[1]
    counts = np.zeros((channels, 256), np.int64)
    for chunk in np.array_split(rows, 1 + len(rows) * images[0].size // (32 << 20)):
        pixels = images[chunk]
        for channel in range(channels):  # OpenCV counts in float32, exact up to 2^24; chunks are smaller
            plane = pixels[:, channel].reshape(-1, 1)
            counts[channel] += cv2.calcHist([plane], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    share = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0)).clip(min=1 / 255)
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())


def _take(pool: Pool, rows: np.ndarray) -> Split:
    import torch

    return Split(
        torch.from_numpy(_gather(pool.images, rows, pool)),
        torch.from_numpy(pool.labels[rows]),
        None if pool.masks is None else torch.from_numpy(_gather(pool.masks, rows, pool)),
        tuple(pool.names[row] for row in rows),
    )


def _gather(array: np.ndarray, rows: np.ndarray, pool: Pool) -> np.ndarray:
    """``array[rows]`` at the pool's size, in memory or, above the limit, mapped from a cache file."""
    side = pool.side or array.shape[-1]
    shape = (len(rows), *array.shape[1:-2], side, side)
    if int(np.prod(shape)) <= MEMORY_LIMIT:
        return _copy(array, rows, np.empty(shape, array.dtype))
    name = hashlib.sha256(f"{pool.provenance.digest} {array.dtype} {array.shape} {shape}".encode() + rows.tobytes()).hexdigest()
    file = cache_dir() / "splits" / f"{name[:32]}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.exists():
            with replacing(file, sync=False, locked=True) as draft:
                _copy(array, rows, np.lib.format.open_memmap(draft, "w+", array.dtype, shape)).flush()
    return np.load(file, mmap_mode="c")


def _copy(array: np.ndarray, rows: np.ndarray, out: Array) -> Array:
    size = (out.shape[-2], out.shape[-1])
    for start in range(0, len(rows), 1024):
        part = array[rows[start : start + 1024]]
        if part.shape[-2:] == size:
            out[start : start + 1024] = part
        else:
            for i, image in enumerate(part, start):
                out[i] = fit_array(image.transpose(1, 2, 0), size).reshape(*size, -1).transpose(2, 0, 1)
    return out


def _first(skipped: tuple[str, ...]) -> str:
    """The first skipped image, as the end of a message."""
    return f"; skipped {len(skipped)}, first: {skipped[0]}" if skipped else ""
