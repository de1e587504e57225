"""How people lay out their pictures, and what is made of it: files in, classes, parts and sentences out."""

import io
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnlab.config import DatasetConfig
from attnlab.data import DataError, Reading, load_dataset, read_path, tables_at
from attnlab.data._dataset import Part
from attnlab.data._decoded import DecodedImages
from attnlab.data._listing import Item
from attnlab.data._open_source import open_source
from tests.data.packing import Tree, as_folder, as_zip


def picture(level: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (level % 256, 90, 30)).save(buffer, kind)
    return buffer.getvalue()


def classes(at: str, names: str | Iterable[str], images: int = 10, ending: str = "png") -> Tree:
    """``at/name/im0.png`` and so on; ``at`` may hold {c}, the name of the class."""
    place = at if "{c}" in at else f"{at}/{{c}}".strip("/")
    names = names.split() if isinstance(names, str) else names
    return {f"{place.format(c=c)}/im{i}.{ending}": picture(40 * k + i) for k, c in enumerate(names) for i in range(images)}


def flat(at: str, count: int = 5, start: int = 0) -> Tree:
    return {f"{at}/{i:04d}.jpg".lstrip("/"): picture(i, "JPEG") for i in range(start, start + count)}


def as_tar(tree: Tree, at: Path) -> Path:
    with tarfile.open(at / "data.tar", "w") as archive:
        for name, content in tree.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return at / "data.tar"


def read(path: Path, **options: object) -> Reading:
    return read_path(DatasetConfig(name=str(path), options=options))


def sums(reading: Reading) -> tuple[int, ...]:
    return tuple(sum(part.counts) for part in reading.parts)


def reasons(reading: Reading) -> str:
    return "\n".join(map(str, reading.left_out))


IN = {"folder": as_folder, "zip": as_zip, "tar": as_tar}

