"""What the networks of groups cost, cached for the whole server: operations are counted at once, time on demand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from attnlab.experiments.groups import Group
from attnlab.experiments.table import Cost
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.ui.problems import told

_log = logging.getLogger(__name__)
_milliseconds: dict[str, float] = {}
_summaries: dict[str, Mapping[str, Any]] = {}
_measuring = threading.Lock()


def costs_of(groups: Sequence[Group]) -> dict[str, Cost]:
    """Group key -> cost; needs torch. Milliseconds only where `measure` has run."""
    return {group.key: Cost(_flops(group), _milliseconds.get(group.key)) for group in groups}


def add_data_summary(group: str, summary: Mapping[str, Any]) -> None:
    """Says which data a group without run folders was trained on, so that its networks can be built."""
    _summaries[group] = summary


def measure(groups: Sequence[Group]) -> None:
    """Times the networks of the groups one after the other. Two sessions never measure at the same time."""
    from attnlab.explain.cost import milliseconds_per_image
    from attnlab.models import ImageShape

    with _measuring, st.spinner("Measuring the time per image", show_time=True):
        for group in groups:
            if (data := _data_of(group)) is None:
                continue
            with told():
                _milliseconds[group.key] = milliseconds_per_image(group.config.model, ImageShape(*data[0]), data[1])


def _flops(group: Group) -> int | None:
    data = _data_of(group)
    try:
        return _count(group.config.model.model_dump_json(), *data) if data else None
    except Exception as error:  # a plug-in that is not here, or that fails; the row has no such figure then
        _log.warning("the operations of %s cannot be counted: %s", group.key, error)
        return None


@st.cache_data(max_entries=512, show_spinner=False)
def _count(model: str, shape: tuple[int, int, int], classes: int) -> int:
    from attnlab.config import ModelConfig
    from attnlab.explain.cost import count_flops
    from attnlab.models import ImageShape

    return count_flops(ModelConfig.model_validate_json(model), ImageShape(*shape), classes)


def _data_of(group: Group) -> tuple[tuple[int, int, int], int] | None:
    """((C, H, W), classes) of a group's data, from the first run that has recorded them; `None` where it cannot be built."""
    if group.config.recorded:
        return None
    for run in group.runs:
        try:
            summary = RunFolder(run.folder).dataset_summary() or _summaries.get(run.group)
        except FolderError:
            continue  # another run of the group may have recorded the same
        if summary:
            channels, height, width = summary["shape"]
            return (channels, height, width), len(summary["class_names"])
    return None
