"""Tables of images: text stays text, rows that do not fit are errors with their number, names lead nowhere else."""

import csv
import io
from pathlib import Path
from unicodedata import normalize

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.model_selection import train_test_split

from attnlab.config import DatasetConfig
from attnlab.data import DataError, ImageDataset, load_dataset
from attnlab.data._table import read_table


def picture(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), level).save(buffer, "PNG")
    return buffer.getvalue()


def write(at: Path, table: str | bytes, names: list[str], *, file: str = "marking.csv") -> Path:
    at.mkdir(exist_ok=True)
    (at / file).write_bytes(table if isinstance(table, bytes) else table.encode())
    for i, name in enumerate(names):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        (at / name).write_bytes(picture(i % 256))
    return at


def load(path: Path, **options) -> ImageDataset:
    return load_dataset(DatasetConfig(name=str(path), options=options))


def parts(data: ImageDataset) -> dict[str, set[str]]:
    return {part: set(getattr(data, part).names) for part in ("train", "validation", "test")}


IDS = [f"{i:05d}" for i in range(40)]
TABLE = "image_id,target\n" + "".join(f"{name},{int(i % 4 == 0)}\n" for i, name in enumerate(IDS))


def test_article_defaults(tmp_path: Path) -> None:
    data = load(write(tmp_path / "d", TABLE, [f"images/{name}.png" for name in IDS]))
    assert data.class_names == ("0", "1")
    frame = pd.DataFrame({"id": IDS, "target": [int(i % 4 == 0) for i in range(40)]})
    _, test = train_test_split(frame, test_size=0.2, random_state=1234, stratify=frame.target)
    assert parts(data)["test"] == {f"images/{name}.png" for name in test.id}, "leading zeros kept, split as scikit-learn's"
    assert torch.bincount(data.test.labels).tolist() == [6, 2]


def test_balance_draws_the_same_images_as_the_article(tmp_path: Path) -> None:
    data = load(write(tmp_path / "d", TABLE, [f"{name}.png" for name in IDS]), balance=12)
    frame = pd.DataFrame({"id": IDS, "target": [int(i % 4 == 0) for i in range(40)]})
    kept = {*frame[frame.target == 0].sample(12, random_state=42).id, *frame[frame.target == 1].id}
    assert set.union(*parts(data).values()) == {f"{name}.png" for name in kept}