LAYOUTS = [
    pytest.param(
        classes("seg_train/seg_train", "a b") | classes("seg_test/seg_test", "a b", 4) | flat("seg_pred/seg_pred"),
        "a b", (18, 2, 8), "seg_pred", id="Intel scenes: doubled folders, and a part to predict",
    ),
    pytest.param(classes("training_set/training_set", "cats dogs") | classes("test_set/test_set", "cats dogs", 4),
                 "cats dogs", (18, 2, 8), "", id="cats and dogs"),
    pytest.param(classes("Train", "a b") | classes("Validation", "a b", 3) | classes("Test", "a b", 4),
                 "a b", (20, 6, 8), "", id="capitals"),
    pytest.param(classes("train", "a b") | classes("dev", "a b", 3) | classes("eval", "a b", 4),
                 "a b", (20, 6, 8), "", id="dev and eval"),
    pytest.param(classes("chest_train", "a b") | classes("chest_test", "a b", 4), "a b", (18, 2, 8), "", id="a prefix"),
    pytest.param(classes("train_images", "a b") | classes("images_test", "a b", 4), "a b", (18, 2, 8), "", id="suffix, prefix"),
    pytest.param(classes("TrainData", "a b") | classes("ValidData", "a b", 3) | classes("TestData", "a b", 4),
                 "a b", (20, 6, 8), "", id="camel case"),
    pytest.param(classes("trainset", "a b") | classes("testset", "a b", 4), "a b", (18, 2, 8), "", id="in one word"),
    pytest.param(classes("train2017", "a b") | classes("val2017", "a b", 4), "a b", (18, 2, 8), "", id="years"),
    pytest.param(classes("ISIC_Training_Input", "a b") | classes("ISIC_Test_Input", "a b", 4),
                 "a b", (18, 2, 8), "", id="ISIC"),
    pytest.param(classes("train", "n01440764 n01443537") | classes("val", "n01440764 n01443537", 4),
                 "n01440764 n01443537", (18, 2, 8), "", id="ImageNet"),
    pytest.param(classes("tr", "a b") | classes("va", "a b", 3) | classes("te", "a b", 4), "a b", (20, 6, 8), "",
                 id="two letters"),
    pytest.param(classes("cells", "a b") | classes("cells/cells", "a b"), "a b", (14, 2, 4), "cells/cells/",
                 id="a copy inside"),
    pytest.param(classes("seg_train", "a b") | classes("seg_train/seg_train", "a b") | classes("seg_test", "a b", 4),
                 "a b", (18, 2, 8), "seg_train/seg_train/", id="a copy inside a part"),
    pytest.param(classes("train", "cat dog") | classes("test", "cats dogs"), "cat dog", (14, 2, 4), "named otherwise",
                 id="other names in the test folder"),
    pytest.param(classes("chest/chest/train", "a b") | classes("chest/chest/test", "a b", 4) | {"chest/readme.txt": b"x"},
                 "a b", (18, 2, 8), "", id="wrapped twice"),
    pytest.param(classes("pictures/dataset", "a b") | flat("", 1), "a b", (14, 2, 4), "0000.jpg", id="a picture at the top"),
    pytest.param(classes("one/two/three/four", "a b"), "a b", (14, 2, 4), "", id="four wrappers"),
    pytest.param(classes("{c}/train", "a b") | classes("{c}/test", "a b", 4), "a b", (18, 2, 8), "", id="parts in classes"),
    pytest.param(classes("train", "a b") | flat("test"), "a b", (14, 2, 4), "test/", id="a flat test folder"),
    pytest.param(classes("train", "a b") | flat("test/test"), "a b", (14, 2, 4), "test/", id="a doubled flat test folder"),
    pytest.param(classes("train", "a b") | flat("test/unknown"), "a b", (14, 2, 4), "test/", id="an unknown test folder"),
    pytest.param(classes("train", "a b") | classes("valid", "a b", 3) | flat("test"), "a b", (18, 2, 6), "test/", id="valid"),
    pytest.param(classes("train", "a b") | classes("test", "a b c", 4), "a b", (18, 2, 8), "test/c/", id="an unknown class"),
    pytest.param(classes("train", "a b") | classes("test", "a b", 4) | classes("extra", "a b"), "a b", (18, 2, 8), "extra/",
                 id="a folder that is no part"),
    pytest.param(classes("TRAIN", "a b") | classes("TEST", "a b", 4) | classes("TEST_SIMPLE", "a b", 2), "a b", (18, 2, 8),
                 "TEST_SIMPLE/, because TEST is that part", id="a second folder for testing"),
    pytest.param(classes("train", ["Ka\u0308se", "b"]) | classes("test", ["K\u00e4se", "b"], 4), "K\u00e4se b", (18, 2, 8), "",
                 id="an accent as a Mac writes it"),
    pytest.param(classes("", "gloves hats masks"), "gloves hats masks", (22, 2, 6), "", id="a class of masks"),
    pytest.param(classes("", "masks no_masks"), "masks no_masks", (14, 2, 4), "", id="masks and no masks"),
    pytest.param(classes("", "mask masks no_mask"), "mask masks no_mask", (22, 2, 6), "", id="three words with mask"),
    pytest.param(classes("{c}/indoor", "masks no_masks") | classes("{c}/outdoor", "masks no_masks"),
                 "masks no_masks", (29, 3, 8), "", id="masks with the same folders inside"),
    pytest.param(classes("train", "hats masks") | classes("test", "hats masks", 4), "hats masks", (18, 2, 8), "",
                 id="a class of masks in parts"),
    pytest.param(classes("", "bus car train"), "bus car train", (22, 2, 6), "", id="a train among vehicles"),
    pytest.param(classes("{c}/side", "bus car train"), "bus car train", (22, 2, 6), "", id="vehicles with folders inside"),
    pytest.param(classes("train", "bus car train") | classes("test", "bus car train", 4),
                 "bus car train", (27, 3, 12), "", id="vehicles in parts"),
    pytest.param(classes("", "control test"), "control test", (14, 2, 4), "", id="a test group"),
    pytest.param(classes("", "valid invalid"), "invalid valid", (14, 2, 4), "", id="valid and invalid"),
    pytest.param(classes("", "train_station test_tube"), "test_tube train_station", (14, 2, 4), "", id="train station"),
    pytest.param(classes("", "steam_train toy_train plane"), "plane steam_train toy_train", (22, 2, 6), "", id="two trains"),
    pytest.param(classes("", "a b") | {"notes.csv": b"file,size\nx,1\ny\n"},
                 "a b", (14, 2, 4), "notes.csv", id="a stray table"),
    pytest.param(classes("", "a b") | {"docs/manual.txt": b"x"}, "a b", (14, 2, 4), "", id="a folder without pictures"),
    pytest.param(classes("", "a b", ending="tif"), "a b", (14, 2, 4), "", id="tif"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "names", "counts", "left_out"), LAYOUTS)
