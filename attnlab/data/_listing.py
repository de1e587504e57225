"""The listing of a folder or archive of images: class, split and mask of each image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from posixpath import basename, splitext
from typing import Literal

import numpy as np
from pydantic import Field

from attnlab.config import Section
from attnlab.data._dataset import DataError, Part
from attnlab.data._source import Index
from attnlab.data.decode import SUFFIXES

MASK_ENDINGS = ("_mask", "-mask", "_segmentation", "_seg")
PART_NAMES = {
    "train": Part.TRAIN,
    "training": Part.TRAIN,
    "val": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "validation": Part.VALIDATION,
    "test": Part.TEST,
    "testing": Part.TEST,
}


class PathOptions(Section):
    """Options of a folder or archive, whatever its layout; those of a table count only where there is one."""

    layout: Literal["auto", "folders", "table"] = Field(
        "auto", description="folders: one folder per class; table: images listed in a CSV file; auto: whichever is there"
    )
    grey: bool = Field(False, description="read the images in greyscale, with one channel instead of three")
    normalisation: Literal["measured", "imagenet"] = Field(
        "measured",
        description="measured: by the mean and standard deviation of the training images; imagenet: by those of ImageNet, for "
        "pretrained weights",
    )
    masks: str = Field("masks", description="folder with one mask per image, of the same name; empty: no masks")
    class_names: dict[str, str] = Field(default_factory=dict, description="names to show for the labels, such as 0 = benign")
    balance: int | Literal["equal"] | None = Field(
        None,
        description="most images of one class; the rest is left out at random. 'equal': as many as the smallest class has",
    )
    balance_seed: int = Field(42, ge=0, description="seed of that random choice")
    csv_file: str = Field("", description="file name of the table; empty: the one that has these columns")
    image_column: str = Field("image_id", description="column with the file names, with or without suffix")
    label_column: str = Field("target", description="column with the labels, read as text")
    split_column: str = Field(
        "split", description="column with train, val and test; if empty or missing, a random split is made"
    )
    test_share: float = Field(
        0.2, gt=0, lt=1, description="share of the images set aside for testing if the table does not say"
    )
    test_seed: int = Field(1234, ge=0, description="seed of that random choice")


@dataclass(frozen=True)
class Item:
    """One image: its name in the source, its label, its part, and the name of its mask."""

    image: str
    label: int
    part: Part
    mask: str | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a source, in a fixed order; labels index `class_names`."""

    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    note: str = ""
    extra: dict[str, str] = field(default_factory=dict)


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``9`` before ``10``, and words by letter."""
    pieces = re.findall(r"\d+|\D+", text)
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in pieces]


def is_image(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES


@dataclass(frozen=True)
class Top:
    """Where a layout starts, as name prefixes ("" or "folder/"): its images, and its masks if there are any."""

    images: str
    masks: str | None

    def steps(self, name: str) -> list[str]:
        """The path components of a name below the top; empty for other names."""
        return name[len(self.images) :].split("/") if name.startswith(self.images) else []


def find_top(index: Index, options: PathOptions) -> Top:
    """The top of a layout, below any folders that merely wrap it: archives often put everything into one folder, and
    images often lie in ``images/`` beside ``masks/``.
    """
    prefix, masks = "", None
    tables = [name for name in index.files if name.lower().endswith(".csv")]
    while True:
        if options.masks and f"{prefix}{options.masks}" in index.folders:
            masks = f"{prefix}{options.masks}/"
        top = Top(prefix, masks)
        inner = {steps[0] for name in index.folders if (steps := top.steps(name))} - {options.masks}
        loose = any(len(top.steps(name)) == 1 and (is_image(name) or name in tables) for name in index.files)
        if loose or len(inner) != 1:
            return top
        deeper = f"{prefix}{inner.pop()}/"
        if not any(name.startswith(deeper) for name in (*index.folders, *tables)):
            return top
        prefix = deeper


class MaskFinder:
    """Finds the mask of an image: ``masks/<path of the image>``, ``masks/**/<name>`` if that name is unique, or a file beside
    the image. A mask is named like its image, with any image suffix, optionally with one of `MASK_ENDINGS`.
    """

    def __init__(self, files: Iterable[str], top: Top, options: PathOptions) -> None:
        self._top = top
        self._by_path: dict[str, str] = {}
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._beside: dict[str, str] = {}
        images = [name for name in files if is_image(name)]
        stems = {splitext(name)[0] for name in images}
        for name in images:
            stem = splitext(name)[0]
            bare = _without_ending(stem)
            if top.masks and name.startswith(top.masks):
                inner = bare[len(top.masks) :]
                self._by_path[inner] = name
                self._by_stem[basename(inner)].append(name)
            elif options.masks and bare != stem and bare in stems:
                self._beside[bare] = name
        self._masks = {*self._by_path.values(), *self._beside.values()}

    def is_mask(self, name: str) -> bool:
        return name in self._masks

    def of(self, image: str) -> str | None:
        if not self._masks:
            return None
        stem = splitext(image)[0]
        same_name = self._by_stem.get(basename(stem), [])
        return (
            self._by_path.get("/".join(self._top.steps(stem)))
            or self._beside.get(stem)
            or (same_name[0] if len(same_name) == 1 else None)
        )


def balance(listing: Listing, options: PathOptions) -> Listing:
    """Reduces larger classes of the training part at random, as ``DataFrame.sample(n, random_state)`` does.

    The remaining images stay in the listing as unused, so that the cache of decoded images does not depend on the draw.

    Raises:
        DataError: when fewer than two images per class would be left.
    """
    if options.balance is None:
        return listing
    rows = defaultdict(list)
    for row, item in enumerate(listing.items):
        if item.part is Part.TRAIN:
            rows[item.label].append(row)
    limit = min(len(own) for own in rows.values()) if options.balance == "equal" else options.balance
    if limit < 2:
        raise DataError(f"balance must leave at least two images per class, got {limit}")
    dropped: set[int] = set()
    reduced = []
    for label, own in sorted(rows.items()):
        if len(own) > limit:
            selection = np.random.RandomState(options.balance_seed).choice(len(own), limit, replace=False)
            dropped.update(set(own) - {own[k] for k in selection})
            reduced.append(f"{listing.class_names[label]}: {limit} of {len(own)}")
    if not reduced:
        return listing
    items = tuple(replace(item, part=Part.UNUSED) if row in dropped else item for row, item in enumerate(listing.items))
    extra = listing.extra | {"balance": f"chosen with seed {options.balance_seed}; " + ", ".join(reduced)}
    return replace(listing, items=items, extra=extra)


def name_classes(labels: Sequence[str], options: PathOptions) -> tuple[str, ...]:
    """Names to show for the labels, in label order.

    Raises:
        DataError: when a name belongs to no label, or to two.
    """
    if unknown := set(options.class_names) - set(labels):
        raise DataError(f"class_names names {', '.join(sorted(unknown))}, but the labels are {', '.join(labels)}")
    names = tuple(options.class_names.get(label, label) for label in labels)
    if duplicates := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(f"class_names gives two labels the name {duplicates[0]!r}")
    return names


def _without_ending(stem: str) -> str:
    lower = stem.lower()
    return next((stem[: -len(ending)] for ending in MASK_ENDINGS if lower.endswith(ending)), stem)
