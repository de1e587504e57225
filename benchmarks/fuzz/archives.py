"""Archives of images: names that lead out, links, bombs, lying headers, two entries of one name; changed bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache

from PIL import Image

from attnlab.config import DatasetConfig
from attnlab.data import DataError, load_dataset, read_path, tables_at
from attnlab.data.uploads import keep_upload
from benchmarks.fuzz.images import encoded
from benchmarks.fuzz.images import make as make_image
from benchmarks.fuzz.judge import NASTY_TEXTS, Kind, Known, Place, changed, nasty_text

Tree = list[tuple[str, bytes]]

ODD_NAMES = (
    "../up.png",
    "../../../../tmp/up.png",
    "/absolute.png",
    "a/../../up.png",
    "a\\..\\..\\up.png",
    "C:\\up.png",
    "//host/share/up.png",
    "a//b.png",
    "./a/x.png",
    "a/" + "9" * 5000 + ".png",
    "9" * 4500 + "/x.png",
    "a" * 300 + "/x.png",
    "a/x.png/y.png",
    "a/\0.png",
    "a/\n.png",
    "a/\x1b[31m.png",
    "CON/nul.png",
    "A/X.PNG",
    "a/x.png",
    "ä/ö.png",
    "a\u0308/o\u0308.png",
    "💥" * 60 + "/x.png",
    "\u202egnp/x.png",
    "train/a/x.png",
    "train/train/a/x.png",
    "test/x.png",
    "masks/x.png",
    "a/.hidden.png",
    "__MACOSX/a/x.png",
    "a/x.zip",
    "labels.csv",
    "a/" * 200 + "x.png",
)


@cache
def pictures() -> tuple[bytes, ...]:
    """Small pictures that differ."""
    return tuple(encoded(Image.new("RGB", (8, 8), (at * 20, 255 - at * 20, at)), ("PNG", "JPEG")[at % 2]) for at in range(12))


def classes(count: int = 6) -> Tree:
    """Two folders of pictures."""
    return [(f"{name}/{at}.png", pictures()[(at + 6 * (name == "b")) % 12]) for name in "ab" for at in range(count)]


def as_zip(tree: Tree, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # two entries of one name are the point
        for name, content in tree:
            info = zipfile.ZipInfo("x")
            info.filename = name.encode("utf-8", "replace").decode()  # the constructor would clean it
            info.compress_type = method
            archive.writestr(info, content)
    return buffer.getvalue()


def as_tar(tree: Tree, pack: Callable[[bytes], bytes] = bytes, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in tree:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return pack(buffer.getvalue())


def with_member(kind: bytes, link: str, size: int = 0, name: str = "a/link.png") -> bytes:
    """A tar with one more entry of another type."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, content in classes():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, size
        archive.addfile(info)
    return buffer.getvalue()


def zip_link() -> bytes:
    buffer = io.BytesIO(as_zip(classes()))
    with zipfile.ZipFile(buffer, "a") as archive:
        info = zipfile.ZipInfo("a/link.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def overlapping(copies: int) -> bytes:
    """A zip all of whose entries name the same bytes, as the bombs without recursion do."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/0.png", bytes(10_000_000))
        first = archive.infolist()[0]
        for at in range(1, copies):
            info = zipfile.ZipInfo(f"{'ab'[at % 2]}/{at}.png")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(info, name, getattr(first, name))
            archive.filelist.append(info)
            archive.NameToInfo[info.filename] = info
        archive._didModify = True  # type: ignore[attr-defined]
    return buffer.getvalue()


def many_entries(count: int) -> bytes:
    """A zip whose directory has this many entries, and nothing else."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0) + b"%02d"
    directory = b"".join(entry[:-4] + b"%02d" % (at % 100) for at in range(count))
    return directory + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, min(count, 65535), min(count, 65535), len(directory), 0, 0)


def pax_bomb(size: int) -> bytes:
    """A compressed tar whose first header is an extended one of this many bytes."""
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, size
    return gzip.compress(info.tobuf() + bytes(size), 9)


