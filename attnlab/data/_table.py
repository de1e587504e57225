"""CSV tables as text, the way spreadsheets, pandas and Kaggle write them.

All values are text: ``00123`` keeps its zeros and ``NA`` is a label. A row that does not match the header is an error that
names its line, since a shifted row would give images wrong labels.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from posixpath import basename
from unicodedata import normalize

from attnlab.data._dataset import DataError
from attnlab.data._source import Index, Skip, Source
from attnlab.data.decode import ImageRefused

SUFFIXES = (".csv", ".tsv")
MAX_TABLE_BYTES = 50_000_000
MAX_ROWS = 1_000_000
MAX_COLUMNS = 200
MAX_FIELD = 4096
MOST_TABLES = 20
"""As many tables are looked at, those nearest to the top first."""


@dataclass(frozen=True)
class Table:
    """A CSV file as text.

    Attributes:
        name: file name.
        columns: the header.
        rows: (line number, fields), with one field per column.
        path: in the source.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    path: str = ""

    def column(self, name: str) -> int:
        """The index of a column.

        Raises:
            DataError: when there is no such column; the message lists the columns.
        """
        if name not in self.columns:
            raise DataError(f"{self.name} has no column {name!r}; its columns: {', '.join(self.columns)}")
        return self.columns.index(name)

    def without_header(self) -> Table:
        """The table whose first line is no header but the first row; its columns get numbers."""
        columns = tuple(f"no. {at}" for at in range(1, len(self.columns) + 1))
        return Table(self.name, columns, ((1, self.columns), *self.rows), self.path)

    def values(self, column: str) -> list[str]:
        """One column, from top to bottom."""
        at = self.column(column)
        return [fields[at] for _, fields in self.rows]


ONE, ZERO = frozenset({"1", "1.0", "1,0", "true"}), frozenset({"0", "0.0", "0,0", "false"})


def with_one_hot(table: Table) -> Table:
    """The table with one more column when its classes are columns of 0 and 1, or of false and true, with a single 1 in each
    row, as those of ISIC 2019 are; its values are the names of these columns.
    """
    values = {column: {value.lower() for value in table.values(column)} for column in table.columns}
    binary = [table.column(column) for column, own in values.items() if own <= ONE | ZERO and own & ONE]
    names = [table.columns[at] for at in binary]
    hot = [[name for name, at in zip(names, binary, strict=True) if fields[at].lower() in ONE] for _, fields in table.rows]
    if len(binary) < 2 or any(len(row) != 1 for row in hot):
        return table
    rows = tuple((line, (*fields, row[0])) for (line, fields), row in zip(table.rows, hot, strict=True))
    return Table(table.name, (*table.columns, " | ".join(names)), rows, table.path)


def read_table(content: bytes, name: str, path: str = "") -> Table:
    """Parses a CSV file with a header, as UTF-8 or, if its first bytes say so, UTF-16; the separator is what a first line
    ``sep=;`` says, or the most frequent one of ``, ; | tab`` in the header. Columns without a name are dropped when they are
    empty, and numbered when they are not.

    Raises:
        DataError: for another encoding, two columns of one name, a row with more or fewer fields than the
            header, or a file beyond the limits; the message names the line.
    """
    if len(content) > MAX_TABLE_BYTES:
        raise DataError(f"{name} has {len(content) / 1e6:.0f} MB; at most {MAX_TABLE_BYTES / 1e6:.0f} MB are read")
    try:
        text = content.decode("utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name} is not UTF-8 text (line {line}); save it as 'CSV UTF-8'") from None
    text = normalize("NFC", text)  # as the names of files are, see `attnlab.data._source.Names`
    blank = len(text) - len(text.lstrip("\r\n"))
    text, above = text[blank:], text[:blank].count("\n")
    if "\0" in text:
        raise DataError(f"{name} contains NUL bytes, so it is not text, or UTF-16 that does not say so; save it as 'CSV UTF-8'")
    head, _, rest = text.partition("\n")
    said = head.strip().strip('"')
    if said.lower().startswith("sep=") and len(said) <= 5:  # Excel writes and reads this line
        separator, text, above = said[4:] or "\t", rest, above + 1
    else:
        separator = max(",;\t|", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        header = [field.strip() for field in next(reader, [])]
        if not any(header):
            raise DataError(f"{name} is empty")
        if len(header) > MAX_COLUMNS:
            raise DataError(f"{name} has {len(header)} columns; at most {MAX_COLUMNS} are read")
        rows: list[tuple[int, list[str]]] = []
        least = max(at for at, column in enumerate(header, 1) if column)
        for fields in reader:
            values = [field.strip() for field in fields]
            if not any(values):
                continue
            line = reader.line_num + above
            while len(values) > len(header) and not values[-1]:
                values.pop()
            if not least <= len(values) <= len(header):
                raise DataError(f"{name} line {line} has {len(fields)} fields, the header {len(header)}")
            if max(map(len, values)) > MAX_FIELD:
                raise DataError(f"{name} line {line} has a field of more than {MAX_FIELD} characters")
            rows.append((line, values + [""] * (len(header) - len(values))))
            if len(rows) > MAX_ROWS:
                raise DataError(f"{name} has more than {MAX_ROWS:,} rows")
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num + above} cannot be read as CSV ({error})") from error
    if not rows:
        raise DataError(f"{name} has a header and no rows")
    return _named(name, path, header, rows)


def read_tables(source: Source, index: Index, wanted: str = "") -> tuple[list[Table], list[Skip]]:
    """The CSV files of a source, those nearest to the top first, and those that are no tables.

    Args:
        wanted: file name or path of one table; empty: all.

    Raises:
        DataError: when the table that is wanted cannot be read.
    """
    names = sorted((name for name in index.files if name.lower().endswith(SUFFIXES)), key=lambda name: (name.count("/"), name))
    if wanted:
        names = [name for name in names if wanted in (name, basename(name))][:1]
    content = dict(source.read(names[:MOST_TABLES]))
    tables, skipped = [], [Skip(name, "one of too many tables") for name in names[MOST_TABLES:]]
    for name in names[:MOST_TABLES]:
        data = content[name]
        try:
            if isinstance(data, ImageRefused):
                raise DataError(f"{name}: {data}")
            tables.append(with_one_hot(read_table(data, basename(name), name)))
        except DataError as error:
            if wanted:
                raise
            skipped.append(Skip(name, f"not used as a table: {error}"))
    return tables, skipped


def _named(name: str, path: str, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Table:
    """The table with its columns that have a name or a value.

    Raises:
        DataError: when two columns have one name.
    """
    kept = [at for at, column in enumerate(header) if column or any(values[at] for _, values in rows)]
    columns = [header[at] or f"no. {at + 1}" for at in kept]
    if duplicates := [column for column, count in Counter(columns).items() if count > 1]:
        raise DataError(f"{name} has two columns named {duplicates[0]!r}")
    return Table(name, tuple(columns), tuple((line, tuple(values[at] for at in kept)) for line, values in rows), path)