def test_layouts_of_folders(tree: Tree, names: str, counts: tuple[int, int, int], left_out: str, tmp_path: Path) -> None:
    reading = read(as_folder(tree, tmp_path))
    assert reading.class_names == tuple(names.split())
    assert sums(reading) == counts
    assert left_out in reasons(reading)
    assert bool(left_out) == bool(reading.left_out), "everything is told that is left out, and nothing else is"
    assert all(min(reading.parts[at].counts) > 0 for at in (0, 2)), "every class is trained on and tested"


@pytest.mark.parametrize("form", ["zip", "tar"])
@pytest.mark.parametrize(("tree", "names", "counts", "left_out"), LAYOUTS[:1] + LAYOUTS[-16:-14])
def test_archives_are_read_like_folders(
    form: str, tree: Tree, names: str, counts: tuple[int, int, int], left_out: str, tmp_path: Path
) -> None:
    as_folder(tree, tmp_path)
    assert read(IN[form](tree, tmp_path)) == read(tmp_path / "data")


def test_what_is_read_is_what_is_trained_on(tmp_path: Path) -> None:
    path = as_folder(classes("seg_train/seg_train", "a b") | classes("seg_test/seg_test", "a b", 4), tmp_path)
    data = load_dataset(DatasetConfig(name=str(path)))
    assert data.reading == read(path)
    assert data.summary()["reading"]["parts"][2] == {
        "part": "test", "origin": "folder seg_test/seg_test", "counts": {"a": 4, "b": 4}
    }  # fmt: skip


def ham(names: str = "x{i}", dx: str = "nv mel") -> Tree:
    rows = "".join(f"HAM_{i},{names.format(i=i)},{dx.split()[i % 2]},{40 + i % 3}\n" for i in range(20))
    return {f"HAM10000_images_part_{1 + i // 10}/x{i}.jpg": picture(i, "JPEG") for i in range(20)} | {
        "HAM10000_metadata.csv": f"lesion_id,image_id,dx,age\n{rows}".encode()
    }


def siim() -> Tree:
    rows = "".join(f"ISIC_{i},IP_{i % 7},male,{'benign' if i % 2 else 'malignant'},{1 - i % 2}\n" for i in range(20))
    test = "".join(f"ISIC_{i},IP_{i},male\n" for i in range(20, 26))
    return {f"train/ISIC_{i}.jpg": picture(i, "JPEG") for i in range(20)} | {
        **{f"test/ISIC_{i}.jpg": picture(i, "JPEG") for i in range(20, 26)},
        "train.csv": f"image_name,patient_id,sex,benign_malignant,target\n{rows}".encode(),
        "test.csv": f"image_name,patient_id,sex\n{test}".encode(),
    }


def listed(csv: str, names: Iterable[str] = (), at: str = "labels.csv", count: int = 20) -> Tree:
    names = list(names) or [f"images/x{i}.jpg" for i in range(count)]
    return {name: picture(i, "JPEG") for i, name in enumerate(names)} | {at: csv.encode()}


def rows(row: str, header: str = "image_id,target\n", count: int = 20) -> str:
    return header + "".join(
        row.format(i=i, k=i % 2, j=1 - i % 2, b=i % 2 == 1, nb=i % 2 == 0, k4=int(i % 4 == 0), s="train" if i % 5 else "test")
        for i in range(count)
    )


