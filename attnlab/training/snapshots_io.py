"""Snapshots and probe images as .npz files. Imports no torch: the first page reads them before torch is loaded.

A snapshot is one file with four arrays, whatever the number of maps, because every array in an .npz costs some 250
bytes of its own: ``header`` (JSON as bytes; one entry per map under ``taps``), ``maps`` (the codes of all maps, flat, one
after the other), ``peaks`` (maps, images) and ``probabilities``. Nothing is pickled, and a file with pickled content is
refused.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from attnlab.geometry import Cells
from attnlab.maps import MapKind, MapScale
from attnlab.training.events import ProbeEvent, SnapshotEvent, SnapshotMap


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
            }
            for stored in snapshot.maps
        ],
        "scalars": {name: float(f"{value:.6g}") for name, value in snapshot.scalars.items()},
    }
    flat = [stored.codes.reshape(-1) for stored in snapshot.maps]
    peaks = [stored.peaks for stored in snapshot.maps]
    np.savez_compressed(
        target,
        header=np.frombuffer(json.dumps(header, separators=(",", ":")).encode(), np.uint8),
        maps=np.concatenate(flat) if flat else np.zeros(0, np.uint8),
        peaks=np.stack(peaks) if peaks else np.zeros((0, len(snapshot.probabilities)), np.float32),
        probabilities=snapshot.probabilities,
    )


def read_snapshot(source: Path | bytes) -> SnapshotEvent:
    """Reads what `write_snapshot` wrote.

    Raises:
        ValueError: when the file is not a snapshot.
    """
    arrays = _load(source, "snapshot", ("header", "maps", "peaks", "probabilities"))
    header = json.loads(arrays["header"].tobytes())
    maps, start = [], 0
    for tap, peaks in zip(header["taps"], arrays["peaks"], strict=True):
        size = int(np.prod(tap["shape"]))
        maps.append(
            SnapshotMap(
                tap["name"],
                MapKind(tap["kind"]),
                MapScale(tap["scale"]),
                (tap["grid"][0], tap["grid"][1]),
                arrays["maps"][start : start + size].reshape(tap["shape"]),
                peaks,
            )
        )
        start += size
    return SnapshotEvent(
        step=header["step"],
        maps=maps,
        probabilities=arrays["probabilities"],
        scalars=header.get("scalars", {}),  # runs of earlier versions have none
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
        ValueError: when the file holds no probe images.
    """
    arrays = _load(source, "probe file", ("images", "labels", "names"))
    width = arrays["images"].shape[-1]
    masks = np.unpackbits(arrays["masks"], axis=-1, count=width).astype(bool) if "masks" in arrays else None
    places = json.loads(arrays["cells"].tobytes()) if "cells" in arrays else {}  # runs of earlier versions have none
    return ProbeEvent(
        images=arrays["images"],
        labels=arrays["labels"],
        masks=masks,
        names=tuple(json.loads(arrays["names"].tobytes())),
        cells={name: Cells.from_tree(tree) for name, tree in places.items()},
    )


def _load(source: Path | bytes, what: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"this is not a {what} of attnlab: {error}") from error
    if missing := set(needed) - set(arrays):
        raise ValueError(f"this is not a {what} of attnlab: {', '.join(sorted(missing))} missing")
    return arrays
