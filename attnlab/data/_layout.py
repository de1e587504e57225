"""Decides how a source is read: by a table or by folders, and what else a person may choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from posixpath import basename, splitext

from attnlab.data._dataset import DataError
from attnlab.data._kinds import unreadable
from attnlab.data._listing import Listing, PathOptions, balance, is_image
from attnlab.data._masks import MaskFinder
from attnlab.data._source import Index, Skip, Source
from attnlab.data._table import SUFFIXES, Table, read_tables
from attnlab.data._words import LABEL_COLUMNS, words
from attnlab.data.csv_images import Fit, choose_tables, copies, draw_test, fit_table, label_choices, list_table
from attnlab.data.folder import list_class_folders
from attnlab.data.reading import Choice, counted, enumerated

OTHER_TABLES = frozenset({".xlsx", ".xls", ".ods", ".parquet", ".json", ".jsonl", ".xml", ".pkl", ".feather"})
"""Files in which people keep classes, too, and which are not read."""


@dataclass(frozen=True)
class _Tables:
    """The tables of a source.

    Attributes:
        tables: all that can be read. fits: those that name the pictures. chosen: those that are read.
        ignored: files that are not used as tables, and why.
    """

    tables: list[Table]
    fits: list[Fit]
    chosen: list[Fit]
    ignored: list[Skip]

    def guessed(self, options: PathOptions) -> bool:
        """Whether the table that is read was neither asked for nor has it the columns that the options name."""
        named = {options.image_column, options.label_column} <= set(self.chosen[0].table.columns)
        return not (named or options.layout == "table" or options.csv_file)

    def choices(self) -> list[Choice]:
        """Every other way to read one of the tables."""
        used = {fit.table.path for fit in self.chosen}
        rest = [fit for fit in self.fits if fit.table.path not in used]
        whole = [
            Choice(
                f"{fit.table.name} names the pictures and their classes (column {fit.label_column})",
                {"layout": "table", "csv_file": fit.table.name},
            )
            for fit in rest
            if fit.label_column
        ]
        return [*whole, *(choice for fit in rest if not fit.label_column for choice in label_choices(fit))]


def list_source(source: Source, index: Index, options: PathOptions) -> Listing:
    """The images of a folder or archive.

    A table that names the pictures and has a column of classes comes first, then folders; ``layout`` and ``csv_file`` decide
    otherwise.

    Raises:
        DataError: when the source cannot be read in the way that is asked for, or in any way; it carries the choices.
    """
    images = [name for name in index.files if is_image(name)]
    damaged = {name: why for name, head in source.heads(images).items() if (why := unreadable(head))}
    sure = "masks" in options.model_fields_set
    by_table = MaskFinder(images, options.masks, sure=sure, by_table=True)
    by_folder = MaskFinder(images, options.masks, sure=sure)
    pictures = [name for name in images if not by_table.is_mask(name)]
    twice = copies(source, pictures) if any(name.lower().endswith(SUFFIXES) for name in index.files) else {}
    tables = _look_at_tables(source, index, options, [name for name in pictures if name not in twice])
    folders: Listing | DataError
    try:
        folders = list_class_folders(index, options, by_folder, damaged)
        folder_choices = [folders.as_choice(), *folders.choices]
    except DataError as error:
        folders = error
        folder_choices = list(error.choices)
        if by_folder.folders:
            folder_choices.append(_no_masks(by_folder))

    if tables.chosen:
        try:
            once = replace(index, files=tuple(name for name in index.files if name not in twice))
            listing = list_table(tables.chosen, once, options, by_table, damaged)
        except DataError as error:
            raise DataError(str(error), choices=[*folder_choices, *tables.choices()]) from error
        if isinstance(folders, Listing) and tables.guessed(options) and _say_the_same(folders, listing):
            other = Choice(listing.as_choice().label, {"layout": "table"})
            folders = replace(folders, choices=(*folders.choices, other, *tables.choices()))
            return _finish(index, folders, by_folder, damaged, options)
        choices = [*tables.choices(), *folder_choices, *listing.choices]
        again = [Skip(name, f"the same as the picture of this name in {folder or '.'}/") for name, folder in twice.items()]
        listing = replace(listing, choices=tuple(choices), skipped=(*listing.skipped, *again, *tables.ignored))
        return draw_test(_finish(index, listing, by_table, damaged, options), options)
    wants_table = options.layout == "table" or bool(options.csv_file)
    if options.layout in ("auto", "table") and (wants_table or isinstance(folders, DataError)):
        trouble = _no_table(tables, source, options)
        if isinstance(folders, DataError) and not (wants_table or tables.fits):
            trouble = (
                f"{folders}; {trouble}"
                if tables.tables or tables.ignored
                else f"{folders}{_table_above(source)}{_other_tables(index)}"
            )
        raise DataError(trouble, choices=[*tables.choices(), *folder_choices])
    if isinstance(folders, DataError):
        raise DataError(str(folders), choices=[*folder_choices, *tables.choices()])
    listing = replace(folders, choices=(*folders.choices, *tables.choices()), skipped=(*folders.skipped, *tables.ignored))
    return _finish(index, listing, by_folder, damaged, options)


def _say_the_same(folders: Listing, table: Listing) -> bool:
    """Whether the folders use as many pictures as the table and put them into the same classes, by whatever names."""
    by_folder = {item.image: item.label for item in folders.items}
    pairs = {(by_folder.get(item.image), item.label) for item in table.items}
    return len(folders.items) >= len(table.items) and len(pairs) == len(folders.class_names) == len(table.class_names)


def _look_at_tables(source: Source, index: Index, options: PathOptions, pictures: Sequence[str]) -> _Tables:
    """The tables of a source, and which of them is read by these options."""
    by_folders = options.layout not in ("auto", "table")
    tables, ignored = read_tables(source, index, "" if by_folders else options.csv_file)
    if options.csv_file and not by_folders and not tables:
        raise DataError(f"there is no {options.csv_file} in {source.path}")
    fits = [fit for table in tables if (fit := fit_table(table, pictures, options))]
    chosen = [] if by_folders else choose_tables(fits)
    named, used = {fit.table.path for fit in fits}, {fit.table.path for fit in chosen}
    for table in tables:
        if table.path not in named:
            ignored.append(Skip(table.path, "a table that does not name the pictures"))
        elif table.path not in used:
            ignored.append(Skip(table.path, "a table that is not used"))
    return _Tables(tables, fits, chosen, ignored)


def _finish(index: Index, listing: Listing, masks: MaskFinder, damaged: Mapping[str, str], options: PathOptions) -> Listing:
    """Adds what every layout has in common: masks, files that cannot be read, balancing."""
    told = {name for name, _ in listing.skipped}
    skipped = [*index.skipped, *(Skip(name, why) for name, why in damaged.items() if name not in told), *listing.skipped]
    used = sum(item.mask is not None for item in listing.items)
    sentence, choices = listing.sentence, list(listing.choices)
    if used:
        sentence += f" {counted(used, 'mask')} {'was' if used == 1 else 'were'} found {' and '.join(_places(masks))}."
        if listing.layout != "table":  # whose rows name one picture each
            choices.append(_no_masks(masks))
    elif masks.folders:
        skipped += [Skip(f"{folder}/", "a folder of masks of no picture that is used") for folder in masks.folders]
    skipped += masks.further
    denied: dict[str, list[str]] = {}
    for folder in masks.denied if listing.layout != "table" else ():
        denied.setdefault(basename(folder), []).append(folder)
    choices += [
        Choice(f"The files in {_folders(folders)} are masks of the others", {"masks": name}) for name, folders in denied.items()
    ]
    choices += index.choices
    listing = replace(listing, sentence=sentence, skipped=tuple(skipped), choices=tuple(choices))
    return balance(replace(listing, warnings=(*index.warnings, *listing.warnings)), options)


def _places(masks: MaskFinder) -> list[str]:
    """Where masks lie."""
    return [
        *([f"in {_folders(masks.folders)}"] if masks.folders else ()),
        *(["beside their pictures"] if masks.beside else ()),
    ]


def _no_masks(masks: MaskFinder) -> Choice:
    return Choice(f"The files {_places(masks)[0]} are no masks, but pictures like the others", {"masks": ""})


def _folders(names: Sequence[str]) -> str:
    return f"the folder{'s' if len(names) > 1 else ''} {enumerated(names)}"


def _table_above(source: Source) -> str:
    """A hint for a person who has chosen the folder of the pictures instead of the one with the table."""
    above = [file.name for file in sorted(source.path.resolve().parent.glob("*.csv"))] if source.path.is_dir() else []
    return f"; {enumerated(above)} lies beside this folder: choose the folder above to use it" if above else ""


def _other_tables(index: Index) -> str:
    """A hint where the classes may stand in a file that is not read."""
    found = sorted(
        name
        for name in index.files
        if (ending := splitext(name.lower())[1]) in OTHER_TABLES or (ending == ".txt" and set(words(name)) & {*LABEL_COLUMNS})
    )
    return f"; if {enumerated(found, 3)} says which class each picture shows, save it as a CSV table" if found else ""


def _no_table(tables: _Tables, source: Source, options: PathOptions) -> str:
    """Why no table can be read, with what to choose."""
    if not tables.tables:
        return str(tables.ignored[0]) if tables.ignored else f"there is no CSV file in {source.path}"
    if tables.fits:
        fit = tables.fits[0]
        if "label_column" in options.model_fields_set:
            return f"{fit.table.name} has no column {options.label_column!r}; its columns: {', '.join(fit.table.columns)}"
        return (
            f"{fit.table.name} names the pictures (column {fit.image_column}), but it is not clear which column holds the "
            f"classes; choose label_column; its columns: {', '.join(fit.table.columns)}"
        )
    table = tables.tables[0]
    for option in ("image_column", "label_column"):
        wanted = getattr(options, option)
        if option in options.model_fields_set and wanted not in table.columns:
            return f"{table.name} has no column {wanted!r}; its columns: {', '.join(table.columns)}"
    return f"no column of {table.name} names the pictures; its columns: {', '.join(table.columns)}"
