"""Decoded images on disk: one row per image of a source, filled when it is first needed.

    <cache>/images/<key>/images.npy    uint8 (n, C, H, W), mapped; unfilled rows take no disk space
                         masks.npy     bool (n, H, W), if there are masks
                         state.npz     which rows are filled, and the sha256 of their files
                         refused.json  why images or masks could not be used

The key identifies the content, the list of images and their size, so a second load reuses the work of the first, and a
subset decodes only its own images. Several threads decode while one reads; OpenCV and Pillow release the GIL.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from filelock import FileLock

from attnlab.data._dataset import DataError, Prepared, Progress
from attnlab.data._listing import Item
from attnlab.data._source import Source
from attnlab.data.decode import Fit, ImageRefused, decode_image, fit_channels, fit_mask
from attnlab.files import is_full, replacing, why_not_written
from attnlab.paths import cache_dir

MAX_PIXELS = 64_000_000
"""Per image of a data set: more than for an upload, since dermoscopes and microscopes take large pictures."""

RULES = 2
"""Increases whenever the same files would decode to other pixels, so that no older cache is used."""

MISSING, READY, REFUSED = 0, 1, 2
Decoded = tuple[np.ndarray, float] | ImageRefused
"""The fitted pixels or mask with the original's height / width, or why there is none."""


