"""Zip and tar archives, recognised by their content and read without unpacking them to disk.

Links, devices and names that lead out of the archive are left out; of two entries with the same name the first counts. How
names beyond ASCII are written is found for the whole archive, see `attnlab.data._encodings`.
Archive bombs are stopped while reading: see `attnlab.data._source.Limits`.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from attnlab.data._dataset import DataError
from attnlab.data._encodings import WRITTEN_IN, possible
from attnlab.data._source import HEAD_BYTES, LIMITS, Index, Limits, Names, Skip, Source, is_clutter
from attnlab.data.decode import ImageRefused
from attnlab.data.reading import Choice
from attnlab.files import replacing
from attnlab.paths import cache_dir

_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
PACKERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"\xfd7zXZ\x00": lzma.open, b"BZh": bz2.open}
LISTING_RULES = 3
"""Increases whenever the listing of the same archive would be another, so that no older cache is used."""
MOST_DIRECTORY_BYTES = 150
"""Of the directory of a zip archive for each entry that may be in it. All of it is read before the first entry is known."""
MOST_OTHERS = 3
"""Ways of writing the names that are offered beside the one that was chosen."""
MOST_HEADER_BYTES = 1 << 20
"""Of a header of a tar archive, which is read as a whole: a name, or further facts about an entry."""


def open_archive(path: Path, limits: Limits = LIMITS, name_encoding: str = "auto") -> Source:
    """The archive at ``path``.

    Args:
        name_encoding: how names are written for which the archive does not say it.

    Raises:
        DataError: when the file is not a zip or tar archive.
    """
    with path.open("rb") as file:
        head = file.read(512)
    if zipfile.is_zipfile(path):
        return ZipSource(path, limits, name_encoding)
    if head[257:262] == b"ustar" or any(head.startswith(magic) for magic in PACKERS):
        return TarSource(path, limits, name_encoding)
    raise DataError(f"{path} is neither a folder nor a supported archive (.zip, .tar, .tar.gz, .tar.xz, .tar.bz2)")


def directory_bytes(path: Path) -> int:
    """The size that a zip archive claims for its directory; 0 where it claims none, or says it elsewhere."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - (22 + (1 << 16))))
        tail = file.read()
    at = tail.rfind(b"PK\5\6")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    return path.stat().st_size if size == 2**32 - 1 else size


def why_damaged(error: Exception) -> str:
    """What can be done about an archive, or an entry of one, that cannot be read."""
    if isinstance(error, NotImplementedError):
        return "it is packed by a method that is not read; pack it again as an ordinary .zip"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return "pack it again, or unpack it and choose the folder"