@pytest.mark.parametrize("ids", ["{}", "{}.png", "images/{}.png", "./images/{}.png"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_names_and_separators(ids: str, separator: str, tmp_path: Path) -> None:
    rows = [separator.join([ids.format(f"im{i}"), "NA" if i % 2 else "nan", "x"]) for i in range(20)]
    table = "\ufeff" + separator.join(["image_id", "target", "age"]) + "\r\n" + "\r\n".join(rows)
    data = load(write(tmp_path / "d", table, [f"images/im{i}.png" for i in range(20)]))
    assert data.class_names == ("NA", "nan"), "text that looks like nothing is a label"
    assert sum(map(len, parts(data).values())) == 20


def test_columns_class_names_and_the_split_are_chosen(tmp_path: Path) -> None:
    table = "file,dx,fold\n" + "".join(
        f"i{i},{'mel' if i % 3 else 'nv'},{('train', 'train', 'val')[i % 3] if i < 24 else 'train'}\n" for i in range(30)
    )
    path = write(tmp_path / "d", table, [f"i{i}.png" for i in range(30)])
    with pytest.raises(DataError, match="no column 'id'; its columns: file, dx, fold"):
        load(path, image_column="id")
    chosen = {"image_column": "file", "label_column": "dx", "class_names": {"mel": "melanoma"}}
    data = load(path, **chosen, split_column="fold")
    assert data.class_names == ("melanoma", "nv")
    assert parts(data)["test"] == {f"i{i}.png" for i in range(24) if i % 3 == 2}
    with pytest.raises(DataError, match="no column 'group'"):
        load(path, **chosen, split_column="group")
    with pytest.raises(DataError, match="class_names names bcc"):
        load(path, image_column="file", label_column="dx", class_names={"bcc": "carcinoma"})


def test_missing_blank_and_outside_rows_are_listed(tmp_path: Path) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(picture(255))
    odd = f"gone,1\n../secret,0\n{outside},0\n..\\secret,1\n00003,\n00001,0\n"
    data = load(write(tmp_path / "d", TABLE.replace("00003,0\n", "") + odd, [f"{name}.png" for name in IDS]))
    skipped = data.provenance.skipped
    assert skipped[0] == "gone (line 41): no such image"
    assert sum("leads out of the folder" in line for line in skipped) == 3
    assert "00003 (line 45): no label" in skipped
    assert "00001 (line 46): listed a second time" in skipped
    assert sum(map(len, parts(data).values())) == 39


@pytest.mark.parametrize(
    ("table", "words"),
    [
        pytest.param("image_id,target\n00001,0\n00002,1,x\n", "line 3 has 3 fields, the header 2", id="long row"),
        pytest.param("image_id,target\n00001,0,x\n00002,1,x\n", "line 2 has 3 fields", id="long from the first row"),
        pytest.param("image_id,target\n00001\n", "line 2 has 1 fields", id="short row"),
        pytest.param("image_id,target,target\n00001,0,1\n", "two columns named 'target'", id="double column"),
        pytest.param("image_id,target\n00001,0\n00001,1\n", "lines 2 and 3 name 00001 with two labels", id="two labels"),
        pytest.param("image_id,target\n00001,0\n00002,0\n", "only one label, '0'", id="one label"),
        pytest.param("image_id,target\nx,0\ny,1\n", r"none of the 2 rows .* first: x \(line 2\): no such image", id="none"),
        pytest.param("image_id,target\n", "a header and no rows", id="no rows"),
        pytest.param("", "is empty", id="empty"),
        pytest.param("image_id,target\n00001,0\n".encode("utf-16-le"), "UTF-16 that does not say so", id="utf-16"),
        pytest.param("image_id,target\n00001,gut\n00002,böse\n".encode("latin-1"), r"not UTF-8 text \(line 3\)", id="latin-1"),
        pytest.param('image_id,target\n"00001,0\n', "cannot be read as CSV", id="open quote"),
        pytest.param("image_id,target,split\n00001,0,train\n00002,1,later\n", "line 3: split is 'later'", id="split word"),
        pytest.param("image_id,target\n" + "x" * 5000 + ",1\n", "more than 4096 characters", id="long field"),
        pytest.param(",".join(map(str, range(300))) + "\n", "has 300 columns", id="wide"),
    ],
)
def test_bad_tables_are_refused_with_the_line(table: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        load(write(tmp_path / "d", table, ["00001.png", "00002.png"]), layout="table")


def test_table_or_class_folders(tmp_path: Path) -> None:
    names = [f"{c}/{c}{i}.png" for c in "ab" for i in range(10)]
    by_folder = load(write(tmp_path / "one", "name,score\nx,1\n", names))
    assert by_folder.class_names == ("a", "b"), "a table without the columns does not hide class folders"
    table = "image_id,target\n" + "".join(f"{c}{i},{i % 2}\n" for c in "ab" for i in range(10))
    path = write(tmp_path / "two", table, names)
    assert load(path).class_names == ("0", "1")
    assert load(path, layout="folders").class_names == ("a", "b")
    (path / "other.csv").write_text(table)
    assert load(path).reading.sentence.startswith("marking.csv names"), "of equals, the first by name"
    assert load(path).reading.choices[0].options == {"layout": "table", "csv_file": "other.csv"}
    assert load(path, csv_file="other.csv").class_names == ("0", "1")


FIELD = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12).filter(
    lambda s: s == s.strip()
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(FIELD.filter(bool), FIELD), min_size=1, max_size=8))
def test_fields_come_back_as_they_were_written(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([("image_id", "target"), *rows])
    table = read_table(written.getvalue().encode(), "t.csv")
    one_way = [tuple(normalize("NFC", field) for field in row) for row in rows]  # a letter may be written as two characters
    assert [tuple(fields) for _, fields in table.rows] == one_way


@pytest.mark.slow
@pytest.mark.data
def test_dermoscopy(shared_data: Path) -> None:
    config = DatasetConfig(name=str(shared_data / "dermoscopy.zip"), image_size=32)
    data = load_dataset(config)
    summary = data.summary()
    assert data.class_names == ("0", "1")
    assert summary["counts"]["test"] == [120, 30], "the official validation images are the test"
    assert sum(summary["counts"]["train"]) + sum(summary["counts"]["validation"]) == 1350
    assert data.provenance.skipped == ()
    assert data.train.masks is not None
    assert data.train.masks.flatten(1).any(1).float().mean() > 0.99
    inside = (data.train.images.float().mean(1) * data.train.masks).sum() / data.train.masks.sum()
    outside = (data.train.images.float().mean(1) * ~data.train.masks).sum() / (~data.train.masks).sum()
    assert outside - inside > 20, "lesions are darker than the skin around them"
    balanced = load_dataset(config.model_copy(update={"options": {"balance": 500, "class_names": {"1": "melanoma"}}}))
    assert balanced.class_names == ("0", "melanoma")
    assert len(balanced.train) + len(balanced.validation) == 374 + 500