TABLES = [
    pytest.param(ham(), "mel nv", (14, 2, 4), "", id="HAM10000"),
    pytest.param(ham() | {f"part_2/{name.rpartition('/')[2]}": content for name, content in ham().items() if "jpg" in name},
                 "mel nv", (14, 2, 4), "the same as the picture of this name in HAM10000_images_part_1/", id="unpacked twice"),
    pytest.param(listed(rows("o\u0308{i},{k}\n"), [f"images/\u00f6{i}.jpg" for i in range(20)]), "0 1", (14, 2, 4), "",
                 id="an accent as a Mac writes it"),
    pytest.param(siim(), "0 1", (14, 2, 4), "test", id="SIIM-ISIC"),
    pytest.param(listed(rows("x{i}.jpeg,{k}\n")), "0 1", (14, 2, 4), "", id="another suffix in the table"),
    pytest.param(listed(rows("X{i}.JPG,{k}\n")), "0 1", (14, 2, 4), "", id="capitals in the table"),
    pytest.param(listed(rows("data/images/x{i}.jpg,{k}\n")), "0 1", (14, 2, 4), "", id="folders that are not there"),
    pytest.param(listed("sep=;\n" + rows("x{i};{k}\n", "image_id;target\n")), "0 1", (14, 2, 4), "", id="sep=;"),
    pytest.param(listed(rows("x{i},{k},,\n", "image_id,target,,\n")), "0 1", (14, 2, 4), "", id="trailing commas"),
    pytest.param(listed(rows("x{i},{k},\n")), "0 1", (14, 2, 4), "", id="trailing commas in the rows alone"),
    pytest.param(listed(rows("{i},x{i},{k}\n", ",image_id,target\n")), "0 1", (14, 2, 4), "", id="the index of pandas"),
    pytest.param(listed("\ufeff" + rows("x{i},{k}\n")), "0 1", (14, 2, 4), "", id="a byte order mark"),
    pytest.param(listed(rows("x{i}\t{k}\n", "image_id\ttarget\n"), at="labels.tsv"), "0 1", (14, 2, 4), "", id="tsv"),
    pytest.param(listed(rows("x{i},{k}\n"), at="csv/labels.csv"), "0 1", (14, 2, 4), "", id="in a folder beside"),
    pytest.param(listed(rows("x{i},{k}\n"), [f"a/b/c/x{i}.jpg" for i in range(20)]), "0 1", (14, 2, 4), "", id="above"),
    pytest.param(listed(rows("x{i},{k}\n"), [f"set/images/x{i}.jpg" for i in range(20)], "set/t.csv"), "0 1", (14, 2, 4), "",
                 id="in a wrapper"),
    pytest.param(listed(rows("x{i}.jpg,c{k}\n", "filename,label\n")), "c0 c1", (14, 2, 4), "", id="filename and label"),
    pytest.param(listed(rows("x{i}.jpg,c{k}\n", "a,b\n")), "c0 c1", (14, 2, 4), "", id="two columns of any name"),
    pytest.param(listed(rows("x{i},{k}.0,{j}.0,{i}\n", "image,MEL,NV,age\n")), "MEL NV", (14, 2, 4), "",
                 id="a column for each class"),
    pytest.param(listed(rows("x{i},{b},{nb}\n", "image,MEL,NV\n")), "MEL NV", (14, 2, 4), "", id="true for one class"),
    pytest.param(listed(rows("x{i};{k},0;{j},0\n", "image;MEL;NV\n")), "MEL NV", (14, 2, 4), "", id="decimal commas"),
    pytest.param(listed(rows("/kaggle/input/set/images/x{i}.jpg,{k}\n")), "0 1", (14, 2, 4), "", id="paths of another machine"),
    pytest.param(listed(rows("C:\\set\\x{i}.jpg,{k}\n")), "0 1", (14, 2, 4), "", id="paths of Windows"),
    pytest.param(listed(rows("../images/x{i}.jpg,{k}\n")), "0 1", (14, 2, 4), "", id="paths from another folder"),
    pytest.param(listed(rows("x{i}.jpg,c{k}\n", "")), "c0 c1", (14, 2, 4), "", id="no header"),
    pytest.param(listed("\r\n\n" + rows("x{i},{k}\n")), "0 1", (14, 2, 4), "", id="blank lines above"),
    pytest.param(
        {f"Train/{i % 2}/x{i}.png": picture(i) for i in range(20)} | {f"Test/y{i}.png": picture(i) for i in range(6)}
        | {"Train.csv": "".join(["Path,ClassId\n", *(f"Train/{i % 2}/x{i}.png,{i % 2}\n" for i in range(20))]).encode()}
        | {"Test.csv": "".join(["Path,ClassId\n", *(f"Test/y{i}.png,{i % 2}\n" for i in range(6))]).encode()},
        "0 1", (18, 2, 6), "", id="traffic signs: tables that know more than the folders"),
    pytest.param(listed(rows("x{i},{k},{s}\n", "image,class,set\n")), "0 1", (14, 2, 4), "", id="a column of parts"),
    pytest.param(listed(rows("x{i},{k}\n"), [f"{'train' if i % 5 else 'test'}/x{i}.jpg" for i in range(20)]),
                 "0 1", (14, 2, 4), "", id="parts by folders"),
    pytest.param(listed(rows("x{i},{k}\n", count=16), at="train_labels.csv")
                 | {"test_labels.csv": ("image_id,target\n" + "".join(f"x{i},{i % 2}\n" for i in range(16, 20))).encode()},
                 "0 1", (14, 2, 4), "", id="a table for each part"),
]  # fmt: skip


