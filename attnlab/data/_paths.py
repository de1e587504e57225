"""From the path of a folder or archive to a pool of images: find the layout, list it, decode what is needed."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import ValidationError

from attnlab.config import explain
from attnlab.data._dataset import IMAGENET, DataError, Part, Pool, Progress, Provenance
from attnlab.data._decoded import DecodedImages
from attnlab.data._listing import Listing, PathOptions, balance, find_top
from attnlab.data._open_source import open_source
from attnlab.data._source import Index, Source
from attnlab.data.csv_images import draw_test, find_table, list_table, read_tables
from attnlab.data.decode import ImageRefused, image_size
from attnlab.data.folder import list_class_folders

LARGEST_OWN_SIZE = 224
SIZE_SAMPLE = 32
MOST_LISTED = 1000


def build_path(path: Path, side: int | None, options: Mapping[str, Any], progress: Progress) -> Pool:
    """The pool of a folder or archive.

    Args:
        side: of the images in pixels; `None` takes the median of the shorter sides of the first images, at most 224.

    Raises:
        DataError: when it cannot be read, or does not contain images of at least two classes.
    """
    path_options = _path_options(path, options)
    progress(f"listing {path.name}", 0.0)
    source = open_source(path)
    index = source.index()
    listing = _list(source, index, path_options)
    side = side or _own_size(source, index, listing)
    cache = DecodedImages(source, listing.items, (1 if path_options.grey else 3, side, side))
    mean, std = IMAGENET if path_options.normalisation == "imagenet" else (None, None)
    return Pool(
        images=cache.images,
        masks=cache.masks,
        labels=np.array([item.label for item in listing.items], np.int64),
        parts=np.array([item.part for item in listing.items], np.int8),
        names=[item.image for item in listing.items],
        class_names=listing.class_names,
        provenance=Provenance(source=str(path), digest=source.key, note=listing.note, skipped=_shorten(listing.skipped)),
        mean=mean,
        std=std,
        prepare=cache.prepare,
        extra=listing.extra | _parts(listing),
    )


def list_path(path: Path, options: Mapping[str, Any]) -> Listing:
    """The images that `build_path` would read; nothing is decoded.

    Raises:
        DataError: as `build_path`, except for errors that only decoding shows.
    """
    source = open_source(path)
    return _list(source, source.index(), _path_options(path, options))


def own_side(path: Path, options: Mapping[str, Any]) -> int:
    """The side in pixels that `build_path` chooses when none is requested.

    Raises:
        DataError: as `list_path`, or when the first images cannot be read.
    """
    source = open_source(path)
    index = source.index()
    return _own_size(source, index, _list(source, index, _path_options(path, options)))


def tables_at(path: Path) -> dict[str, tuple[str, ...]]:
    """The CSV files at the top of a folder or archive, by name, with their columns.

    Raises:
        DataError: when the path cannot be read, or a file is not a table.
    """
    source = open_source(path)
    index = source.index()
    return {table.name: table.columns for table in read_tables(source, index, find_top(index, PathOptions()))}


def _path_options(path: Path, options: Mapping[str, Any]) -> PathOptions:
    try:
        path_options = PathOptions.model_validate(dict(options))
    except ValidationError as error:
        raise DataError(f"options of {path.name}: {explain(error)}") from error
    if path_options.grey and path_options.normalisation == "imagenet":
        raise DataError("ImageNet's normalisation needs three channels; choose 'measured' for greyscale images")
    return path_options


def _list(source: Source, index: Index, options: PathOptions) -> Listing:
    table = find_table(source, index, options)
    if table is None:
        return balance(list_class_folders(index, options), options)
    return draw_test(balance(list_table(table, index, options), options), options)


def _own_size(source: Source, index: Index, listing: Listing) -> int:
    sides = []
    images = {item.image for item in listing.items}
    names = list(islice((name for name in index.files if name in images), SIZE_SAMPLE))  # the fastest to read
    for _, data in source.read(names):
        if isinstance(data, bytes):
            try:
                sides.append(min(image_size(data)))
            except ImageRefused:
                continue
    if not sides:
        raise DataError(f"none of the first {len(names)} images of {source.path} can be read")
    return max(8, min(LARGEST_OWN_SIZE, round(median(sides))))


def _parts(listing: Listing) -> dict[str, str]:
    """The number of images of each part in the source, before any subset."""
    counts = {part: sum(item.part is part for item in listing.items) for part in Part}
    return {f"{part.name.lower()} images in the source": f"{count:,}" for part, count in counts.items() if count}


def _shorten(skipped: tuple[str, ...]) -> tuple[str, ...]:
    if len(skipped) <= MOST_LISTED:
        return skipped
    return (*skipped[:MOST_LISTED], f"... and {len(skipped) - MOST_LISTED:,} more")
