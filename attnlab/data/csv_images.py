"""A CSV table of images: one row per image with its file name and its label, and the images in folders beside it.

The melanoma article ("Melanoma classification with attention", VGG16 on ISIC images) uses such data: ``marking.csv`` with
``image_id`` and ``target``, an 80/20 split with random state 1234, and the majority class reduced to 6,000 images with
random state 42. These are the defaults here. Departure: the split is stratified.

All values are text: ``00123`` keeps its zeros and ``NA`` is a label. A row that does not match the header is an error that
names its line, since a shifted row would give images wrong labels. File names are looked up in the listing of the source
and never joined to a path, so no name leads outside.
"""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from attnlab.data._dataset import DataError, Part
from attnlab.data._listing import (
    PART_NAMES,
    Item,
    Listing,
    MaskFinder,
    PathOptions,
    Top,
    find_top,
    is_image,
    name_classes,
    natural,
)
from attnlab.data._source import Index, Source
from attnlab.data._splits import hold_out_stratified
from attnlab.data.decode import ImageRefused

MAX_TABLE_BYTES = 50_000_000
MAX_ROWS = 1_000_000
MAX_COLUMNS = 200
MAX_FIELD = 4096


@dataclass(frozen=True)
class Table:
    """A CSV file as text.

    Attributes:
        name: file name.
        columns: the header.
        rows: (line number, fields), with one field per column.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, name: str) -> int:
        """The index of a column.

        Raises:
            DataError: when there is no such column; the message lists the columns.
        """
        if name not in self.columns:
            raise DataError(f"{self.name} has no column {name!r}; its columns: {', '.join(self.columns)}")
        return self.columns.index(name)


def read_table(content: bytes, name: str) -> Table:
    """Parses a CSV file with a header; the separator is the most frequent one of ``, ; tab`` in the header.

    Raises:
        DataError: for an encoding other than UTF-8, two columns of one name, a row with more or fewer fields than the
            header, or a file beyond the limits; the message names the line.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise DataError(f"{name} has {len(content) / 1e6:.0f} MB; at most {MAX_TABLE_BYTES / 1e6:.0f} MB are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name} is not UTF-8 text (line {line}); save it as 'CSV UTF-8'") from None
    if "\0" in text:
        raise DataError(f"{name} contains NUL bytes, so it is UTF-16 or not text; save it as 'CSV UTF-8'")
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = tuple(field.strip() for field in next(reader, []))
        _check_header(columns, name)
        rows: list[tuple[int, tuple[str, ...]]] = []
        for fields in reader:
            if not any(field.strip() for field in fields):
                continue
            if len(fields) != len(columns):
                raise DataError(f"{name} line {reader.line_num} has {len(fields)} fields, the header {len(columns)}")
            if max(map(len, fields)) > MAX_FIELD:
                raise DataError(f"{name} line {reader.line_num} has a field of more than {MAX_FIELD} characters")
            rows.append((reader.line_num, tuple(field.strip() for field in fields)))
            if len(rows) > MAX_ROWS:
                raise DataError(f"{name} has more than {MAX_ROWS:,} rows")
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num} cannot be read as CSV ({error})") from error
    if not rows:
        raise DataError(f"{name} has a header and no rows")
    return Table(name, columns, tuple(rows))


def find_table(source: Source, index: Index, options: PathOptions) -> Table | None:
    """The table of a source, or `None` when its class folders are used.

    A CSV file at the top is used when it has the image and the label column, or when ``layout`` or ``csv_file`` requests it.

    Raises:
        DataError: when a table is requested and there is none, or when several have the columns.
    """
    top = find_top(index, options)
    names = _table_names(index, top)
    required = options.layout == "table" or bool(options.csv_file)
    if options.layout == "folders" or (not names and not required):
        return None
    if options.csv_file:
        names = [name for name in names if PurePosixPath(name).name == options.csv_file]
    if not names:
        raise DataError(f"there is no {options.csv_file or 'CSV file'} at the top of {source.path}")
    tables = _read(source, names)
    fitting = [table for table in tables if {options.image_column, options.label_column} <= set(table.columns)]
    if len(fitting) > 1:
        raise DataError(f"{', '.join(table.name for table in fitting)} all have the columns; choose one with csv_file")
    if not fitting and (required or not _has_class_folders(index, top, options)):
        for column in (options.image_column, options.label_column):
            tables[0].column(column)
    return fitting[0] if fitting else None


def read_tables(source: Source, index: Index, top: Top) -> list[Table]:
    """All CSV files at the top.

    Raises:
        DataError: when one of them cannot be read.
    """
    return _read(source, _table_names(index, top))


