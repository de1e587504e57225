"""What the networks of groups cost, kept for the whole server: operations are counted at once, time on demand."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from attnlab.experiments.groups import Group
from attnlab.experiments.table import Cost
from attnlab.runs.folder import RunFolder

_measured: dict[str, float] = {}
_noted: dict[str, Mapping[str, Any]] = {}
_measuring = threading.Lock()


def costs_of(groups: Sequence[Group]) -> dict[str, Cost]:
    """Group key -> cost; needs torch. Milliseconds only where `measure` has been asked for them."""
    return {group.key: Cost(_flops(group), _measured.get(group.key)) for group in groups}


def note_data(group: str, summary: Mapping[str, Any]) -> None:
    """Tells which data a group without folders has seen, so that its networks can be built."""
    _noted[group] = summary


def measure(groups: Sequence[Group]) -> None:
    """Times the networks of groups one after the other; two sessions never measure at the same time."""
    from attnlab.explain.cost import milliseconds_per_image
    from attnlab.models import ImageShape

    with _measuring, st.spinner("Measuring", show_time=True):
        for group in groups:
            if about := _images_of(group):
                _measured[group.key] = milliseconds_per_image(group.config.model, ImageShape(*about[0]), about[1])


def _flops(group: Group) -> int | None:
    about = _images_of(group)
    return _count(group.config.model.model_dump_json(), *about) if about else None


@st.cache_data(max_entries=512, show_spinner=False)
def _count(model: str, shape: tuple[int, int, int], classes: int) -> int:
    from attnlab.config import ModelConfig
    from attnlab.explain.cost import count_flops
    from attnlab.models import ImageShape

    return count_flops(ModelConfig.model_validate_json(model), ImageShape(*shape), classes)


def _images_of(group: Group) -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of a group's data, as its first run to read them has noted."""
    for run in group.runs:
        if about := RunFolder(run.folder).dataset_summary() or _noted.get(run.group):
            channels, height, width = about["shape"]
            return (channels, height, width), len(about["class_names"])
    return None