@pytest.mark.parametrize(("tree", "names", "counts", "left_out"), TABLES)
def test_tables_of_images(tree: Tree, names: str, counts: tuple[int, int, int], left_out: str, tmp_path: Path) -> None:
    reading = read(as_folder(tree, tmp_path))
    assert reading.layout == "table"
    assert reading.class_names == tuple(names.split())
    assert sums(reading) == counts
    assert left_out in reasons(reading)
    assert bool(left_out) == bool(reading.left_out)
    assert load_dataset(DatasetConfig(name=str(tmp_path / "data"))).reading == reading


@pytest.mark.parametrize("header", [",image,label", ",file name,label", "no,photo,label", "age,id,label"])
def test_numbers_are_no_names_of_pictures_where_another_column_has_them(header: str, tmp_path: Path) -> None:
    """The number of a row may be the name of a file too, but of another one."""
    ending = "" if header.startswith("age") else ".jpg"
    table = f"{header}\n" + "".join(f"{i},{19 - i}{ending},{'late' if i > 9 else 'early'}\n" for i in range(20))
    data = load_dataset(DatasetConfig(name=str(as_folder(listed(table, [f"{i}.jpg" for i in range(20)]), tmp_path))))
    named = {
        name: data.class_names[label] for s in (data.train, data.test) for name, label in zip(s.names, s.labels, strict=True)
    }
    assert named == {name: "late" if int(name.removesuffix(".jpg")) < 10 else "early" for name in named}


def test_the_first_line_is_a_row_when_it_names_one_more_picture(tmp_path: Path) -> None:
    reading = read(as_folder(listed(rows("{i},c{k}\n", ""), [f"{i}.jpg" for i in range(20)]), tmp_path))
    assert (sum(sums(reading)), reading.left_out) == (20, ())
    assert tables_at(tmp_path / "data")["labels.csv"].columns == ("no. 1", "no. 2")
    numbered = read(as_folder(listed("0,label\n" + rows("{i},c{k}\n", ""), [f"{i}.jpg" for i in range(20)]), tmp_path))
    assert (sum(sums(numbered)), numbered.class_names) == (20, ("c0", "c1")), "here it is the name that pandas gives a column"


def test_tables_in_the_encoding_of_older_spreadsheets_are_read(tmp_path: Path) -> None:
    tree = listed("", count=20) | {"labels.csv": rows("x{i}\tkäse{k}\n", "image\tlabel\n").encode("utf-16")}
    assert read(as_folder(tree, tmp_path)).class_names == ("käse0", "käse1")


def test_a_suffix_that_differs_is_told(tmp_path: Path) -> None:
    reading = read(as_folder(listed(rows("x{i}.jpeg,{k}\n")), tmp_path))
    assert "20 names in the table were matched without their suffix" in reading.sentence


def test_a_table_that_says_the_same_as_the_folders_is_not_needed(tmp_path: Path) -> None:
    names = "".join(f"{c}/im{i}.png,{k}\n" for k, c in enumerate("ab") for i in range(10))
    tree = classes("train", "a b") | classes("test", "a b", 4) | {"train.csv": f"file,label\n{names}".encode()}
    reading = read(as_folder(tree, tmp_path))
    assert (reading.layout, reading.class_names, sums(reading)) == ("splits", ("a", "b"), (18, 2, 8))
    assert any(choice.options == {"layout": "table"} for choice in reading.choices)


def test_the_table_above_the_chosen_folder_is_pointed_out(tmp_path: Path) -> None:
    path = as_folder(flat("images") | {"labels.csv": b"x"}, tmp_path)
    with pytest.raises(DataError, match=r"labels.csv lies beside this folder"):
        read(path / "images")


def choose(path: Path, words: str, **options: object) -> Reading:
    """Reads the source in another way that is offered, by words of its label."""
    try:
        choices = read(path, **options).choices
    except DataError as error:
        choices = error.choices
    (choice,) = [choice for choice in choices if words in choice.label]
    return read(path, **(options | choice.options))


