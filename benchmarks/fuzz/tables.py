"""CSV files beside a folder of images: encodings, separators, ragged rows, traversals, odd labels and options."""

from __future__ import annotations

import csv
import io
import json
import random
from functools import cache

from pydantic import ValidationError

from attnlab.config import DatasetConfig, explain
from attnlab.data import DataError, list_path, load_dataset, read_path
from benchmarks.fuzz.archives import pictures
from benchmarks.fuzz.judge import Kind, Known, Place, Refused, change_tree, changed, nasty_text

FILES = (*(f"img_{at}.png" for at in range(8)), "00123.png", "NA.png", "x y.png", "ä.png")
_LABELS = ("0", "1", "benign", "NA", "nan", "null", "", "1.0", "TRUE", "=1+1", "01", " a ", "a|b", "ä", "💥")
OPTIONS = {
    "layout": "table",
    "image_column": "image_id",
    "label_column": "target",
    "split_column": "split",
    "csv_file": "labels.csv",
    "test_share": 0.2,
    "test_seed": 1234,
    "balance": "equal",
    "balance_seed": 42,
    "class_names": {"0": "benign"},
    "masks": "masks",
    "grey": False,
    "fit": "crop",
    "normalisation": "measured",
}


def packed(table: bytes, options: dict[str, object] | None = None) -> bytes:
    """An input: the options of the data set in the first line, then the table."""
    return json.dumps(options or {}).encode() + b"\n" + table


def rows(*fields: str) -> bytes:
    return ("\n".join(fields) + "\n").encode()


@cache
def known() -> dict[str, Known]:
    """Tables that other readers misread or choke on."""
    good = [f"{name},{at % 2}" for at, name in enumerate(FILES)]
    plain = rows("image_id,target", *good)
    return {
        "plain": packed(plain),
        "utf-16": packed(plain.decode().encode("utf-16")),
        "utf-16 without a mark": packed(plain.decode().encode("utf-16-le")),
        "latin-1": packed(plain.decode().encode("latin-1")),
        "utf-8 with a mark": packed(plain.decode().encode("utf-8-sig")),
        "half a character": packed(b"image_id,target\n\xed\xa0\x80,1\n"),
        "NUL": packed(b"image_id,target\nimg_0\0.png,1\n"),
        "no header": packed(rows(*good)),
        "a header alone": packed(b"image_id,target\n"),
        "two columns of one name": packed(rows("image_id,target,target", *(f"{row},1" for row in good))),
        "a long row": packed(rows("image_id,target", "img_0.png,1,2", *good)),
        "a short row": packed(rows("image_id,target,split", "img_0.png", *good)),
        "traversals": packed(rows("image_id,target", "../../etc/passwd,1", "/etc/passwd,0", "..\\x,1", "C:\\x,0", *good)),
        "a field of 200,000": packed(rows("image_id,target", f"{'a' * 200_000},1", *good)),
        "an open quote": packed(rows("image_id,target", '"img_0.png,1', *good)),
        "a label of 4,000 digits": packed(
            rows("image_id,target", f"img_0.png,{'9' * 4000}", f"img_1.png,{'8' * 4000}", *good[2:])
        ),
        "a label of 5,000 digits": packed(rows("image_id,target", f"img_0.png,{'9' * 5000}", *good)),
        "200,000 columns": lambda: packed(b"a," * 200_000 + b"\n" + b"1," * 200_000),
        "many short rows": lambda: packed(b"image_id,target\n" + b"a,b\n" * 12_000_000),
        "many short fields": lambda: packed(
            b",".join(b"c%d" % at for at in range(200)) + b"\n" + (b"1," * 199 + b"1\n") * 120_000
        ),
        "old line ends": packed(plain.replace(b"\n", b"\r")),
        "a formula": packed(rows("image_id,target", *(f"{name},{('=1+1', '@x')[at % 2]}" for at, name in enumerate(FILES)))),
        "a seed of 2^40": packed(plain, {"test_seed": 2**40}),
        "a share that is not finite": packed(plain, {"test_share": 1e-320}),
        "a name for no label": packed(plain, {"class_names": {"7": "x", "\u202e": ""}}),
        "one class": packed(rows("image_id,target", *(f"{name},1" for name in FILES))),
        "as many classes as images": packed(rows("image_id,target", *(f"{name},{name}" for name in FILES))),
        "one-hot": packed(rows("image_id,a,b", *(f"{name},{at % 2},{1 - at % 2}" for at, name in enumerate(FILES)))),
        "sep": packed(b"sep=;\n" + plain.replace(b",", b";")),
        "a folder for the masks": packed(plain, {"masks": "../../.."}),
    }


def make(rng: random.Random) -> bytes:
    header = ["image_id", "target", rng.choice(("split", "age", "target", "", nasty_text(rng)))][: rng.choice((1, 2, 2, 3))]
    if rng.random() < 0.3:
        header[rng.randrange(len(header))] = rng.choice(("file", "label", "dx", nasty_text(rng)))
    buffer = io.StringIO()
    separator, end = rng.choice(",,,;\t|"), rng.choice(("\n", "\r\n"))
    dialect = "unix" if rng.random() < 0.5 else "excel"  # with quotes around everything, or where they are needed
    writer = csv.writer(buffer, dialect, delimiter=separator, lineterminator=end)
    if rng.random() < 0.95:
        writer.writerow(header)
    labels = rng.sample(_LABELS, rng.choice((1, 2, 2, 3)))
    for _ in range(rng.choice((0, 2, 12, 30))):
        name = rng.choice(FILES) if rng.random() < 0.9 else nasty_text(rng)
        label = rng.choice(labels) if rng.random() < 0.95 else nasty_text(rng)
        row = [name, label, rng.choice(("train", "test", "val", "", "x"))][: len(header)]
        writer.writerow(row if rng.random() < 0.97 else row * 2)
    encoding = rng.choice(("utf-8",) * 6 + ("utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-16-le", "utf-7"))
    table = buffer.getvalue().encode(encoding, "replace")
    options: dict[str, object] = {}
    if rng.random() < 0.4:
        options = {name: OPTIONS[name] for name in rng.sample(list(OPTIONS), rng.randrange(4))}
        tree = change_tree(options, rng) if rng.random() < 0.6 else options
        options = tree if isinstance(tree, dict) else options
    return packed(changed(table, rng) if rng.random() < 0.4 else table, options)


def give(content: bytes, place: Place) -> None:
    """Reads the table beside twelve images, and loads them. What is read must be byte-exact what the table says."""
    head, _, table = content.partition(b"\n")
    folder = place.work / "data"
    (folder / "images").mkdir(parents=True)
    for at, name in enumerate(FILES):
        (folder / "images" / name).write_bytes(pictures()[at])
    (folder / "labels.csv").write_bytes(table)
    (place.work / "secret.png").write_bytes(pictures()[0])
    options = json.loads(head)
    try:
        config = DatasetConfig(name=str(folder), image_size=8, options=options)
    except ValidationError as error:
        raise Refused(explain(error)) from None
    listing = list_path(folder, options)
    assert all(item.image.removeprefix("images/") in FILES for item in listing.items), "a file outside of the folder"
    if listing.layout == "table" and not options.get("class_names"):
        text = table.decode("utf-16" if table[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
        written = (name.replace('"', '""') in text or "|" in name for name in listing.class_names)
        assert all(written), "a label that the table does not hold"
    read_path(config)
    load_dataset(config)


KIND = Kind("table", known, make, give, (DataError, Refused), share=12, seconds=60.0, megabytes=1000)