class _Meter:
    """Counts the bytes and entries read from an archive, and stops at the limits."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path, self.limits, self.out = path, limits, 0
        self.ceiling = min(limits.total_bytes, max(limits.free_bytes, limits.ratio * path.stat().st_size))

    def add(self, size: int) -> None:
        self.out += size
        if self.out > self.ceiling:
            raise DataError(
                f"{self.path} unpacks to more than {self.ceiling / 1e9:.1f} GB, which is too much for an archive of "
                f"{self.path.stat().st_size / 1e6:.1f} MB; if you trust it, unpack it and choose the folder"
            )

    def entry(self, count: int) -> None:
        if count > self.limits.entries:
            raise DataError(f"{self.path} has more than {self.limits.entries:,} entries; unpack it and choose the folder")


class _Listing:
    """Collects the entries of an archive that may be read.

    Args:
        raw: the names for which the archive does not say how they are written.
        asked: how they are written, or ``auto``.
    """

    def __init__(self, raw: Collection[bytes], asked: str) -> None:
        fitting = possible(raw)
        self.encoding = asked if asked != "auto" else fitting[0] if fitting else "utf-8"
        self._others = [encoding for encoding in fitting if encoding != self.encoding] if self.encoding != "utf-8" else []
        self.files: dict[str, None] = {}
        self.folders: set[str] = set()
        self.skipped: list[Skip] = []
        self._readable = Names()

    def add(self, name: str | bytes, *, is_file: bool, is_folder: bool) -> str | None:
        """The name under which an entry is listed, or `None`. Bytes are written as the whole archive is."""
        text = name if isinstance(name, str) else name.decode(self.encoding, "replace")
        text = text.replace("\\", "/")
        path = PurePosixPath(self._readable(text))
        plain = str(path)
        if plain in ("", ".") or is_clutter(plain):
            if ".." in path.parts:
                self.skipped.append(Skip(plain, "leads out of the archive"))
            return None
        if text.startswith("/") or ".." in path.parts or "\0" in text:
            self.skipped.append(Skip(plain.replace("\0", ""), "leads out of the archive"))
        elif is_folder:
            self.folders.add(plain)
        elif not is_file:
            self.skipped.append(Skip(plain, "a link or device"))
        elif plain in self.files:
            self.skipped.append(Skip(plain, "a second entry with this name"))
        else:
            self.files[plain] = None
            self.folders.update(str(parent) for parent in path.parents if str(parent) != ".")
            return plain
        return None

    def index(self) -> Index:
        if not self._others:
            return Index(tuple(self.files), frozenset(self.folders), tuple(self.skipped))
        warning = (
            f"The archive does not say how its names are written. They were read as {WRITTEN_IN[self.encoding]}. If they look "
            "wrong, choose another way with the option name_encoding."
        )
        choices = [
            Choice(f"The names in the archive are written in {WRITTEN_IN[other]}", {"name_encoding": other})
            for other in self._others[:MOST_OTHERS]
        ]
        return Index(tuple(self.files), frozenset(self.folders), tuple(self.skipped), (warning,), tuple(choices))


class _Archive(Source):
    def __init__(self, path: Path, limits: Limits = LIMITS, name_encoding: str = "auto") -> None:
        self.path, self.limits, self._asked = path, limits, name_encoding
        with path.open("rb") as file:
            self.key = hashlib.file_digest(file, "sha256").hexdigest()

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        try:
            yield
        except DataError:
            raise
        except Exception as error:  # zipfile, tarfile and the packers raise a dozen types
            raise DataError(f"{self.path} is damaged or not an archive; {why_damaged(error)}") from error


class ZipSource(_Archive):
    """A zip archive."""

    def index(self) -> Index:
        return self._list()[0]

    def _list(self) -> tuple[Index, dict[str, zipfile.ZipInfo]]:
        meter = _Meter(self.path, self.limits)
        meter.entry(directory_bytes(self.path) // MOST_DIRECTORY_BYTES)
        with self._reporting_damage(), zipfile.ZipFile(self.path) as archive:
            infos = archive.infolist()
        meter.entry(len(infos))
        names = [_zip_name(info) for info in infos]
        listing, by_name = _Listing([name for name in names if isinstance(name, bytes)], self._asked), {}
        for info, own_name in zip(infos, names, strict=True):
            unix_kind = info.external_attr >> 28  # 0xA: a link
            if info.flag_bits & 1:
                raise DataError(f"{self.path} is encrypted; create an archive without a password")
            is_folder = info.filename.endswith("/")
            name = listing.add(own_name, is_file=not is_folder and unix_kind in (0, 8), is_folder=is_folder)
            if name is not None:
                by_name[name] = info
        return listing.index(), by_name

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        _, by_name = self._list()
        meter = _Meter(self.path, self.limits)
        with self._reporting_damage():
            archive = zipfile.ZipFile(self.path)
        with archive:
            for name in names:
                try:
                    with archive.open(by_name[name]) as file:
                        content = file.read(self.limits.file_bytes + 1)
                except Exception as error:  # as in `_reporting_damage`
                    yield name, ImageRefused(f"is damaged in the archive; {why_damaged(error)}")
                    continue
                meter.add(len(content))
                yield name, _within(content, self.limits)

    def heads(self, names: Collection[str]) -> dict[str, bytes]:
        _, by_name = self._list()
        heads = {}
        with self._reporting_damage():
            archive = zipfile.ZipFile(self.path)
        with archive:
            for name in names:
                try:
                    with archive.open(by_name[name]) as file:
                        heads[name] = file.read(HEAD_BYTES)
                except Exception:
                    continue  # `read` says why
        return heads


class TarSource(_Archive):
    """A tar archive, compressed or not, read as a stream. Its listing is cached, since making it reads everything."""

    def index(self) -> Index:
        return self._listed()[0]

    def heads(self, names: Collection[str]) -> dict[str, bytes]:
        heads = self._listed()[1]
        return {name: heads[name] for name in names if name in heads}

    def _listed(self) -> tuple[Index, dict[str, bytes], str]:
        """The content, the first bytes of each file, and how the names are written."""
        cached = cache_dir() / "listings" / f"{self.key[:32]}-{self._asked}-{LISTING_RULES}.json"
        if cached.exists():
            tree = json.loads(cached.read_text())
            index = Index(
                tuple(tree["files"]),
                frozenset(tree["folders"]),
                tuple(Skip(*entry) for entry in tree["skipped"]),
                tuple(tree["warnings"]),
                tuple(Choice(**choice) for choice in tree["choices"]),
            )
            return index, {name: bytes.fromhex(head) for name, head in tree["heads"].items()}, tree["encoding"]
        listing, heads = self._list()
        index = listing.index()
        tree = {
            "files": index.files,
            "folders": sorted(index.folders),
            "skipped": index.skipped,
            "warnings": index.warnings,
            "choices": [asdict(choice) for choice in index.choices],
            "heads": {name: head.hex() for name, head in heads.items()},
            "encoding": listing.encoding,
        }
        with suppress(OSError):  # where there is no room for it, the archive is read again next time
            cached.parent.mkdir(parents=True, exist_ok=True)
            with replacing(cached, sync=False) as draft:
                draft.write_text(json.dumps(tree))
        return index, heads, listing.encoding

    def _list(self) -> tuple[_Listing, dict[str, bytes]]:
        entries = []
        for archive, member in self._members():
            with self._reporting_damage():
                file = archive.extractfile(member) if member.isreg() else None
                entries.append((_tar_name(member), member.isreg(), member.isdir(), file.read(HEAD_BYTES) if file else b""))
        listing = _Listing([entry[0] for entry in entries if isinstance(entry[0], bytes)], self._asked)
        heads = {}
        for name, is_file, is_folder, head in entries:
            if (listed := listing.add(name, is_file=is_file, is_folder=is_folder)) is not None:
                heads[listed] = head
        return listing, heads

    def read(self, names: Collection[str]) -> Iterator[tuple[str, bytes | ImageRefused]]:
        wanted = set(names)
        listing = _Listing([], self._listed()[2])
        for archive, member in self._members():
            name = listing.add(_tar_name(member), is_file=member.isreg(), is_folder=member.isdir())
            if name is None or name not in wanted:
                continue
            if member.size > self.limits.file_bytes:
                yield name, ImageRefused(f"the file has {member.size / 1e6:.0f} MB")
            else:
                with self._reporting_damage():
                    file = archive.extractfile(member)
                    content = file.read() if file else b""
                yield name, content
            wanted.remove(name)
            if not wanted:
                return

    def _members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        meter = _Meter(self.path, self.limits)
        with self._reporting_damage(), self._unpacked() as stream:
            counted = cast("IO[bytes]", _Counted(stream, meter))
            with tarfile.open(fileobj=counted, mode="r|", tarinfo=_Member, encoding="utf-8") as archive:
                for count, member in enumerate(archive, 1):
                    meter.entry(count)
                    yield archive, member

    def _unpacked(self) -> IO[bytes]:
        with self.path.open("rb") as file:
            head = file.read(8)
        for magic, opener in PACKERS.items():
            if head.startswith(magic):
                return cast("IO[bytes]", opener(self.path, "rb"))
        return self.path.open("rb")


class _Member(tarfile.TarInfo):
    """An entry of a tar archive. Its header may not claim to be a large one: tarfile would read all of it into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> Any:  # the hook that tarfile has for subclasses
        if self.type in _HEADERS and self.size > MOST_HEADER_BYTES:
            raise tarfile.HeaderError("a header of an entry is too large")
        return super()._proc_member(archive)  # type: ignore[misc]


