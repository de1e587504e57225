"""From a pool of images to training, validation and test images. Every random choice depends on ``split_seed`` alone.

1. Test: the source's own test images; without any, a stratified fifth is held out, with every class on both sides.
2. ``subset`` and ``test_subset``: a stratified choice, so that a small subset keeps the proportions of the classes.
3. Validation: the source's own validation images; without any, `hold_out` of the (subset of the) training images; of
   people's own images, every class keeps one to train on.

Rows are chosen by label before any pixel is decoded, so a small subset of a large archive loads fast.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
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
MOST_LISTED = 1000
ALIKE = "The pictures do not differ: all of them have the same pixels."
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
    """Sorted positions of a stratified ``share`` of ``labels``, as chosen by scikit-learn's ``train_test_split``; then every
    class with at least two images gets one on either side. A class with a single image stays outside of the share.

    Raises:
        DataError: when the images are too few for two parts.
    """
    from sklearn.model_selection import train_test_split

    sizes = np.bincount(labels, minlength=len(class_names))
    able = np.flatnonzero(sizes[labels] > 1)
    classes = int((sizes > 1).sum())
    size = max(round(len(able) * share), classes)
    if not classes or len(able) - size < classes:
        raise DataError(f"{len(labels)} images are too few to hold out a test split of {len(class_names)} classes")
    _, test = train_test_split(able, test_size=size, random_state=seed, stratify=labels[able])
    return np.sort(_on_both_sides(labels, test, seed))


def _on_both_sides(labels: np.ndarray, held: np.ndarray, seed: int, *, outside_only: bool = False) -> np.ndarray:
    """``held`` (positions in ``labels``), changed as little as possible so that every class of at least two images is in it
    and outside of it, and one of a single image outside; its size stays the same where the larger classes allow it.

    Args:
        outside_only: a class need not be in it.
    """
    rng = np.random.default_rng(seed)
    inside = np.zeros(len(labels), bool)
    inside[held] = True
    sizes = np.bincount(labels)
    inside[sizes[labels] == 1] = False
    for wanted in (False,) if outside_only else (True, False):  # first into the held part, then out of it
        for label in np.flatnonzero(sizes > 1):
            own = labels == label
            if (inside[own] == wanted).any():
                continue
            inside[rng.choice(np.flatnonzero(own))] = wanted
            swapped = np.bincount(labels[inside == wanted], minlength=len(sizes))
            largest = int(swapped.argmax())
            if swapped[largest] > 1:
                inside[rng.choice(np.flatnonzero((labels == largest) & (inside == wanted)))] = not wanted
    return np.flatnonzero(inside)


@dataclass(frozen=True)
class Rows:
    """Which rows of a pool are in which part.

    Attributes:
        parts: train, validation and test -> sorted rows.
        drawn: how the parts were made that do not come from the source.
    """

    parts: dict[str, np.ndarray]
    drawn: dict[str, str]


def choose_rows(
    labels: np.ndarray, parts: np.ndarray, class_names: tuple[str, ...], config: DatasetConfig, *, every_class: bool
) -> Rows:
    """The rows for training, validation and testing, by the three rules above.

    Args:
        labels: int64 (n,). parts: int8 (n,) of `Part`, as the source says.
        every_class: the validation images are changed, if need be, so that every class has an image left to train on; not
            for registered data sets, whose draws are those of published results.

    Raises:
        DataError: when the images are too few, or a subset is smaller than the number of classes.
    """
    import torch

    parts = parts.copy()
    drawn: dict[str, str] = {}
    if not (parts == Part.TEST).any():
        open_rows = np.flatnonzero(parts == Part.TRAIN)
        test_rows = hold_out_stratified(labels[open_rows], TEST_SHARE, config.split_seed, class_names)
        parts[open_rows[test_rows]] = Part.TEST
        drawn["test"] = f"drawn: {TEST_SHARE:.0%} of each class (seed {config.split_seed})"
    train, validation, test = (np.flatnonzero(parts == part) for part in (Part.TRAIN, Part.VALIDATION, Part.TEST))
    if config.subset is not None:
        if config.subset < len(class_names):
            raise DataError(f"a subset of {config.subset} is too small for {len(class_names)} classes")
        train = train[stratified(labels[train], config.subset, config.split_seed)]
    if config.test_subset is not None:
        test = test[stratified(labels[test], config.test_subset, config.split_seed)]
    if not len(validation):
        _, held = hold_out(torch.from_numpy(labels[train]), config.validation, config.split_seed)
        at = held.numpy()
        if every_class and len(chosen := _on_both_sides(labels[train], at, config.split_seed, outside_only=True)):
            at = chosen  # empty with one training image per class: then validation takes one of them
        validation, train = train[at], np.delete(train, at)
        drawn["validation"] = f"drawn: {config.validation:.0%} of those for training (seed {config.split_seed})"
    return Rows({"train": train, "validation": validation, "test": test}, drawn)


def split_pool(pool: Pool, config: DatasetConfig, progress: Progress) -> ImageDataset:
    """The data set of a config.

    Raises:
        DataError: when a split or a class has no images.
    """
    rows = choose_rows(pool.labels, pool.parts, pool.class_names, config, every_class=pool.describe is not None)
    parts = rows.parts
    provenance, extra = pool.provenance, pool.extra
    undecodable: list[tuple[str, str]] = []
    if pool.prepare is not None:
        prepared = pool.prepare(np.sort(np.concatenate(list(parts.values()))), progress)
        undecodable = [(pool.names[row], reason) for row, reason in prepared.refused.items()]
        told = (*(f"{name}: {reason}" for name, reason in undecodable), *provenance.skipped)
        provenance = replace(provenance, skipped=_shorten(told), digest=prepared.digest)
        extra = extra | prepared.extra
        parts = {name: own[~np.isin(own, list(prepared.refused))] for name, own in parts.items()}
    for part, own in parts.items():
        if not len(own):
            name = "training" if part == "train" else part
            raise DataError(f"there is no readable {name} image{_first(provenance.skipped)}")
    missing = set(range(len(pool.class_names))) - set(pool.labels[parts["train"]].tolist())
    if missing - set(pool.labels[parts["validation"]].tolist()):
        names = ", ".join(pool.class_names[label] for label in sorted(missing))
        raise DataError(f"no training image of: {names}{_first(provenance.skipped)}")

    reading = None
    if pool.describe is not None:
        warnings = [ALIKE] if _all_alike(pool.images, np.concatenate(list(parts.values()))) else []
        labels = {name: pool.labels[own] for name, own in parts.items()}
        reading = pool.describe(labels, rows.drawn, warnings, undecodable)
    mean, std = pool.mean, pool.std
    if mean is None or std is None:
        mean, std = channel_statistics(pool.images, parts["train"])
    return ImageDataset(
        name=config.name,
        class_names=pool.class_names,
        mean=mean,
        std=std,
        train=_take(pool, parts["train"]),
        validation=_take(pool, parts["validation"]),
        test=_take(pool, parts["test"]),
        provenance=provenance,
        split_seed=config.split_seed,
        extra=extra,
        reading=reading,
    )


def _all_alike(images: np.ndarray, rows: np.ndarray) -> bool:
    """Whether all pictures have the same pixels; mostly decided by the first two."""
    return len(rows) > 1 and all(np.array_equal(images[rows[0]], images[row]) for row in rows[1:])


def _shorten(skipped: tuple[str, ...]) -> tuple[str, ...]:
    more = len(skipped) - MOST_LISTED
    return skipped if more <= 0 else (*skipped[:MOST_LISTED], f"... and {more:,} more")


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
