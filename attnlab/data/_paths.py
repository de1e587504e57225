"""From the path of a folder or archive to a pool of images: find out how to read it, list it, decode what is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import ValidationError

from attnlab.config import DatasetConfig, explain
from attnlab.data._dataset import IMAGENET, DataError, Part, Pool, Progress, Provenance
from attnlab.data._decoded import MAX_PIXELS, DecodedImages
from attnlab.data._describe import describe
from attnlab.data._layout import list_source
from attnlab.data._listing import Listing, PathOptions, is_image
from attnlab.data._open_source import open_source
from attnlab.data._source import Index, Source
from attnlab.data._splits import choose_rows
from attnlab.data._table import read_tables
from attnlab.data.csv_images import fit_table, split_column
from attnlab.data.decode import ImageRefused, decode_image, fit_array, image_size
from attnlab.data.reading import Reading
from attnlab.paths import written_path

LARGEST_OWN_SIZE = 224
SIZE_SAMPLE = 32
OBLONG = 1.05
"""A picture whose sides differ by more than this factor loses something that can be seen when its centre is cut out."""
LOOKED_AT = 16
"""Pictures that are compared before a training, to see whether they differ at all."""


@dataclass(frozen=True)
class TableColumns:
    """A table of a source.

    Attributes:
        columns: all of them.
        image_column, label_column, split_column: those that are read when none is chosen; `None` when none is likely.
    """

    columns: tuple[str, ...]
    image_column: str | None
    label_column: str | None
    split_column: str | None


def build_path(path: Path, side: int | None, options: Mapping[str, Any], progress: Progress) -> Pool:
    """The pool of a folder or archive.

    Args:
        side: of the images in pixels; `None` takes the median of the shorter sides of the first images, at most 224.

    Raises:
        DataError: when it cannot be read, or does not contain images of at least two classes.
    """
    path_options = _path_options(path, options)
    progress(f"listing {path.name}", 0.0)
    source = open_source(path, path_options.name_encoding)
    index = source.index()
    listing = list_source(source, index, path_options)
    side = side or _own_size(source, index, listing)
    cache = DecodedImages(source, listing.items, (1 if path_options.grey else 3, side, side), path_options.fit)
    mean, std = IMAGENET if path_options.normalisation == "imagenet" else (None, None)
    return Pool(
        images=cache.images,
        masks=cache.masks,
        labels=np.array([item.label for item in listing.items], np.int64),
        parts=np.array([item.part for item in listing.items], np.int8),
        names=[item.image for item in listing.items],
        class_names=listing.class_names,
        provenance=Provenance(
            source=str(path), digest=source.key, note=listing.sentence, skipped=tuple(map(str, listing.skipped))
        ),
        mean=mean,
        std=std,
        prepare=cache.prepare,
        extra=listing.extra | _parts(listing),
        describe=partial(describe, listing),
    )


def list_path(path: Path, options: Mapping[str, Any]) -> Listing:
    """The images that `build_path` would read; nothing is decoded.

    Raises:
        DataError: as `build_path`, except for errors that only decoding shows.
    """
    path_options = _path_options(path, options)
    source = open_source(path, path_options.name_encoding)
    return list_source(source, source.index(), path_options)


def read_path(config: DatasetConfig) -> Reading:
    """How the folder or archive of a config would be read and split. Of the pictures, only a few are decoded.

    Raises:
        DataError: as `build_path`, except for errors that only decoding shows.
    """
    path = written_path(config.name)
    path_options = _path_options(path, config.options)
    source = open_source(path, path_options.name_encoding)
    index = source.index()
    listing = list_source(source, index, path_options)
    labels = np.array([item.label for item in listing.items], np.int64)
    rows = choose_rows(
        labels, np.array([item.part for item in listing.items], np.int8), listing.class_names, config, every_class=True
    )
    reading = describe(listing, {name: labels[at] for name, at in rows.parts.items()}, rows.drawn)
    if (looked := _all_alike(source, index, listing)) > 1:
        warning = f"The pictures do not differ: the {looked} that were looked at are the same."
        reading = replace(reading, warnings=(*reading.warnings, warning))
    sizes = _sizes(source, index, listing)
    oblong = sum(max(size) > min(size) * OBLONG for size in sizes)
    if oblong and path_options.fit == "crop":
        warning = (
            f"Of the {len(sizes)} pictures that were looked at, {oblong} are not square: only their centre is used. With the "
            "option fit=pad the whole picture is used."
        )
        reading = replace(reading, warnings=(*reading.warnings, warning))
    return reading


def own_side(path: Path, options: Mapping[str, Any]) -> int:
    """The side in pixels that `build_path` chooses when none is requested.

    Raises:
        DataError: as `list_path`, or when the first images cannot be read.
    """
    path_options = _path_options(path, options)
    source = open_source(path, path_options.name_encoding)
    index = source.index()
    return _own_size(source, index, list_source(source, index, path_options))


def tables_at(path: Path, name_encoding: str = "auto") -> dict[str, TableColumns]:
    """The CSV files of a folder or archive, by name, with their columns; files that are no tables are left out.

    Args:
        name_encoding: as in `PathOptions`.

    Raises:
        DataError: when the path cannot be read.
    """
    source = open_source(path, name_encoding)
    index = source.index()
    pictures = [name for name in index.files if is_image(name)]
    tables: dict[str, TableColumns] = {}
    for table in read_tables(source, index)[0]:
        fit = fit_table(table, pictures, PathOptions())
        image, label = (fit.image_column, fit.label_column) if fit else (None, None)
        table = fit.table if fit else table  # without a header the columns have numbers
        tables.setdefault(table.name, TableColumns(table.columns, image, label, split_column(table, PathOptions())))
    return tables


def content_stamp(path: Path) -> str:
    """Changes whenever the content of a folder (names, sizes, times) or the file of an archive does; empty when there is
    nothing.

    Raises:
        DataError: when the folder has too many files.
    """
    try:
        if path.is_dir():
            return open_source(path).key
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _path_options(path: Path, options: Mapping[str, Any]) -> PathOptions:
    try:
        path_options = PathOptions.model_validate(dict(options))
    except ValidationError as error:
        raise DataError(f"options of {path.name}: {explain(error)}") from error
    if path_options.grey and path_options.normalisation == "imagenet":
        raise DataError("ImageNet's normalisation needs three channels; choose 'measured' for greyscale images")
    return path_options


def _all_alike(source: Source, index: Index, listing: Listing) -> int:
    """The number of pictures that were compared when all of them are the same; 0 when they differ."""
    images = {item.image for item in listing.items}
    first = list(islice((name for name in index.files if name in images), LOOKED_AT))  # the fastest to read
    spread = [item.image for item in listing.items[:: max(1, len(listing.items) // LOOKED_AT)]][:LOOKED_AT]
    return _alike(source, first) and _alike(source, list(dict.fromkeys([first[0], *spread])))


def _alike(source: Source, names: Sequence[str]) -> int:
    seen: np.ndarray | None = None
    looked = 0
    for _, data in source.read(names):
        try:
            if isinstance(data, ImageRefused):
                continue
            pixels = fit_array(decode_image(data, max_pixels=MAX_PIXELS).pixels, (32, 32))
        except ImageRefused:
            continue
        looked += 1
        if seen is not None and not np.array_equal(seen, pixels):
            return 0
        seen = pixels
    return looked


def _sizes(source: Source, index: Index, listing: Listing) -> list[tuple[int, int]]:
    """The sizes of the first images that can be read."""
    sizes = []
    images = {item.image for item in listing.items}
    names = list(islice((name for name in index.files if name in images), SIZE_SAMPLE))  # the fastest to read
    for _, data in source.read(names):
        if isinstance(data, bytes):
            try:
                sizes.append(image_size(data))
            except ImageRefused:
                continue
    return sizes


def _own_size(source: Source, index: Index, listing: Listing) -> int:
    sizes = _sizes(source, index, listing)
    if not sizes:
        raise DataError(f"none of the first {SIZE_SAMPLE} images of {source.path} can be read")
    return max(8, min(LARGEST_OWN_SIZE, round(median(map(min, sizes)))))


def _parts(listing: Listing) -> dict[str, str]:
    """The number of images of each part in the source, before any subset."""
    counts = {part: sum(item.part is part for item in listing.items) for part in Part}
    return {f"{part.name.lower()} images in the source": f"{count:,}" for part, count in counts.items() if count}
