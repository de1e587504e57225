"""Which format a file is by its first bytes, so that a picture that cannot be read is known before a training."""

from __future__ import annotations

from posixpath import splitext

READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, PGM and PPM"
"""The formats that are read, for messages."""

PICTURES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
    **dict.fromkeys((".jp2", ".j2k"), "JPEG 2000"),
    **dict.fromkeys((".dcm", ".dicom"), "DICOM"),
    ".svg": "SVG",
    ".psd": "Photoshop",
    **dict.fromkeys((".cr2", ".cr3", ".nef", ".arw", ".dng", ".raw", ".orf", ".rw2"), "camera raw"),
    **dict.fromkeys((".nii", ".mha", ".nrrd"), "medical volume"),
    **dict.fromkeys((".npy", ".npz", ".mat", ".h5", ".tfrecord", ".parquet"), "array"),
    **dict.fromkeys((".mp4", ".avi", ".mov"), "video"),
    **dict.fromkeys((".tga", ".pcx", ".exr", ".hdr", ".ico", ".eps", ".pdf"), "other picture"),
}
"""Formats that are not read, by suffix."""
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_STARTS = (b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_FOREIGN = {
    b"\0\0\0\x0cjP  ": "JPEG 2000, which is not read",
    b"\0\0\0\x0cJXL ": "JPEG XL, which is not read",
    b"\xff\x0a": "JPEG XL, which is not read",
    b"8BPS": "Photoshop, which is not read",
    b"%PDF": "PDF, not a picture",
    b"<svg": "SVG, which is not read",
    b"<?xml": "XML or SVG, not a picture of pixels",
    b"<!DOC": "a web page, not a picture",
    b"<html": "a web page, not a picture",
    b"PK\x03\x04": "a zip archive, not a picture",
    b"version https": "a Git LFS pointer, not the picture itself",
}


def unreadable(head: bytes) -> str:
    """Why a file with these first bytes is not a picture that can be read; empty when it looks like one."""
    if not head:
        return "the file is empty"
    if head.startswith(_STARTS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return ""
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return ""
    if head[4:8] == b"ftyp":
        kind = _BRANDS.get(head[8:12])
        return f"{kind} under the name of another format" if kind else "a video, or a format of pictures that is not read"
    for start, what in _FOREIGN.items():
        if head.startswith(start):
            return what
    return "not a picture of a format that is read, or damaged at the start"


def foreign_suffix(name: str) -> str:
    """Why a file whose suffix is not that of a picture that is read is left out."""
    suffix = splitext(name)[1].lower()
    if kind := PICTURES.get(suffix):
        return f"{kind} files ({suffix}) are not read"
    return f"not a picture, by its name ({suffix})" if suffix else "not a picture, by its name (no suffix)"
