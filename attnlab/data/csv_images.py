"""A CSV table of images: one row per image with its file name and its label, and the images in folders beside it.

The melanoma article ("Melanoma classification with attention", VGG16 on ISIC images) uses such data: ``marking.csv`` with
``image_id`` and ``target``, an 80/20 split with random state 1234, and the majority class reduced to 6,000 images with
random state 42. These are the defaults here. Departure: the split is stratified. Other tables, such as those of HAM10000
and SIIM-ISIC, name their columns differently: the column of the images is then the one whose values are names of files,
that of the classes the one with a usual name.

File names are looked up in the listing of the source and never joined to a path, so no name leads outside; paths of another
machine, such as ``/kaggle/input/set/a.png``, are matched by their end.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath, PureWindowsPath
from posixpath import basename, dirname

import numpy as np

from attnlab.data._dataset import DataError, Part
from attnlab.data._listing import Item, Listing, PathOptions, is_image, name_classes, natural
from attnlab.data._masks import MaskFinder
from attnlab.data._source import Index, Skip, Source
from attnlab.data._splits import hold_out_stratified
from attnlab.data._table import Table
from attnlab.data._words import IMAGE_COLUMNS, LABEL_COLUMNS, PART_WORDS, part_name, plain_name
from attnlab.data.reading import Choice, counted, enumerated

SAMPLE_ROWS = 2000
"""As many rows of a table are looked up to find its column of images."""
LEAST_NAMED = 0.5
"""Share of the rows, or of the pictures, that a table must match to be the one of these pictures."""
MOST_OFFERED = 6
COMPARED, MOST_COMPARED = 10, 20
"""As many pictures of two folders tell whether one is a copy of the other, in at most so many pairs of folders."""


@dataclass(frozen=True)
class Fit:
    """How a table fits the pictures.

    Attributes:
        image_column: its values are names of pictures.
        label_column: its values are the classes; `None` when no column is likely to hold them.
        matched: number of rows that name a picture, estimated from a sample.
        candidates: columns that could hold the classes, the likeliest first.
    """

    table: Table
    image_column: str
    label_column: str | None
    matched: int
    candidates: tuple[str, ...] = ()


class Lookup:
    """From file names as written in tables to names in the source."""

    def __init__(self, images: Sequence[str]) -> None:
        self.without_suffix = 0
        """Names that were found only after their suffix was left out."""
        self._exact = {name.casefold(): name for name in images}
        self._short: dict[str, list[str]] = defaultdict(list)
        for name in images:
            path = PurePosixPath(name)
            for short in {path.name.casefold(), path.stem.casefold()}:
                self._short[short].append(name)

    def __call__(self, text: str) -> str:
        """The name in the source.

        Raises:
            LookupError: with the reason.
        """
        plain = PureWindowsPath(text.casefold())  # knows both kinds of slashes, and drives
        outside = bool(plain.anchor) or ".." in plain.parts
        path = PurePosixPath(*(part for part in plain.parts if part not in (plain.anchor, "..")))
        if str(path) in self._exact:
            return self._exact[str(path)]
        names = self._short.get(path.name, [])
        if not names and path.suffix and len(path.suffix) <= 5:
            names = self._short.get(path.stem, [])
            self.without_suffix += bool(names)
        if len(path.parts) > 1 and len(names) > 1:  # the folders tell apart what the name alone does not
            names = _best(names, path)
        if len(names) > 1:
            raise LookupError("more than one file has this name")
        if not names:
            raise LookupError("leads out of the folder" if outside else "no such image")
        return names[0]


def copies(source: Source, pictures: Sequence[str]) -> dict[str, str]:
    """Pictures that lie in the source a second time, by the name of the first, with the folder that holds the first: archives
    unpacked twice, as that of HAM10000 is. Names that mean several pictures could not be looked up.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(pictures):
        alike[basename(name).casefold()].append(name)
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for first, *others in alike.values():
        for other in others:
            pairs[dirname(first), dirname(other)].append((first, other))
    found: dict[str, str] = {}
    for (folder, _), own in pairs.items() if len(pairs) <= MOST_COMPARED else ():
        sample = own[:: -(-len(own) // COMPARED)]
        content = dict(source.read({name for pair in sample for name in pair}))
        if all(isinstance(content[first], bytes) and content[first] == content[other] for first, other in sample):
            found |= {other: folder for _, other in own}
    return found


def fit_table(table: Table, pictures: Sequence[str], options: PathOptions) -> Fit | None:
    """How a table fits the pictures; `None` when it does not name them.

    Args:
        pictures: names in the source.
    """
    finds = _finder(Lookup(pictures))
    if not _has_header(table, finds):
        table = table.without_header()
    step = max(1, len(table.rows) // SAMPLE_ROWS)
    image_column = options.image_column
    chosen = "image_column" in options.model_fields_set or image_column in table.columns
    if chosen and image_column not in table.columns:
        return None
    samples = {column: table.values(column)[::step] for column in ([image_column] if chosen else table.columns)}
    found = {column: step * sum(map(finds, values)) for column, values in samples.items()}
    least = 0 if chosen else max(1, LEAST_NAMED * min(len(table.rows), len(pictures)))
    likely = [column for column, count in found.items() if count >= least]
    if not likely:
        return None
    # The numbers of the rows may be names of files as well: what looks like file names, or is called so, goes first.
    image_column = max(likely, key=lambda own: (any(map(is_image, samples[own])), plain_name(own) in IMAGE_COLUMNS, found[own]))
    matched = found[image_column]
    candidates = _label_candidates(table, image_column)
    label = options.label_column
    if "label_column" not in options.model_fields_set and label not in table.columns:
        usual = [column for word in LABEL_COLUMNS for column in candidates if plain_name(column) == word]
        only = candidates if len(table.columns) == 2 else [column for column in candidates if " | " in column]
        label = next(iter((*usual, *only)), "")
    return Fit(table, image_column, label if label in table.columns else None, matched, candidates)


def choose_tables(fits: Sequence[Fit]) -> list[Fit]:
    """The table that is read, or several of the same columns, each of one part (``train.csv``, ``test.csv``)."""
    ranked = sorted((fit for fit in fits if fit.label_column), key=lambda fit: (-fit.matched, fit.table.path))
    if not ranked:
        return []
    first = ranked[0]
    same = [fit for fit in ranked if (fit.image_column, fit.label_column) == (first.image_column, first.label_column)]
    named = {part: fit for fit in reversed(same) if (part := part_of(fit.table)) is not Part.UNUSED}
    return [named[part] for part in sorted(named)] if len(named) > 1 and Part.TRAIN in named else [first]


def list_table(
    fits: Sequence[Fit], index: Index, options: PathOptions, masks: MaskFinder, unreadable: Mapping[str, str]
) -> Listing:
    """The images of a table, or of one table for each part. Rows whose image is missing or whose label is empty are left out.

    Args:
        fits: of `choose_tables`; all have a label column.
        unreadable: name -> why a file with the suffix of a picture is none that can be read.

    Raises:
        DataError: for an unknown word in the split column, two labels for one image, fewer than two classes, or no image.
    """
    pictures = [name for name in index.files if is_image(name) and not masks.is_mask(name)]
    look_up = Lookup(pictures)
    names = enumerated([fit.table.name for fit in fits])
    image_column, label_column = fits[0].image_column, str(fits[0].label_column)
    skipped: list[Skip] = []
    images: dict[str, tuple[int, str, Part]] = {}
    named: set[str] = set()
    for fit in fits:
        table, label_at = fit.table, fit.table.column(label_column)
        by_column = split_column(table, options)
        split_at = table.column(by_column) if by_column else None
        part_of_all = part_of(table) if len(fits) > 1 else None
        for (line, fields), text in zip(table.rows, table.values(image_column), strict=True):
            label = fields[label_at]
            part = Part.TRAIN if part_of_all is None else part_of_all
            if split_at is not None and part_of_all is None:
                part = _part(fields[split_at], f"{table.name} line {line}: {by_column}")
            try:
                name = look_up(text)
            except LookupError as error:
                skipped.append(Skip(f"{text or 'blank'} (line {line})", error.args[0]))
                continue
            named.add(name)
            if not label:
                skipped.append(Skip(f"{text} (line {line})", "no label"))
            elif name in unreadable:
                skipped.append(Skip(name, unreadable[name]))
            elif name not in images:
                images[name] = (line, label, part)
            elif images[name][1:] == (label, part):
                skipped.append(Skip(f"{text} (line {line})", "listed a second time"))
            else:
                lines = f"lines {images[name][0]} and {line}"
                raise DataError(f"{names} {lines} name {text} with two labels or splits")
    if not images:
        first = f"; first: {skipped[0]}" if skipped else ""
        raise DataError(f"none of the {len(fits[0].table.rows)} rows of {names} names an existing image{first}")
    labels = sorted({label for _, label, _ in images.values()}, key=natural)
    if len(labels) < 2:
        raise DataError(f"column {label_column!r} of {names} has only one label, {labels[0]!r}")
    if len(labels) > max(100, len(images) // 2):
        raise DataError(f"column {label_column!r} of {names} has {len(labels)} different values; is it the label column?")
    number = {label: i for i, label in enumerate(labels)}
    items = tuple(Item(name, number[label], part, masks.of(name)) for name, (_, label, part) in images.items())
    origins = {}
    choices: list[Choice] = []
    drawn_anew = Choice("The parts are drawn at random, whatever the table or the folders say", {"split_column": ""})
    if len(fits) > 1:
        origins = {part_of(fit.table): f"table {fit.table.name}" for fit in fits}
    elif by_column:
        origins = dict.fromkeys({item.part for item in items}, f"column {by_column} of {names}")
        choices.append(drawn_anew)
    elif by_folder := _parts_by_folder(items) if "split_column" not in options.model_fields_set else None:
        items, origins = by_folder
        choices.append(drawn_anew)
    if origins and Part.TEST not in origins and Part.VALIDATION in origins:
        items = tuple(replace(i, part=Part.TEST) if i.part is Part.VALIDATION else i for i in items)
        origins[Part.TEST] = origins.pop(Part.VALIDATION)
    skipped += [Skip(name, f"in no row of {names}") for name in pictures if name not in named]
    sentence = f"{names} names the pictures (column {image_column}) and their classes (column {label_column})."
    if look_up.without_suffix:
        sentence += f" {counted(look_up.without_suffix, 'name')} in the table were matched without their suffix."
    return Listing(
        items=items,
        class_names=name_classes(labels, options),
        sentence=sentence.replace(" names the", " name the", 1) if len(fits) > 1 else sentence,
        layout="table",
        origins=origins,
        skipped=tuple(skipped),
        choices=(*choices, *label_choices(fits[0])) if "label_column" not in options.model_fields_set else tuple(choices),
    )


def label_choices(fit: Fit) -> list[Choice]:
    """The other columns of a table that could hold the classes."""
    wanted = [column for column in fit.candidates if column != fit.label_column][:MOST_OFFERED]
    where = {} if not fit.table.path else {"csv_file": fit.table.name}
    return [
        Choice(
            f"The column {column} of {fit.table.name} names the classes",
            {"layout": "table", "label_column": column, **where},
        )
        for column in wanted
    ]


def draw_test(listing: Listing, options: PathOptions) -> Listing:
    """Adds a stratified test split by ``test_share`` and ``test_seed`` if the table has none. It comes after balancing, as in
    the article.

    Raises:
        DataError: when the images are too few.
    """
    if any(item.part is Part.TEST for item in listing.items):
        return listing
    rows = np.array([row for row, item in enumerate(listing.items) if item.part is Part.TRAIN])
    labels = np.array([listing.items[row].label for row in rows])
    test_rows = set(rows[hold_out_stratified(labels, options.test_share, options.test_seed, listing.class_names)].tolist())
    items = tuple(replace(item, part=Part.TEST) if row in test_rows else item for row, item in enumerate(listing.items))
    drawn = f"drawn: {options.test_share:.0%} of each class (seed {options.test_seed})"
    return replace(listing, items=items, origins=listing.origins | {Part.TEST: drawn})


def part_of(table: Table) -> Part:
    """The part that the name of a table means; UNUSED when it means none."""
    found = part_name(table.name.rpartition(".")[0])
    return found.part if found else Part.UNUSED


def _finder(look_up: Lookup) -> Callable[[str], bool]:
    def found(text: str) -> bool:
        try:
            return bool(text) and bool(look_up(text))
        except LookupError:
            return False

    return found


def _has_header(table: Table, finds: Callable[[str], bool]) -> bool:
    """Whether the first line of a table names its columns; it does not when it names one more picture."""
    if {plain_name(column) for column in table.columns} & {*IMAGE_COLUMNS, *LABEL_COLUMNS}:
        return True
    for column in filter(finds, table.columns):
        values = table.values(column)
        if column not in values and sum(map(finds, values[:SAMPLE_ROWS])) >= LEAST_NAMED * len(values[:SAMPLE_ROWS]):
            return False
    return True


def _label_candidates(table: Table, image_column: str) -> tuple[str, ...]:
    """Columns with at least two values, each of them in more than one row on average; those with few values first."""
    distinct = {column: len(set(table.values(column)) - {""}) for column in table.columns if column != image_column}
    fitting = [column for column, count in distinct.items() if 2 <= count <= max(2, len(table.rows) // 2)]
    return tuple(sorted(fitting, key=lambda column: (plain_name(column) not in LABEL_COLUMNS, distinct[column])))


def split_column(table: Table, options: PathOptions) -> str | None:
    """The column that says which part a row belongs to: the one that is asked for, or one that holds only such words."""
    if "split_column" in options.model_fields_set:
        return options.split_column or None
    if options.split_column in table.columns:
        return options.split_column
    for column in table.columns:
        parts = {PART_WORDS.get(value.lower()) for value in set(table.values(column))}
        if None not in parts and Part.TRAIN in parts and len(parts) > 1:
            return column
    return None


def _part(word: str, where: str) -> Part:
    part = PART_WORDS.get(word.lower())
    if part is None:
        known = ", ".join(PART_WORDS)
        raise DataError(f"{where} is {word!r}; known: {known}; to split at random instead, choose split_column= (none)")
    return part


def _parts_by_folder(items: Sequence[Item]) -> tuple[tuple[Item, ...], dict[Part, str]] | None:
    """The items with the part that a folder above each of them names; `None` unless all lie in one, for training or testing."""
    sorted_items = []
    folders: dict[Part, Counter[str]] = defaultdict(Counter)
    for item in items:
        found = [(part, folder) for folder in item.image.split("/")[:-1] if (part := part_name(folder))]
        if not found or found[-1][0].part is Part.UNUSED:
            return None
        part, folder = found[-1]
        folders[part.part][folder] += 1
        sorted_items.append(replace(item, part=part.part))
    if not {Part.TRAIN} < set(folders):
        return None
    return tuple(sorted_items), {part: f"folder {enumerated(sorted(names))}" for part, names in folders.items()}


def _best(names: Sequence[str], path: PurePosixPath) -> list[str]:
    """Those of the names that share the most folders with a path, counted from the end."""

    def shared(name: str) -> int:
        pairs = zip(reversed(PurePosixPath(name.casefold()).parts[:-1]), reversed(path.parts[:-1]), strict=False)
        count = 0
        for own, other in pairs:
            if own != other:
                break
            count += 1
        return count

    most = max(map(shared, names))
    return [name for name in names if shared(name) == most]
