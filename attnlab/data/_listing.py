"""The listing of a folder or archive of images: class, part and mask of each image, and how they were found."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from posixpath import splitext
from typing import Literal

import numpy as np
from pydantic import Field

from attnlab.config import Section
from attnlab.data._dataset import DataError, Part
from attnlab.data._encodings import NameEncoding
from attnlab.data._source import Skip
from attnlab.data.decode import SUFFIXES, Fit
from attnlab.data.reading import Choice


class PathOptions(Section):
    """Options of a folder or archive, whatever its layout; those of a table count only where there is one."""

    layout: Literal["auto", "table", "folders", "classes", "splits", "inner"] = Field(
        "auto",
        description="how the source is read. table: a CSV file lists the images; folders: one folder per class, inside folders "
        "such as train and test if there are any; classes: each folder is a class, even one named train; splits: folders such "
        "as train and test are parts of the data set; inner: the folders inside the folders are the classes; auto: whichever "
        "fits",
    )
    name_encoding: NameEncoding = Field(
        "auto",
        description="how the names in an archive are written that does not say it, as those that Windows makes in many "
        "countries: gb18030 (simplified Chinese), big5 (traditional Chinese), cp932 (Japanese), cp949 (Korean), cp866 "
        "(Cyrillic), cp437 or cp1252 (Western European); auto: whichever gives the most usual letters",
    )
    fit: Fit = Field(
        "crop",
        description="what is done to a picture that is not square. crop: only its centre is used; pad: all of it, with bars in "
        "its mean colour",
    )
    grey: bool = Field(False, description="read the images in greyscale, with one channel instead of three")
    normalisation: Literal["measured", "imagenet"] = Field(
        "measured",
        description="measured: by the mean and standard deviation of the training images; imagenet: by those of ImageNet, for "
        "pretrained weights",
    )
    masks: str = Field(
        "masks",
        description="folder with one mask per image, of the same name; if not chosen, any usual name counts, such as "
        "ground_truth; empty: no masks, so such a folder may be a class",
    )
    class_names: dict[str, str] = Field(default_factory=dict, description="names to show for the labels, such as 0 = benign")
    balance: int | Literal["equal"] | None = Field(
        None,
        description="most images of one class; the rest is left out at random. 'equal': as many as the smallest class has",
    )
    balance_seed: int = Field(42, ge=0, lt=2**32, description="seed of that random choice")
    csv_file: str = Field("", description="file name of the table; empty: the one that has these columns")
    image_column: str = Field(
        "image_id",
        description="column with the file names, with or without suffix; without it, the one that names files",
    )
    label_column: str = Field(
        "target", description="column with the labels, read as text; without this column, the one whose name means a class"
    )
    split_column: str = Field(
        "split", description="column with train, val and test; if empty or missing, a random split is made"
    )
    test_share: float = Field(
        0.2, gt=0, lt=1, description="share of the images set aside for testing if the table does not say"
    )
    test_seed: int = Field(1234, ge=0, lt=2**32, description="seed of that random choice")


@dataclass(frozen=True)
class Item:
    """One image: its name in the source, its label, its part, and the name of its mask."""

    image: str
    label: int
    part: Part
    mask: str | None = None


@dataclass(frozen=True)
class Listing:
    """All images of a source, in a fixed order; labels index `class_names`.

    Attributes:
        sentence: how the source was read.
        layout: the value of `PathOptions.layout` that means the same.
        origins: where each part comes from; a part that is not named here is drawn later.
        skipped: what is left out, and why.
        warnings: what a person should know before a training, as sentences.
        choices: other ways to read the source.
        extra: further facts to show, as text.
    """

    items: tuple[Item, ...]
    class_names: tuple[str, ...]
    sentence: str
    layout: str
    origins: dict[Part, str] = field(default_factory=dict)
    skipped: tuple[Skip, ...] = ()
    warnings: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()
    extra: dict[str, str] = field(default_factory=dict)

    def as_choice(self) -> Choice:
        """The same way to read the source, as it is offered beside another."""
        return Choice(self.sentence.split(". ")[0].rstrip("."), {"layout": self.layout})


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``9`` before ``10``, and words by letter. Numbers are compared as text, of any length."""
    pieces = re.findall(r"\d+|\D+", text)
    numbers = [(piece.lstrip("0"), piece.isdecimal()) for piece in pieces]
    return [(0, len(own), own) if number else (1, 0, piece) for piece, (own, number) in zip(pieces, numbers, strict=True)]


def is_image(name: str) -> bool:
    return splitext(name)[1].lower() in SUFFIXES


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