@cache
def known() -> dict[str, Known]:
    """Archives that leave folders, fill disks or memory, or say one thing and hold another."""
    return {
        "empty": b"",
        "names of every odd kind, zip": lambda: as_zip([*classes(), *((name, pictures()[0]) for name in ODD_NAMES)]),
        "names of every odd kind, tar": lambda: as_tar([*classes(), *((name, pictures()[0]) for name in ODD_NAMES)]),
        "names of every odd kind, GNU tar": lambda: as_tar(
            [*classes(), *((name, pictures()[0]) for name in ODD_NAMES)], form=tarfile.GNU_FORMAT
        ),
        "two of each name": lambda: as_zip([*classes(), *classes()]),
        "names that differ in their case": lambda: as_zip([*classes(), *((name.upper(), data) for name, data in classes())]),
        "link in a zip": lambda: zip_link(),
        "link in a tar": lambda: with_member(tarfile.SYMTYPE, "../../../../etc/passwd"),
        "hard link out": lambda: with_member(tarfile.LNKTYPE, "/etc/passwd"),
        "device": lambda: with_member(tarfile.CHRTYPE, ""),
        "pipe": lambda: with_member(tarfile.FIFOTYPE, ""),
        "sparse": lambda: with_member(tarfile.GNUTYPE_SPARSE, "", 10**9),
        "a size that lies, tar": lambda: with_member(tarfile.REGTYPE, "", 0)[:-1024] + bytes(10),
        "a gigabyte of nothing, zip": lambda: as_zip(
            [*classes(), *((f"a/{at}.png", bytes(99_000_000)) for at in range(20, 31))]
        ),
        "a gigabyte of nothing, tar": lambda: gzip.compress(as_tar([*classes(), ("a/z.png", bytes(400_000_000))]), 6),
        "a bomb in xz": lambda: lzma.compress(as_tar([*classes(), ("a/z.png", bytes(200_000_000))]), preset=1),
        "a bomb in bzip2": lambda: bz2.compress(as_tar([*classes(), ("a/z.png", bytes(120_000_000))])),
        "entries that share their bytes": lambda: overlapping(300),
        "a million entries": lambda: many_entries(1_000_000),
        "a header of 300 MB": lambda: pax_bomb(300_000_000),
        "pictures that unpack": pictures_that_unpack,
        "an archive in an archive": lambda: as_zip([("inner.zip", as_zip(classes())), ("inner2.zip", as_zip(classes()))]),
        "7z": b"7z\xbc\xaf\x27\x1c\0\4" + bytes(60),
        "rar": b"Rar!\x1a\7\1\0" + bytes(60),
        "encrypted": lambda: as_zip(classes()).replace(b"PK\1\2\x14\x03\x14\0\0\0", b"PK\1\2\x14\x03\x14\0\1\0"),
        "unknown compression": lambda: as_zip(classes(), zipfile.ZIP_STORED).replace(
            b"PK\1\2\x14\x03\x14\0\0\0\0\0", b"PK\1\2\x14\x03\x14\0\0\0\x63\0"
        ),
        "folder names of many digits": lambda: as_zip([(f"{'9' * 4500}{name}", data) for name, data in classes()]),
        "a table of traversals": lambda: as_zip(
            [*classes(), ("labels.csv", b"image_id,target\n../../etc/passwd,1\n/etc/passwd,0\na/0,1\n")]
        ),
        "gzip of no tar": lambda: gzip.compress(b"hello" * 1000),
        "two gzips": lambda: gzip.compress(as_tar(classes())) + gzip.compress(bytes(10**6)),
        "not readable text": lambda: as_zip([(name.encode().decode("cp437") + "\u2592", data) for name, data in classes()]),
    }


def pictures_that_unpack() -> bytes:
    """Valid pictures, each a thousand times larger than its entry."""
    bomb = encoded(Image.new("L", (5000, 5000)), "BMP")
    return as_zip([(f"{'ab'[at % 2]}/{at}.bmp", bomb) for at in range(40)])


def make(rng: random.Random) -> bytes:
    """Two classes with some odd entries, packed in one of the known ways, often with changed bytes."""
    tree = classes(rng.choice((1, 2, 6)))
    for _ in range(rng.choice((0, 1, 2, 5))):
        name = rng.choice((rng.choice(ODD_NAMES), nasty_text(rng), f"{rng.choice('abc')}/{nasty_text(rng)}.png"))
        tree.append((name.replace("\0", "%"), rng.choice((pictures()[0], make_image(rng), b"", rng.randbytes(50)))))
    rng.shuffle(tree)
    match rng.randrange(6):
        case 0 | 1:
            content = as_zip(tree, rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))
        case 2:
            content = as_zip([("inner.zip", as_zip(tree)), *tree[: rng.randrange(3)]])
        case _:
            tree = [(name.encode("utf-8", "replace").decode(), data) for name, data in tree]
            content = as_tar(
                tree,
                rng.choice((bytes, gzip.compress, bz2.compress, lzma.compress)),
                rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)),
            )
    return content if rng.random() < 0.3 else changed(content, rng)


def give(content: bytes, place: Place) -> None:
    """Uploads an archive, shows how it is read, and loads it."""
    name = "../../" + NASTY_TEXTS[len(content) % len(NASTY_TEXTS)][:100] + ".zip"
    path = keep_upload(name, io.BytesIO(content))
    assert path.parent == place.home / "uploads", "the upload lies elsewhere"
    tables_at(path)
    config = DatasetConfig(name=str(path), image_size=8, subset=8, test_subset=8)
    try:
        reading = read_path(config)
        data = load_dataset(config)
    except DataError as error:
        raise DataError(str(error).replace(str(path), "the archive")) from error
    assert len(data.class_names) == len(reading.class_names)


KIND = Kind("archive", known, make, give, (DataError,), share=8, seconds=30.0)
