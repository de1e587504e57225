"""A CSV table of images: one row for each, with its file name and its label, and the images in folders beside it.

The melanoma article ("Melanoma classification with attention", VGG16 on ISIC images) works on such data: ``marking.csv``
with ``image_id`` and ``target``, 80/20 split with random state 1234, the majority class drawn down to 6,000 with random
state 42. Those are the defaults here. The split is stratified, where the article's is not.

Everything is text: ``00123`` keeps its zeros and ``NA`` is a label. A row that does not fit the header is an error with
its number, since a shifted row would give every image a wrong label. File names are looked up in the listing of the
source and never joined to a path, so no name leads outside.
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
        name: of the file.
        columns: the header.
        rows: (line number, fields), as many fields as columns.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def column(self, name: str) -> int:
        """Where a column is.

        Raises:
            DataError: listing the columns there are.
        """
        if name not in self.columns:
            raise DataError(f"{self.name} has no column {name!r}; its columns: {', '.join(self.columns)}")
        return self.columns.index(name)


def read_table(content: bytes, name: str) -> Table:
    """Parses a CSV file with a header; the separator is the one of ``, ; tab`` that the header uses most.

    Raises:
        DataError: for another encoding than UTF-8, a doubled or blank column, a row of another width than the header,
            or more than the caps allow; with the line's number.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise DataError(f"{name} has {len(content) / 1e6:.0f} MB; at most {MAX_TABLE_BYTES / 1e6:.0f} MB are read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name} is not UTF-8 text (line {line}); save it as 'CSV UTF-8'") from None
    if "\0" in text:
        raise DataError(f"{name} holds NUL bytes, so it is no text or is UTF-16; save it as 'CSV UTF-8'")
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
    """The table of a source, or `None` where its class folders say everything.

    A CSV at the top counts when it has the image and the label column, or when ``layout`` or ``csv_file`` asks for it.

    Raises:
        DataError: when a table is asked for and there is none, or more than one would do.
    """
    top = find_top(index, options)
    names = _table_names(index, top)
    asked = options.layout == "table" or bool(options.csv_file)
    if options.layout == "folders" or (not names and not asked):
        return None
    if options.csv_file:
        names = [name for name in names if PurePosixPath(name).name == options.csv_file]
    if not names:
        raise DataError(f"there is no {options.csv_file or 'CSV file'} at the top of {source.path}")
    tables = _read(source, names)
    fitting = [table for table in tables if {options.image_column, options.label_column} <= set(table.columns)]
    if len(fitting) > 1:
        raise DataError(f"{', '.join(table.name for table in fitting)} all have the columns; choose one by csv_file")
    if not fitting and (asked or not _has_class_folders(index, top, options)):
        for column in (options.image_column, options.label_column):
            tables[0].column(column)
    return fitting[0] if fitting else None


def read_tables(source: Source, index: Index, top: Top) -> list[Table]:
    """All CSV files at the top.

    Raises:
        DataError: when one cannot be read.
    """
    return _read(source, _table_names(index, top))


def list_table(table: Table, index: Index, options: PathOptions) -> Listing:
    """The images a table names. Rows whose image is missing or whose label is blank are skipped and listed.

    Raises:
        DataError: for a column that is not there, an unknown word in the split column, two labels for one image,
            fewer than two classes, or no image found at all.
    """
    image_at, label_at = table.column(options.image_column), table.column(options.label_column)
    asked_for_split = "split_column" in options.model_fields_set and options.split_column != ""
    has_split = bool(options.split_column) and (asked_for_split or options.split_column in table.columns)
    split_at = table.column(options.split_column) if has_split else None

    top = find_top(index, options)
    masks = MaskFinder(index.files, top, options)
    look_up = _Lookup([name for name in index.files if is_image(name) and not masks.is_mask(name)], top)
    skipped = list(index.skipped)
    found: dict[str, tuple[int, str, Part]] = {}
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
        elif name not in found:
            found[name] = (line, label, part)
        elif found[name][1:] == (label, part):
            skipped.append(f"{fields[image_at]} (line {line}): named a second time")
        else:
            raise DataError(f"{table.name} lines {found[name][0]} and {line} name {fields[image_at]} with two labels or splits")
    if not found:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"none of the {len(table.rows)} rows of {table.name} names an image that is there{first}")
    labels = sorted({label for _, label, _ in found.values()}, key=natural)
    if len(labels) < 2:
        raise DataError(f"column {options.label_column!r} of {table.name} has only one label, {labels[0]!r}")
    if len(labels) > max(100, len(found) // 2):
        raise DataError(f"column {options.label_column!r} of {table.name} has {len(labels)} different labels; is it the label?")
    number = {label: i for i, label in enumerate(labels)}
    items = tuple(Item(name, number[label], part, masks.of(name)) for name, (_, label, part) in found.items())
    if not any(item.part is Part.TEST for item in items):
        items = tuple(replace(i, part=Part.TEST) if i.part is Part.VALIDATION else i for i in items)
    split = f"Split by column {options.split_column!r}." if split_at is not None else ""
    return Listing(items, name_classes(labels, options), tuple(skipped), f"Labels from {table.name}. {split}".strip())


def draw_test(listing: Listing, options: PathOptions) -> Listing:
    """A stratified test split by ``test_share`` and ``test_seed`` where the table names none; after balancing, as in the
    article.
    """
    if any(item.part is Part.TEST for item in listing.items):
        return listing
    rows = np.array([row for row, item in enumerate(listing.items) if item.part is Part.TRAIN])
    labels = np.array([listing.items[row].label for row in rows])
    held = set(rows[hold_out_stratified(labels, options.test_share, options.test_seed, listing.class_names)].tolist())
    items = tuple(replace(item, part=Part.TEST) if row in held else item for row, item in enumerate(listing.items))
    drawn = f"Test: a stratified {options.test_share:.0%} drawn with random state {options.test_seed}."
    return replace(listing, items=items, note=f"{listing.note} {drawn}")


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
    """File names as tables write them -> names in the source."""

    def __init__(self, images: list[str], top: Top) -> None:
        self._exact = {"/".join(top.steps(name)): name for name in images}
        self._short: dict[str, list[str]] = defaultdict(list)
        for name in images:
            path = PurePosixPath(name)
            for short in {path.name, path.stem}:
                self._short[short].append(name)

    def __call__(self, given: str) -> str:
        """Raises LookupError with the reason."""
        plain = given.replace("\\", "/")
        if plain.startswith("/") or ".." in plain.split("/") or (len(plain) > 1 and plain[1] == ":"):
            raise LookupError("leads out of the folder, refused")
        if plain.removeprefix("./") in self._exact:
            return self._exact[plain.removeprefix("./")]
        found = self._short.get(plain, []) if "/" not in plain else []
        if len(found) > 1:
            raise LookupError(f"more than one file has this name: {', '.join(found[:3])}")
        if not found:
            raise LookupError("no such image")
        return found[0]


def _check_header(columns: tuple[str, ...], name: str) -> None:
    if not columns:
        raise DataError(f"{name} is empty")
    if len(columns) > MAX_COLUMNS:
        raise DataError(f"{name} has {len(columns)} columns; at most {MAX_COLUMNS} are read")
    if twice := [column for column, count in Counter(columns).items() if count > 1]:
        raise DataError(f"{name} has two columns named {twice[0]!r}")


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
