"""The images of a run: how they were read, what was left out, and whether they are at hand."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from attnlab.data import LeftOut, Reading, list_datasets
from attnlab.data.reading import counted
from attnlab.runs.folder import RunFolder
from attnlab.runs.imported import NO_PICTURES
from attnlab.runs.records import RunRecord
from attnlab.ui.format import plain

PART_USES = {"train": "training", "validation": "validation", "test": "testing"}
MOST_GROUPS = 50
MOST_CLASSES = 6


def has_pictures(record: RunRecord) -> bool:
    """Whether the run's test images may be looked for: an opened checkpoint can have none, those of a shipped run on real
    pictures are not shipped, and those of a recorded run are with the program that trained it.
    """
    name = record.config.dataset.name
    return not record.config.recorded and name != NO_PICTURES and (not record.demo or name in list_datasets())


def describe(reading: Reading, key: str, mask_name: str = "mask") -> None:
    """Shows how the source was read: a sentence, warnings, and the table of pictures with what is left out.

    Args:
        key: prefix of the widgets' keys.
    """
    total = sum(sum(part.counts) for part in reading.parts)
    of_class = [sum(part.counts[label] for part in reading.parts) for label in range(len(reading.class_names))]
    listed = ", ".join(f"{plain(name)}: {count:,}" for name, count in zip(reading.class_names, of_class, strict=True))
    classes = f" ({listed})" if len(of_class) <= MOST_CLASSES else ""
    figures = [counted(total, "picture"), f"{len(of_class):,} classes{classes}"]
    figures.append(", ".join(f"{sum(part.counts):,} for {PART_USES[part.part]}" for part in reading.parts))
    if reading.masks:
        figures.append(counted(reading.masks, mask_name))
    st.markdown(plain(reading.sentence))
    st.caption(" · ".join(figures))
    for warning in reading.warnings:
        st.warning(plain(warning), icon=":material/warning:")
    label = "Pictures of each class"
    if reading.left_out:
        label += f", and {counted(reading.left_out_count, 'file')} left out"
    with st.expander(label, icon=":material/table:", key=f"{key}.reading"):
        rows = [dict(zip(reading.header, row, strict=True)) for row in reading.rows()]
        st.dataframe(rows, hide_index=True, key=f"{key}.reading_table")
        st.caption("  \n".join(map(plain, reading.origins())))
        if reading.left_out:
            st.markdown("**Left out**")
            _left_out(reading.left_out)


def left_out_of_run(record: RunRecord, key: str) -> None:
    """Shows which files of its folder or archive a run did not use, if there are any.

    Args:
        key: prefix of the widgets' keys.
    """
    about = RunFolder(record.folder).dataset_summary() or {}
    if "reading" in about:
        groups = [LeftOut(entry["reason"], entry["count"], tuple(entry["names"])) for entry in about["reading"]["left_out"]]
        warnings = about["reading"]["warnings"]
    else:  # of a run that was trained before readings were kept
        skipped = about.get("provenance", {}).get("skipped", ())
        groups = [LeftOut(reason, 1, (name,)) for name, _, reason in (line.partition(": ") for line in skipped)]
        warnings = []
    for warning in warnings:
        st.caption(f":material/warning: {plain(warning)}")
    if groups:
        count = sum(entry.count for entry in groups)
        with st.expander(
            f"{counted(count, 'file')} left out of the data set", icon=":material/warning:", key=f"{key}.left_out"
        ):
            _left_out(groups)


def _left_out(groups: Sequence[LeftOut]) -> None:
    lines = [str(entry) for entry in groups[:MOST_GROUPS]]
    if len(groups) > MOST_GROUPS:
        lines.append(f"and {len(groups) - MOST_GROUPS:,} further reasons")
    st.code("\n".join(lines), language=None, wrap_lines=True)
