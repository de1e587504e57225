"""Snapshots and probe images as .npz files. Imports no torch: the first page reads them before torch is loaded.

A snapshot is one file with four arrays, whatever the number of maps, because every array in an .npz costs some 250
bytes of its own: ``header`` (JSON as bytes; one entry per map under ``taps``), ``maps`` (the codes of all maps, flat, one
after the other), ``peaks`` (maps, images) and ``probabilities``; a fifth, ``floors`` (maps, images), where there are maps of
factors. Nothing is pickled, and a file with pickled content is
refused.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from attnlab.geometry import Cells
from attnlab.maps import MapKind, MapScale, neutral_weight
from attnlab.training.events import ProbeEvent, SnapshotEvent, SnapshotMap

Content = TypeVar("Content")


class _Wrong(ValueError):
    """What is wrong with a file, in words for a person."""


def write_snapshot(target: Path | IO[bytes], snapshot: SnapshotEvent) -> None:
    """Writes a snapshot. The caller names the file, and renames it where it must be whole or absent."""
    header = {
        "step": snapshot.step,
        "taps": [
            {
                "name": stored.name,
                "kind": stored.kind,
                "scale": stored.scale,
                "grid": list(stored.grid),
                "shape": list(stored.codes.shape),
                **_unusual_neutral(stored),
                **({"branches": list(stored.branches)} if stored.branches else {}),
            }
            for stored in snapshot.maps
        ],
        "scalars": {name: float(f"{value:.6g}") for name, value in snapshot.scalars.items()},
    }
    flat = [stored.codes.reshape(-1) for stored in snapshot.maps]
    peaks = [stored.peaks for stored in snapshot.maps]
    floors = [np.zeros_like(stored.peaks) if stored.floors is None else stored.floors for stored in snapshot.maps]
    arrays: dict[str, Any] = {}
    if any(stored.floors is not None for stored in snapshot.maps):
        arrays["floors"] = np.stack(floors)
    np.savez_compressed(
        target,
        header=np.frombuffer(json.dumps(header, separators=(",", ":")).encode(), np.uint8),
        maps=np.concatenate(flat) if flat else np.zeros(0, np.uint8),
        peaks=np.stack(peaks) if peaks else np.zeros((0, len(snapshot.probabilities)), np.float32),
        probabilities=snapshot.probabilities,
        **arrays,
    )


def _unusual_neutral(stored: SnapshotMap) -> dict[str, float | None]:
    """The neutral weight, where kind and scale do not say it."""
    return {} if stored.neutral == neutral_weight(stored.kind, stored.scale) else {"neutral": stored.neutral}


def read_snapshot(source: Path | bytes) -> SnapshotEvent:
    """Reads what `write_snapshot` wrote.

    Raises:
        ValueError: when the file is not a snapshot, or is damaged.
    """
    return _told("snapshot", lambda: _snapshot(_load(source, ("header", "maps", "peaks", "probabilities"))))


def _snapshot(arrays: dict[str, np.ndarray]) -> SnapshotEvent:
    header = json.loads(arrays["header"].tobytes())
    images, peaks_of_all, probabilities = len(arrays["probabilities"]), arrays["peaks"], arrays["probabilities"]
    if arrays["maps"].dtype != np.uint8 or probabilities.ndim != 2 or not np.isfinite(probabilities).all():
        raise _Wrong("its maps or predictions are of the wrong kind")
    if peaks_of_all.shape != (len(header["taps"]), images) or not np.isfinite(peaks_of_all).all():
        raise _Wrong("it has no peak for each map and image")
    floors_of_all = arrays.get("floors", np.zeros_like(peaks_of_all))
    if floors_of_all.shape != peaks_of_all.shape or not np.isfinite(floors_of_all).all():
        raise _Wrong("it has no floor for each map and image")
    maps, start = [], 0
    for tap, peaks, floors in zip(header["taps"], peaks_of_all, floors_of_all, strict=True):
        if tap["shape"][0] != images or len(tap["shape"]) not in (2, 3):
            raise _Wrong(f"the shape of {tap['name']} does not fit {images} images")
        size = int(np.prod(tap["shape"]))
        kind, scale = MapKind(tap["kind"]), MapScale(tap["scale"])
        neutral = tap.get("neutral", neutral_weight(kind, scale))
        maps.append(
            SnapshotMap(
                tap["name"],
                kind,
                scale,
                (int(tap["grid"][0]), int(tap["grid"][1])),
                arrays["maps"][start : start + size].reshape(tap["shape"]),
                peaks,
                floors if scale is MapScale.FACTOR else None,
                None if neutral is None else float(neutral),
                tuple(map(str, tap.get("branches", ()))),
            )
        )
        start += size
    return SnapshotEvent(
        step=int(header["step"]),
        maps=maps,
        probabilities=probabilities,
        scalars={name: float(value) for name, value in header.get("scalars", {}).items()},  # earlier versions have none
    )


def write_probes(target: Path | IO[bytes], probes: ProbeEvent) -> None:
    """Writes the probe images of a run."""
    arrays: dict[str, Any] = {
        "images": probes.images,
        "labels": probes.labels,
        "names": np.frombuffer(json.dumps(list(probes.names)).encode(), np.uint8),
    }
    if probes.masks is not None:
        arrays["masks"] = np.packbits(probes.masks, axis=-1)
    if probes.cells:
        places = {name: cells.to_tree() for name, cells in probes.cells.items()}
        arrays["cells"] = np.frombuffer(json.dumps(places).encode(), np.uint8)
    np.savez_compressed(target, **arrays)


def read_probes(source: Path | bytes) -> ProbeEvent:
    """Reads what `write_probes` wrote.

    Raises:
        ValueError: when the file holds no probe images, or is damaged.
    """
    return _told("probe file", lambda: _probes(_load(source, ("images", "labels", "names"))))


def _probes(arrays: dict[str, np.ndarray]) -> ProbeEvent:
    count, _, height, width = arrays["images"].shape
    if arrays["images"].dtype != np.uint8 or arrays["labels"].shape != (count,) or arrays["labels"].dtype.kind not in "iu":
        raise _Wrong("its images or labels are of the wrong kind")
    masks = np.unpackbits(arrays["masks"], axis=-1, count=width).astype(bool) if "masks" in arrays else None
    if not count:
        raise _Wrong("it holds no images")
    if masks is not None and masks.shape != (count, height, width):
        raise _Wrong("its masks do not fit its images")
    places = json.loads(arrays["cells"].tobytes()) if "cells" in arrays else {}  # runs of earlier versions have none
    return ProbeEvent(
        images=arrays["images"],
        labels=arrays["labels"],
        masks=masks,
        names=tuple(json.loads(arrays["names"].tobytes())),
        cells={name: Cells.from_tree(tree) for name, tree in places.items()},
    )


def _load(source: Path | bytes, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    if missing := set(needed) - set(arrays):
        raise _Wrong(f"{', '.join(sorted(missing))} missing")
    return arrays


def _told(what: str, read: Callable[[], Content]) -> Content:
    """Calls ``read``. Damage raises a dozen kinds of errors in zip, zlib, NumPy and JSON, whose words help nobody."""
    try:
        return read()
    except _Wrong as error:
        raise ValueError(f"this is not a {what} of attnlab: {error}") from error
    except Exception as error:
        raise ValueError(f"this is not a {what} of attnlab, or it is damaged") from error