class _Counted(io.RawIOBase):
    """A readable stream whose bytes are counted."""

    def __init__(self, stream: IO[bytes], meter: _Meter) -> None:
        self._stream, self._meter = stream, meter

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self._meter.add(len(content))
        return content


def _zip_name(info: zipfile.ZipInfo) -> str | bytes:
    """The name of an entry, or its bytes where the archive does not say how it is written.

    Some programs leave the name as it is and add it once more in UTF-8, as a further field with the CRC of the former.
    """
    if info.flag_bits & 0x800 or info.orig_filename.isascii():
        return info.filename
    name, extra = info.orig_filename.encode("cp437"), info.extra  # zipfile has read the bytes as code page 437
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == 0x7075 and field[:1] == b"\1" and field[1:5] == struct.pack("<L", zlib.crc32(name)):
            with suppress(UnicodeDecodeError):
                return field[5:].decode("utf-8")
    return name


def _tar_name(member: tarfile.TarInfo) -> str | bytes:
    """The name of an entry, or its bytes where the archive does not say how it is written; only the pax format says it."""
    if member.name.isascii() or "path" in member.pax_headers:
        return member.name
    return member.name.encode("utf-8", "surrogateescape")


def _within(content: bytes, limits: Limits) -> bytes | ImageRefused:
    if len(content) > limits.file_bytes:
        return ImageRefused(f"the file has more than {limits.file_bytes / 1e6:.0f} MB")
    return content
