"""Snapshots and probe images as .npz files. Imports no torch: the first page reads them before torch is there.

A snapshot is one file with four arrays, whatever the number of taps, because every array in an .npz costs some 250
bytes of its own: ``header`` (JSON as bytes), ``maps`` (all maps, flat, one after the other), ``peaks`` and
``probabilities``. Nothing in them is pickled, and a file that says otherwise is refused.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from attnlab.training.events import ProbeEvent, SnapshotEvent


def write_snapshot(target: Path | IO[bytes], snapshot: SnapshotEvent) -> None:
    """Writes a snapshot. The caller gives the name, and renames where it must be whole or absent."""
    header = {
        "step": snapshot.step,
        "taps": [
            {
                "name": name,
                "kind": snapshot.kinds[name],
                "scale": snapshot.scales[name],
                "grid": list(snapshot.grids[name]),
                "shape": list(values.shape),
            }
            for name, values in snapshot.maps.items()
        ],
        "scalars": {name: float(f"{value:.6g}") for name, value in snapshot.scalars.items()},
    }
    flat = [values.reshape(-1) for values in snapshot.maps.values()]
    peaks = [snapshot.peaks[name] for name in snapshot.maps]
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
        ValueError: when the file is no snapshot.
    """
    stored = _load(source, "snapshot", ("header", "maps", "peaks", "probabilities"))
    header = json.loads(stored["header"].tobytes())
    names = [tap["name"] for tap in header["taps"]]
    maps, start = {}, 0
    for tap in header["taps"]:
        size = int(np.prod(tap["shape"]))
        maps[tap["name"]] = stored["maps"][start : start + size].reshape(tap["shape"])
        start += size
    return SnapshotEvent(
        step=header["step"],
        maps=maps,
        peaks=dict(zip(names, stored["peaks"], strict=True)),
        probabilities=stored["probabilities"],
        kinds={tap["name"]: tap["kind"] for tap in header["taps"]},
        scales={tap["name"]: tap["scale"] for tap in header["taps"]},
        grids={tap["name"]: (tap["grid"][0], tap["grid"][1]) for tap in header["taps"]},
        scalars=header.get("scalars", {}),
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
    np.savez_compressed(target, **arrays)


def read_probes(source: Path | bytes) -> ProbeEvent:
    """Reads what `write_probes` wrote.

    Raises:
        ValueError: when the file holds no probe images.
    """
    stored = _load(source, "probe file", ("images", "labels", "names"))
    width = stored["images"].shape[-1]
    masks = np.unpackbits(stored["masks"], axis=-1, count=width).astype(bool) if "masks" in stored else None
    return ProbeEvent(
        images=stored["images"], labels=stored["labels"], masks=masks, names=tuple(json.loads(stored["names"].tobytes()))
    )


def _load(source: Path | bytes, what: str, needed: tuple[str, ...]) -> dict[str, np.ndarray]:
    try:
        with np.load(io.BytesIO(source) if isinstance(source, bytes) else source, allow_pickle=False) as archive:
            stored = {name: archive[name] for name in archive.files}
    except (ValueError, BadZipFile, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"this is no {what} of attnlab: {error}") from error
    if missing := set(needed) - set(stored):
        raise ValueError(f"this is no {what} of attnlab: {', '.join(sorted(missing))} missing")
    return stored
