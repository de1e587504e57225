"""Surgery in the browser: the network of a run runs there, and its attention is changed under the hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from attnlab.explain.surgery.operations import OPERATIONS, Intervention
from attnlab.ui.components.mount import mount
from attnlab.ui.components.patient import Patient, surgery_data

_mount = mount("surgery", parts=("mask_editor", "before_after"))


@dataclass(frozen=True)
class Answer:
    """What the browser has told.

    Attributes:
        asked: the intervention whose effect on other test images is asked for; `None` for none.
        failed: why the network does not run there, as the end of a sentence that begins "because"; empty where it does.
    """

    asked: Intervention | None
    failed: str


def surgery(patient: Patient, *, finds: bool, key: str, on_change: Callable[[], None] = lambda: None) -> Answer:
    """Shows it; the choices are in the address of the page.

    Args:
        finds: as in `surgery_data`.
        on_change: called when the browser has told something.
    """
    told = _mount(
        key=key,
        data=surgery_data(patient, link=True, finds=finds) | {"picture": patient.image.ravel()},
        default={"asked": None, "failed": None},
        on_asked_change=on_change,
        on_failed_change=on_change,
    )
    failed = told.failed if isinstance(told.failed, dict) else {}
    why = str(failed.get("why", "")) if failed.get("network") == patient.network else ""
    return Answer(_intervention(told.asked, patient.places), why)


def _intervention(told: Any, places: Iterable[str]) -> Intervention | None:
    """What a browser asks for; `None` for what no page would ask."""
    if not isinstance(told, dict):
        return None
    operation = OPERATIONS.get(str(told.get("operation")))
    amount, seed, taps = told.get("amount"), told.get("seed", 0), told.get("taps")
    if operation is None or operation.name == "paint" or not isinstance(amount, (int, float)):
        return None
    if not operation.amount.low <= amount <= operation.amount.high or not isinstance(seed, int):
        return None
    if taps is not None and not (isinstance(taps, list) and taps and set(map(str, taps)) <= set(places)):
        return None
    return Intervention(operation.name, float(amount), None if taps is None else tuple(map(str, taps)), seed=seed)