@pytest.mark.parametrize(
    ("tree", "words", "names"),
    [
        pytest.param(classes("train", "a b") | classes("test", "a b"), "Each folder is a class", "test train", id="parts"),
        pytest.param(ham(), "Each folder is a class", "HAM10000_images_part_1 HAM10000_images_part_2", id="a table"),
        pytest.param(siim(), "column benign_malignant", "benign malignant", id="another column"),
        pytest.param(classes("north", "a b") | classes("south", "a b"), "folders inside", "a b", id="folders inside"),
        pytest.param(flat("train") | flat("test"), "Each folder is a class", "test train", id="flat folders"),
        pytest.param(
            listed(rows("x{i},{k},z\n", "image_id,kind,note\n")), "column kind", "0 1", id="an unusual column of classes"
        ),
        pytest.param(
            classes("", "a b", 12) | {f"masks/{c}/im{i}.png": picture(i) for c in "ab" for i in range(12)},
            "are no masks",
            "a b masks",
            id="masks",
        ),
        pytest.param(
            {f"{c}/{i}.png": picture(i) for c in ("images", "labels") for i in range(12)},
            "are no masks",
            "images labels",
            id="masks of a single class",
        ),
        pytest.param(
            classes("Canis", "lupus dingo") | classes("Felis", "catus"), "folders inside", "catus dingo lupus", id="a tree"
        ),
        pytest.param(classes("train", "a b") | classes("training", "a b"), "Each folder", "train training", id="twice a part"),
        pytest.param(
            classes("", "a b") | {"more.csv": rows("a/im{i}.png,{k},z\nb/im{i}.png,{k},z\n", "name,kind,x\n", 10).encode()},
            "column kind",
            "0 1",
            id="a table beside class folders",
        ),
    ],
)
def test_other_ways_to_read_are_offered(tree: Tree, words: str, names: str, tmp_path: Path) -> None:
    assert choose(as_folder(tree, tmp_path), words).class_names == tuple(names.split())


def test_a_choice_can_be_taken_back(tmp_path: Path) -> None:
    path = as_folder(ham(), tmp_path)
    by_folder = choose(path, "Each folder is a class")
    again = [choice for choice in by_folder.choices if "HAM10000_metadata.csv" in choice.label]
    assert read(path, **again[0].options).class_names == ("mel", "nv")