def list_table(table: Table, index: Index, options: PathOptions) -> Listing:
    """The images of a table. Rows whose image is missing or whose label is empty are skipped and reported.

    Raises:
        DataError: for a missing column, an unknown word in the split column, two labels for one image, fewer than two
            classes, or no image at all.
    """
    image_at, label_at = table.column(options.image_column), table.column(options.label_column)
    split_required = "split_column" in options.model_fields_set and options.split_column != ""
    has_split = bool(options.split_column) and (split_required or options.split_column in table.columns)
    split_at = table.column(options.split_column) if has_split else None

    top = find_top(index, options)
    masks = MaskFinder(index.files, top, options)
    look_up = _Lookup([name for name in index.files if is_image(name) and not masks.is_mask(name)], top)
    skipped = list(index.skipped)
    images: dict[str, tuple[int, str, Part]] = {}
    for line, fields in table.rows:
        try:
            name = look_up(fields[image_at])
        except LookupError as error:
            skipped.append(f"{fields[image_at] or 'blank'} (line {line}): {error.args[0]}")
            continue
        label = fields[label_at]
        part = _part(fields[split_at], table, line, options) if split_at is not None else Part.TRAIN
        if not label:
            skipped.append(f"{fields[image_at]} (line {line}): no label")
        elif name not in images:
            images[name] = (line, label, part)
        elif images[name][1:] == (label, part):
            skipped.append(f"{fields[image_at]} (line {line}): listed a second time")
        else:
            raise DataError(
                f"{table.name} lines {images[name][0]} and {line} name {fields[image_at]} with two labels or splits"
            )
    if not images:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"none of the {len(table.rows)} rows of {table.name} names an existing image{first}")
    labels = sorted({label for _, label, _ in images.values()}, key=natural)
    if len(labels) < 2:
        raise DataError(f"column {options.label_column!r} of {table.name} has only one label, {labels[0]!r}")
    if len(labels) > max(100, len(images) // 2):
        raise DataError(
            f"column {options.label_column!r} of {table.name} has {len(labels)} different values; is it the label column?"
        )
    number = {label: i for i, label in enumerate(labels)}
    items = tuple(Item(name, number[label], part, masks.of(name)) for name, (_, label, part) in images.items())
    if not any(item.part is Part.TEST for item in items):
        items = tuple(replace(i, part=Part.TEST) if i.part is Part.VALIDATION else i for i in items)
    split = f"Split by column {options.split_column!r}." if split_at is not None else ""
    return Listing(items, name_classes(labels, options), tuple(skipped), f"Labels from {table.name}. {split}".strip())


def draw_test(listing: Listing, options: PathOptions) -> Listing:
    """Adds a stratified test split by ``test_share`` and ``test_seed`` if the table has none. It comes after balancing, as in
    the article.
    """
    if any(item.part is Part.TEST for item in listing.items):
        return listing
    rows = np.array([row for row, item in enumerate(listing.items) if item.part is Part.TRAIN])
    labels = np.array([listing.items[row].label for row in rows])
    test_rows = set(rows[hold_out_stratified(labels, options.test_share, options.test_seed, listing.class_names)].tolist())
    items = tuple(replace(item, part=Part.TEST) if row in test_rows else item for row, item in enumerate(listing.items))
    note = f"Test: a stratified {options.test_share:.0%}, chosen with random state {options.test_seed}."
    return replace(listing, items=items, note=f"{listing.note} {note}")


def _table_names(index: Index, top: Top) -> list[str]:
    return [name for name in index.files if name.lower().endswith(".csv") and len(top.steps(name)) == 1]


def _read(source: Source, names: list[str]) -> list[Table]:
    tables = []
    for name, content in source.read(names):
        if isinstance(content, ImageRefused):
            raise DataError(f"{name}: {content}")
        tables.append(read_table(content, PurePosixPath(name).name))
    return tables


class _Lookup:
    """From file names as written in tables to names in the source."""

    def __init__(self, images: list[str], top: Top) -> None:
        self._exact = {"/".join(top.steps(name)): name for name in images}
        self._short: dict[str, list[str]] = defaultdict(list)
        for name in images:
            path = PurePosixPath(name)
            for short in {path.name, path.stem}:
                self._short[short].append(name)

    def __call__(self, text: str) -> str:
        """The name in the source.

        Raises:
            LookupError: with the reason.
        """
        plain = text.replace("\\", "/")
        if plain.startswith("/") or ".." in plain.split("/") or (len(plain) > 1 and plain[1] == ":"):
            raise LookupError("leads out of the folder")
        if plain.removeprefix("./") in self._exact:
            return self._exact[plain.removeprefix("./")]
        names = self._short.get(plain, []) if "/" not in plain else []
        if len(names) > 1:
            raise LookupError(f"more than one file has this name: {', '.join(names[:3])}")
        if not names:
            raise LookupError("no such image")
        return names[0]


def _check_header(columns: tuple[str, ...], name: str) -> None:
    if not columns:
        raise DataError(f"{name} is empty")
    if len(columns) > MAX_COLUMNS:
        raise DataError(f"{name} has {len(columns)} columns; at most {MAX_COLUMNS} are read")
    if duplicates := [column for column, count in Counter(columns).items() if count > 1]:
        raise DataError(f"{name} has two columns named {duplicates[0]!r}")


def _part(word: str, table: Table, line: int, options: PathOptions) -> Part:
    try:
        return PART_NAMES[word.lower()]
    except KeyError:
        known = ", ".join(PART_NAMES)
        raise DataError(f"{table.name} line {line}: {options.split_column} is {word!r}; known: {known}") from None


def _has_class_folders(index: Index, top: Top, options: PathOptions) -> bool:
    steps = [top.steps(name) for name in index.files if is_image(name)]
    folders = {first for first, *rest in filter(None, steps) if rest} - {options.masks}
    return len(folders) > 1 or any(name.lower() in PART_NAMES for name in folders)
