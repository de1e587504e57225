"""Names in archives that do not say how they are written: found for the whole archive, told, and another way can be chosen."""

import io
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnlab.config import DatasetConfig
from attnlab.data import load_dataset, read_path
from attnlab.data._encodings import WRITTEN_IN, possible

NAMES = {
    "gb18030": "鸟 鱼, 兔子 老虎, 好 坏, 合格 不合格, 裂纹 划痕 斑点, 水稻 小麦 玉米, 大 小, 男 女, 晴天 雨天 雪天, "
    "黑色素瘤 痣, 图片 新建文件夹, 数字一 数字二, 椅子 桌子, 上衣 裤子 鞋子, 叶片 果实",
    "cp932": "鳥 魚, うさぎ とら, 良品 不良品, 画像 新しいフォルダー, 稲 麦, 男 女, 晴れ 雨 雪, 椅子 机, 黒 白, "
    "トマト キュウリ, 傷 汚れ, 花 葉",
    "cp949": "새 물고기, 토끼 호랑이, 합격 불합격, 벼 밀 옥수수, 남자 여자, 맑음 비 눈, 의자 책상, 빨강 파랑, 꽃 잎, "
    "새폴더 사진, 딸기 포도, 흑색종 점",
    "big5": "鳥 魚, 兔子 老虎, 好 壞, 水稻 小麥, 男 女, 晴天 雨天, 黑色素瘤 痣, 椅子 桌子, 圖片 新資料夾",
    "cp437": "Übung Prüfung, Hühner Gänse, Straße Fußweg, forêt rivière, naïve garçon, Mädchen Jungen, pájaro león",
    "cp1252": "Hühner Gänse, Straße Fußweg, forêt rivière, pájaro león, São João, Überschall",
    "cp866": "птица рыба, мальчик девочка, Дождь Солнце, НОРМА БРАК, цветок лист",
}
"""Class names as people give them, chosen before the rules were tried on them."""


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(file, "PNG")
    return file.getvalue()


def images(names: list[str]) -> dict[str, bytes]:
    """Eight pictures for each class."""
    return {f"{name}/{k}.png": png(16 * k + row) for row, name in enumerate(names) for k in range(8)}


def zip_without_encoding(path: Path, names: list[str], encoding: str, *, twice: bool = False) -> Path:
    """As Windows writes it: the bytes of the code page, and no flag that says UTF-8.

    Args:
        twice: the names stand there once more in Unicode, as a further field.
    """
    file = io.BytesIO()
    written = {}
    with zipfile.ZipFile(file, "w") as archive:
        for number, (name, content) in enumerate(images(names).items()):
            raw = name.encode(encoding)
            entry = zipfile.ZipInfo(f"{number:03}".ljust(len(raw), "_"))
            if twice:
                field = b"\1" + struct.pack("<L", zlib.crc32(raw)) + name.encode()
                entry.extra = struct.pack("<HH", 0x7075, len(field)) + field
            archive.writestr(entry, content)
            written[entry.filename.encode()] = raw
    content = file.getvalue()
    for placeholder, raw in written.items():
        content = content.replace(placeholder, raw)
    path.write_bytes(content)
    return path


def tar_without_encoding(path: Path, names: list[str], encoding: str) -> Path:
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
        for name, content in images(names).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def own_config(path: Path, **options: str) -> DatasetConfig:
    return DatasetConfig(name=str(path), options=options)


def test_of_usual_class_names_nine_in_ten_are_found() -> None:
    pairs = [(encoding, pair.split()) for encoding, text in NAMES.items() for pair in text.split(",")]
    found = [possible([name.encode(encoding) for name in names])[0] == encoding for encoding, names in pairs]
    assert len(found) == 66
    assert sum(found) == 59  # as docs/own_images.md says


@pytest.mark.parametrize("pack", [zip_without_encoding, tar_without_encoding])
@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("gb18030", ["合格", "不合格"]),
        ("cp932", ["ソース", "表示"]),  # whose second byte is a backslash
        ("cp949", ["고양이", "자동차"]),
        ("big5", ["汽車", "飛機"]),
        ("cp866", ["кошка", "собака"]),
        ("cp437", ["Größe", "Bär"]),
    ],
)
def test_the_classes_of_an_archive_have_their_names_and_the_guess_is_told(tmp_path: Path, pack, encoding, names) -> None:
    archive = pack(tmp_path / "photos", names, encoding)
    for _ in range(2):  # the second time a tar comes from the cache of listings
        reading = read_path(own_config(archive))
        assert set(reading.class_names) == set(names)
        assert reading.warnings[0].startswith(
            f"The archive does not say how its names are written. They were read as {WRITTEN_IN[encoding]}."
        )
        assert {"name_encoding": encoding} not in [choice.options for choice in reading.choices]
        assert reading.choices
    dataset = load_dataset(own_config(archive))
    assert set(dataset.class_names) == set(names)
    assert len(dataset.train) + len(dataset.validation) + len(dataset.test) == 16


@pytest.mark.parametrize("pack", [zip_without_encoding, tar_without_encoding])
def test_another_way_to_read_the_names_can_be_chosen(tmp_path: Path, pack) -> None:
    archive = pack(tmp_path / "photos", ["꽃", "잎"], "cp949")
    reading = read_path(own_config(archive))
    assert set(reading.class_names) == {"采", "蕾"}  # too few letters to tell
    korean = next(choice for choice in reading.choices if choice.label == "The names in the archive are written in Korean")
    assert set(read_path(own_config(archive, **korean.options)).class_names) == {"꽃", "잎"}


@pytest.mark.parametrize("pack", [zip_without_encoding, tar_without_encoding])
def test_names_in_utf_8_are_read_as_such_and_nothing_is_said(tmp_path: Path, pack) -> None:
    reading = read_path(own_config(pack(tmp_path / "photos", ["고양이", "größe"], "utf-8")))
    assert set(reading.class_names) == {"고양이", "größe"}
    assert not any("written" in warning for warning in reading.warnings)


def test_names_that_stand_there_once_more_in_unicode_are_read_from_there(tmp_path: Path) -> None:
    reading = read_path(own_config(zip_without_encoding(tmp_path / "photos.zip", ["꽃", "잎"], "cp949", twice=True)))
    assert set(reading.class_names) == {"꽃", "잎"}
    assert not any("written" in warning for warning in reading.warnings)


def test_a_way_of_writing_that_does_not_fit_is_shown_as_such_and_breaks_nothing(tmp_path: Path) -> None:
    archive = zip_without_encoding(tmp_path / "photos", ["合格", "不合格"], "gb18030")
    reading = read_path(own_config(archive, name_encoding="utf-8"))
    assert all("\ufffd" in name for name in reading.class_names)