@pytest.mark.parametrize(
    ("tree", "options", "words"),
    [
        pytest.param(
            flat("train") | flat("test"), {}, "test and train are the names of parts, .* nothing says", id="flat parts"
        ),
        pytest.param(classes("", "a b", ending="dcm"), {}, r"20 files .dcm; supported: JPEG", id="a foreign format"),
        pytest.param(
            classes("", "a b") | classes("", "c", ending="heic"), {}, r"c can be read: HEIC files \(.heic\)", id="HEIC"
        ),
        pytest.param(
            {**classes("", "a"), **dict.fromkeys(classes("", "b"), b"\0\0\0\x18ftypheic")},
            {},
            "none of the 10 pictures of class b .* HEIC",
            id="HEIC under another name",
        ),
        pytest.param(
            {name.removesuffix(".png"): content for name, content in classes("", "a b").items()},
            {},
            "20 files without a suffix",
            id="no suffix",
        ),
        pytest.param(
            flat("x") | {"labels.xlsx": b"x", "notes.txt": b"x"},
            {},
            "if labels.xlsx says .* save it as a CSV",
            id="spreadsheet",
        ),
        pytest.param(classes("", "a b"), {"layout": "table"}, "no CSV file", id="no table"),
        pytest.param(classes("", "a b"), {"layout": "splits"}, "needs folders such as train", id="no parts"),
        pytest.param(listed(rows("x{i},{i},{i}\n", "image_id,a,b\n")), {}, "not clear which column", id="no column of classes"),
        pytest.param(classes("train", "a b") | classes("training", "a b"), {}, "mean the same split", id="two of a part"),
        pytest.param(classes("train", "good") | classes("test", "good bad"), {}, "only one class, good", id="one class"),
    ],
)
def test_what_cannot_be_read_says_why(tree: Tree, options: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        read(as_folder(tree, tmp_path), **options)


@pytest.mark.parametrize(
    ("small", "test", "warning"),
    [
        pytest.param(1, 0, "The test part has no picture of small, because there are too few pictures (1)", id="one"),
        pytest.param(2, 1, "The validation part has no picture of small, because there are too few pictures (2)", id="two"),
        pytest.param(5, 1, "", id="five"),
    ],
)
def test_every_class_is_on_both_sides_or_it_is_said(small: int, test: int, warning: str, tmp_path: Path) -> None:
    path = as_folder(classes("", "large", 20) | classes("", "small", small), tmp_path)
    reading = read(path)
    trained, _, tested = (part.counts[1] for part in reading.parts)
    assert tested == test
    assert trained >= 1
    assert any(warning in text for text in reading.warnings) if warning else not reading.warnings
    assert load_dataset(DatasetConfig(name=str(path))).reading == reading


def test_undecodable_pictures_are_counted_with_three_names(tmp_path: Path) -> None:
    heic = {f"b/IMG_{i}.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes([i]) * 100 for i in range(12)}
    cut = {f"a/cut{i}.png": picture(i)[:45] for i in range(4)}
    path = as_folder(classes("", "a b", 12) | heic | cut, tmp_path)
    (found,) = read(path).left_out
    assert (found.count, found.names) == (12, ("b/IMG_0.jpg", "b/IMG_1.jpg", "b/IMG_10.jpg"))
    assert "HEIC" in found.reason
    decoded = load_dataset(DatasetConfig(name=str(path))).summary()["reading"]["left_out"]
    assert [(entry["count"], len(entry["names"])) for entry in decoded] == [(12, 3), (4, 3)]


def test_pictures_that_do_not_differ_are_told(tmp_path: Path) -> None:
    path = as_folder({f"{c}/{i}.png": picture(7) for c in "ab" for i in range(8)}, tmp_path)
    decoded = load_dataset(DatasetConfig(name=str(path))).reading
    for reading in (read(path), decoded):
        assert any("The pictures do not differ" in warning for warning in reading.warnings)


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (classes("colour/train", "a b") | classes("colour/test", "a b") | classes("grey/train", "a b")
         | classes("grey/test", "a b"), "choose one of the folders colour and grey alone"),
        (classes("raw/train", "a b") | classes("raw/test", "a b") | classes("turned", "a b"), "The folder raw holds parts"),
    ],
)  # fmt: skip
def test_several_sets_side_by_side_are_asked_about(tree: Tree, words: str, tmp_path: Path) -> None:
    reading = read(as_folder(tree, tmp_path))
    assert words in "\n".join(reading.warnings)


def test_pieces_of_a_set_and_folders_inside_are_asked_about(tmp_path: Path) -> None:
    (warning,) = read(as_folder(classes("images_part_{c}", "1 2"), tmp_path / "1")).warnings
    assert "differ only in a number" in warning
    folds = read(as_folder(classes("fold1", "a b") | classes("fold2", "a b"), tmp_path / "3"))
    assert folds.class_names == ("a", "b"), "pieces of a set with the same class folders in each"
    (warning,) = read(as_folder(classes("north", "a b") | classes("south", "a b"), tmp_path / "2")).warnings
    assert "Are those the classes?" in warning


def test_names_that_are_not_utf8_are_readable_and_stay_apart(tmp_path: Path) -> None:
    for name in (b"M\xfcsli", b"M\xe4sli"):
        folder = tmp_path / "data" / os.fsdecode(name)
        folder.mkdir(parents=True)
        for i in range(10):
            (folder / os.fsdecode(b"bild\xe4%d.png" % i)).write_bytes(picture(i + 100 * (name == b"M\xfcsli")))
    data = load_dataset(DatasetConfig(name=str(tmp_path / "data")))
    assert sorted(data.class_names) == ["M\ufffdsli", "M\ufffdsli (2)"]
    for text in (*data.class_names, *data.train.names, *data.provenance.skipped):
        text.encode()
    levels = {label: set(data.train.images[data.train.labels == label][:, 0, 0, 0].tolist()) for label in (0, 1)}
    assert {max(level) < 100 for level in levels.values()} == {True, False}, "each class holds its own pictures"