class DecodedImages:
    """The decoded images of ``items``, each (C, H, W) = ``shape``."""

    def __init__(self, source: Source, items: tuple[Item, ...], shape: tuple[int, int, int], fit: Fit = "crop") -> None:
        self._source, self._items, self._shape, self._fit = source, items, shape, fit
        rules = RULES if fit == "crop" else f"{RULES} {fit}"
        pairs = "\n".join(f"{item.image}\t{item.mask or ''}" for item in items)
        key = hashlib.sha256(f"{rules}\n{source.key}\n{shape}\n{pairs}".encode(errors="surrogateescape")).hexdigest()[:32]
        self.folder = cache_dir() / "images" / key
        self._lock = FileLock(self.folder / "lock")
        with _telling_when_full(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with _telling_when_full(self.folder), self._lock:
            self.images = _mapped(self.folder / "images.npy", np.dtype(np.uint8), (len(items), *shape))
            has_masks = any(item.mask for item in items)
            self.masks = _mapped(self.folder / "masks.npy", np.dtype(bool), (len(items), *shape[1:])) if has_masks else None

    def prepare(self, rows: np.ndarray, progress: Progress) -> Prepared:
        """Decodes those of ``rows`` that are still missing.

        Raises:
            DataError: when there is not enough disk space.
        """
        with _telling_when_full(self.folder), self._lock:
            state, content, reasons = self._load()
            missing = rows[state[rows] == MISSING]
            if len(missing):
                self._check_room(len(missing))
                try:
                    self._fill(missing, state, content, reasons, progress)
                finally:  # when interrupted, keep what is decoded so far
                    self._save(state, content, reasons)
        digest = hashlib.sha256()
        for row in rows:
            digest.update(self._items[row].image.encode(errors="surrogateescape") + b"\0" + content[row].tobytes())
        wanted = {str(row) for row in rows}
        refused = {int(row): why for row, why in reasons["images"].items() if row in wanted}
        left_out = [f"{self._items[int(row)].mask}: {why}" for row, why in reasons["masks"].items() if row in wanted]
        extra = {"masks left out": f"{len(left_out)}; first: {left_out[0]}"} if left_out else {}
        return Prepared(refused, digest.hexdigest(), extra)

    def _fill(
        self, rows: np.ndarray, state: np.ndarray, content: np.ndarray, reasons: dict[str, dict[str, str]], progress: Progress
    ) -> None:
        uses: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        for row in rows.tolist():
            uses[self._items[row].image].append((row, False))
            if mask := self._items[row].mask:
                uses[mask].append((row, True))
        aspects: dict[int, float] = {}
        mask_aspects: dict[int, float] = {}
        for done, (name, sha, result) in enumerate(self._decode(uses), 1):
            for row, is_mask in uses[name]:
                if isinstance(result, ImageRefused):
                    reasons["masks" if is_mask else "images"][str(row)] = str(result)
                    if not is_mask:
                        state[row] = REFUSED
                elif is_mask and self.masks is not None:
                    _set_aside(self.masks, row)
                    self.masks[row], mask_aspects[row] = result
                else:
                    _set_aside(self.images, row)
                    self.images[row], aspects[row] = result
                    state[row], content[row] = READY, np.frombuffer(sha, np.uint8)
            if done % 64 == 0 or done == len(uses):
                progress(f"decoding {done:,} of {len(uses):,} files", done / len(uses))
        for row, aspect in mask_aspects.items():
            if self.masks is not None and row in aspects and abs(aspect / aspects[row] - 1) > 0.02:
                self.masks[row] = False
                reasons["masks"][str(row)] = "the mask has another shape than its image"
        for name in [name for name in uses if all(state[row] == MISSING for row, is_mask in uses[name] if not is_mask)]:
            for row, is_mask in uses[name]:
                if not is_mask:
                    state[row], reasons["images"][str(row)] = REFUSED, "no longer exists"
        self.images.flush()
        if self.masks is not None:
            self.masks.flush()

    def _decode(self, uses: dict[str, list[tuple[int, bool]]]) -> Iterator[tuple[str, bytes, Decoded]]:
        """(name, sha256 of the file, result), in the order of reading, with a bounded number in flight."""
        workers = min(8, os.cpu_count() or 1)
        waiting: deque[tuple[str, Future[tuple[bytes, Decoded]]]] = deque()
        with ThreadPoolExecutor(workers, "decode") as pool:
            for name, data in self._source.read(list(uses)):
                waiting.append((name, pool.submit(self._one, data, uses[name][0][1])))
                if len(waiting) > 8 * workers:
                    first, future = waiting.popleft()
                    yield first, *future.result()
            for first, future in waiting:
                yield first, *future.result()

    def _one(self, data: bytes | ImageRefused, is_mask: bool) -> tuple[bytes, Decoded]:
        if isinstance(data, ImageRefused):
            return b"", data
        try:
            pixels = decode_image(data, max_pixels=MAX_PIXELS).pixels
        except ImageRefused as refusal:
            return b"", refusal
        aspect = pixels.shape[0] / pixels.shape[1]
        if is_mask:
            plane = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
            return b"", (
                fit_mask(plane > plane.max() / 2, self._shape[1:], self._fit),
                aspect,
            )  # masks are 0 and 255, or 0 and 1
        return hashlib.sha256(data).digest(), (fit_channels(pixels, self._shape, self._fit), aspect)

    def _load(self) -> tuple[np.ndarray, np.ndarray, dict[str, dict[str, str]]]:
        file = self.folder / "state.npz"
        if not file.exists():
            return np.zeros(len(self._items), np.uint8), np.zeros((len(self._items), 32), np.uint8), {"images": {}, "masks": {}}
        with np.load(file) as arrays:
            state, content = arrays["state"], arrays["content"]
        return state, content, json.loads((self.folder / "refused.json").read_text())

    def _save(self, state: np.ndarray, content: np.ndarray, reasons: dict[str, dict[str, str]]) -> None:
        with replacing(self.folder / "refused.json", sync=False, locked=True) as draft:
            draft.write_text(json.dumps(reasons))
        with replacing(self.folder / "state.npz", sync=False, locked=True) as draft, draft.open("wb") as stream:
            np.savez(stream, state=state, content=content)

    def _check_room(self, rows: int) -> None:
        need = rows * (self.images[0].nbytes + (0 if self.masks is None else self.masks[0].nbytes))
        free = shutil.disk_usage(self.folder).free
        if need > free * 0.95:
            raise DataError(
                f"{rows:,} decoded images need {need / 1e6:,.1f} MB, but {self.folder.parent} has {free / 1e6:,.1f} MB left; "
                "choose a smaller image size or subset, or move the cache with ATTNLAB_HOME"
            )


@contextmanager
def _telling_when_full(folder: Path) -> Iterator[None]:
    """
    Raises:
        DataError: instead of the system's error when the disk is full.
    """
    try:
        yield
    except OSError as error:
        if not is_full(error, cache_dir().parent):
            raise
        raise DataError(f"The decoded images cannot be kept: {why_not_written(error, folder)}.") from error


def _set_aside(rows: np.memmap, row: int) -> None:
    """Has the disk set aside the place of a row: a write into a mapped file that finds no place would end the process.

    Raises:
        OSError: when the disk is full.
    """
    if hasattr(os, "posix_fallocate"):
        with Path(str(rows.filename)).open("rb+") as stream:
            os.posix_fallocate(stream.fileno(), rows.offset + row * rows[row].nbytes, rows[row].nbytes)


def _mapped(file: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """The array in ``file``, created if needed; the file is sparse until rows are written."""
    if not file.exists():
        with replacing(file, sync=False, locked=True) as draft:
            np.lib.format.open_memmap(draft, "w+", dtype, shape).flush()
    return np.lib.format.open_memmap(file, "r+")
