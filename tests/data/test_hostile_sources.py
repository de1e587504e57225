"""Archives and paths that are made, or happen, to harm: one plain sentence, soon, and nothing read beyond the limits."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from attnlab.config import DatasetConfig
from attnlab.data import DataError, load_dataset, read_path
from attnlab.data import _source as sources
from benchmarks.fuzz.archives import as_tar, as_zip, classes, many_entries, pax_bomb

ANYBODY = 65534


def read(path: Path) -> list[str]:
    """The classes of a source; it is also loaded."""
    config = DatasetConfig(name=str(path), image_size=8)
    load_dataset(config)
    return list(read_path(config).class_names)


def test_class_folders_may_be_called_by_thousands_of_digits(tmp_path: Path) -> None:
    names = {"a": "9" * 4500, "b": "8" * 4500}
    file = tmp_path / "data.zip"
    file.write_bytes(as_zip([(names[name[0]] + name[1:], data) for name, data in classes()]))
    assert read(file) == sorted(names.values())


def test_an_entry_without_a_name_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "data.zip"
    file.write_bytes(as_zip([*classes(), ("", b"x")]))
    assert read(file) == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(lambda: many_entries(700_000), "entries; unpack it", id="a directory of a million entries"),
        pytest.param(lambda: pax_bomb(2_000_000), "damaged or not an archive; pack it again", id="a tar header of megabytes"),
        pytest.param(lambda: gzip.compress(b"no tar" * 500), "damaged or not an archive; pack it again", id="gzip of no tar"),
        pytest.param(lambda: as_tar(classes())[:700], "damaged or not an archive; pack it again", id="a cut tar"),
    ],
)
def test_an_archive_that_cannot_be_read_is_refused_with_what_to_do(content, words: str, tmp_path: Path) -> None:
    file = tmp_path / "data.bin"
    file.write_bytes(content())
    with pytest.raises(DataError, match=words) as refused:
        read(file)
    assert "(" not in str(refused.value), "no text of a library"


def test_an_unknown_way_of_packing_is_named(tmp_path: Path) -> None:
    packed = as_zip(classes(), zipfile.ZIP_STORED)
    file = tmp_path / "data.zip"
    file.write_bytes(packed.replace(b"PK\1\2\x14\x03\x14\0\0\0\0\0", b"PK\1\2\x14\x03\x14\0\0\0\x63\0"))
    with pytest.raises(DataError, match=r"packed by a method that is not read; pack it again as an ordinary \.zip"):
        read(file)


def test_long_names_in_a_tar_are_no_large_header(tmp_path: Path) -> None:
    file = tmp_path / "data.tar"
    file.write_bytes(as_tar([(f"{'x' * 200}/{name}", data) for name, data in classes()], form=tarfile.GNU_FORMAT))
    assert read(file) == ["a", "b"]


@contextmanager
def as_anybody() -> Iterator[None]:
    """Without root's right to read everything."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(ANYBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_path_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    with as_anybody(), pytest.raises(DataError, match="may not be read by the user that runs attnlab"):
        read_path(DatasetConfig(name=str(closed)))


def test_a_file_and_a_missing_path_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(DataError, match="neither a folder nor a supported archive"):
        read(tmp_path / "notes.txt")
    for missing in (str(tmp_path / "missing"), "~nobody-of-this-name/x"):
        with pytest.raises(DataError, match="neither a data set nor a path"):
            load_dataset(DatasetConfig(name=missing))


def test_a_folder_of_other_things_is_not_walked_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LOOKED_AT", 50)
    for number in range(60):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(DataError, match="is not a folder of images: of the first 50 files"):
        read(tmp_path)