@pytest.mark.parametrize("write", [as_zip, as_tar])
def test_names_in_archives_are_readable(write: Callable[[Tree, Path], Path], tmp_path: Path) -> None:
    path = write(classes("", ["M\u00fcsli", "K\udce4se"]) if write is as_tar else classes("", ["M\u00fcsli", "Kase"]), tmp_path)
    names = read(path).class_names
    assert "M\u00fcsli" in names
    for name in names:
        name.encode()


def test_an_archive_that_does_not_say_it_is_utf8(tmp_path: Path) -> None:
    path = as_zip(classes("", ["M\u00fcsli", "K\u00e4se"]), tmp_path)
    content = path.read_bytes()
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag that the names are UTF-8
        pieces = content.split(magic)
        content = magic.join([pieces[0], *(p[: at - 4] + b"\0\0" + p[at - 2 :] for p in pieces[1:])])
    path.write_bytes(content)
    assert read(path).class_names == ("K\u00e4se", "M\u00fcsli")


@pytest.mark.parametrize(
    ("tree", "config", "digests"),
    [
        pytest.param(
            {f"{c}/{i}.png": picture(i) for c, n in (("a", 37), ("b", 61), ("c", 15)) for i in range(n)},
            {},
            ("2a193fe0589312f4", "6a5b3b2bd98df14c", "dcc49a5c7205ff74"),
            id="class folders",
        ),
        pytest.param(
            {f"{c}/{i}.png": picture(i) for c, n in (("a", 37), ("b", 61), ("c", 15)) for i in range(n)},
            {"subset": 20, "test_subset": 9, "split_seed": 7, "options": {"layout": "folders"}},
            ("4e144d0d10c26f0c", "9f740f5b2bc8382b", "4d531ee90e976516"),
            id="a subset",
        ),
        pytest.param(
            {f"images/x{i}.png": picture(i) for i in range(90)}
            | {"t.csv": rows("x{i},{k4},{i}\n", "image_id,target,age\n", 90).encode()},
            {"options": {"balance": 20}},
            ("9dd944677367520d", "76d0899691508e0d", "5aee0479344c13ee"),
            id="a balanced table",
        ),
    ],
)
def test_the_parts_of_older_runs_are_the_same(
    tree: Tree, config: dict[str, object], digests: tuple[str, str, str], tmp_path: Path
) -> None:
    data = load_dataset(DatasetConfig(name=str(as_folder(tree, tmp_path)), **config))
    assert (data.train.digest, data.validation.digest, data.test.digest) == digests


def test_pictures_that_are_not_square_are_said_to_be_cropped_and_can_be_kept_whole(tmp_path: Path) -> None:
    """The object lies at the right end of pictures twice as wide as high, with its mask."""
    for k, name in enumerate(("cat", "dog")):
        for i in range(8):
            pixels = np.full((20, 40, 3), 30 + i, np.uint8)
            pixels[:, 32:] = 250 - 60 * k
            mask = np.zeros((20, 40), np.uint8)
            mask[:, 32:] = 255
            for place, content in ((name, pixels), (f"masks/{name}", mask)):
                (tmp_path / "data" / place).mkdir(parents=True, exist_ok=True)
                Image.fromarray(content).save(tmp_path / "data" / place / f"im{i}.png")
    cropped = DatasetConfig(name=str(tmp_path / "data"), image_size=20)
    padded = DatasetConfig(name=str(tmp_path / "data"), image_size=20, options={"fit": "pad"})
    sentence = "Of the 16 pictures that were looked at, 16 are not square: only their centre is used."
    assert next(warning for warning in read_path(cropped).warnings if "not square" in warning).startswith(sentence)
    assert not any("not square" in warning for warning in read_path(padded).warnings)
    before, after = load_dataset(cropped).train, load_dataset(padded).train
    assert int(before.images.max()) < 50 and before.masks is not None and not before.masks.any()
    assert int(after.images.max()) >= 190 and after.masks is not None
    rows, columns = after.masks[0].nonzero(as_tuple=True)
    assert (int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())) == (5, 14, 16, 19)


def test_options_at_their_defaults_keep_the_decoded_images_of_earlier_versions(tmp_path: Path) -> None:
    source = open_source(as_folder(classes("", "cat dog"), tmp_path))
    items = (Item("cat/im0.png", 0, Part.TRAIN),)
    folders = [DecodedImages(source, items, (3, 8, 8), *fit).folder for fit in ((), ("crop",), ("pad",))]
    assert folders[0] == folders[1] != folders[2]
