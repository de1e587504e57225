"""What surgery in the browser works on, for the page and for the offline page. No torch, no Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from attnlab.maps import MapKind

if TYPE_CHECKING:
    from attnlab.explain.surgery.operations import Operation


@dataclass(frozen=True, eq=False)
class Patient:
    """What is operated on.

    Attributes:
        network: name of the network's file below ``networks/`` of the server; empty where it comes with the page.
        image: uint8 (C, H, W), as the network takes it.
        truth: index of the true class; `None` when unknown.
        operations: those that fit the network.
        places: taps and heads -> (title, kind).
        titles: map -> title.
        in_view: the place whose map the viewer shows, if there is one.
    """

    network: str
    image: NDArray[np.uint8]
    truth: int | None
    operations: Sequence[Operation]
    places: Mapping[str, tuple[str, MapKind]]
    titles: Mapping[str, str]
    in_view: str | None = None


def surgery_data(patient: Patient, *, link: bool, finds: bool) -> dict[str, Any]:
    """What surgery.js takes, without the picture.

    Args:
        link: the choices are kept in the address of the page.
        finds: whether test images whose prediction changes can be looked for.
    """
    return {
        "network": patient.network,
        "operations": [_operation(operation) for operation in patient.operations],
        "places": [{"name": name, "title": title, "kind": kind} for name, (title, kind) in patient.places.items()],
        "titles": dict(patient.titles),
        "truth": patient.truth,
        "inView": patient.in_view,
        "link": link,
        "finds": finds,
    }


def _operation(operation: Operation) -> dict[str, Any]:
    amount = operation.amount
    return {
        "name": operation.name,
        "title": operation.title,
        "meaning": operation.meaning,
        "kinds": sorted(operation.kinds),
        "whole": bool(operation.needs),
        "label": amount.label,
        "low": amount.low,
        "high": amount.high,
    }
