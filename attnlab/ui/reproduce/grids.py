"""The upper half of the Reproduce page: start a table, and choose which one to show.

Its matrix of runs is drawn by `attnlab.ui.grid_board`, and its results are shown by `attnlab.ui.reproduce.results`.
"""

from __future__ import annotations

import time

import streamlit as st

from attnlab.data import list_datasets
from attnlab.desk.permissions import Action
from attnlab.experiments.exports import footnotes
from attnlab.experiments.grid import Grid, GridKind, continued, list_grids
from attnlab.experiments.grid import progress as grid_progress
from attnlab.experiments.grid_time import fitted, with_estimates, words
from attnlab.experiments.reproduce import Scale, departure_grid, table1
from attnlab.experiments.shipped import shipped_grids
from attnlab.models import REPORT_ROWS
from attnlab.training.budget import Speed
from attnlab.ui.costs import add_data_summary
from attnlab.ui.format import plain
from attnlab.ui.grid_board import GridView
from attnlab.ui.problems import told
from attnlab.ui.state import manager

PUBLISHED, DESCRIBED, ON_AND_OFF = "Table 1, as the code does", "Table 1, as the paper says", "The seven departures, on and off"
TABLES = {
    PUBLISHED: "Nine networks with the published protocol: trained as the report's code does.",
    DESCRIBED: "Nine networks with the described protocol: trained as the report's text says.",
    ON_AND_OFF: "The published protocol, and the same with one departure at a time corrected.",
}


def grids() -> list[Grid]:
    """The grids of this server, newest first; leagues have a page of their own."""
    return [grid for grid in list_grids(manager().home) if grid.kind is not GridKind.LEAGUE]


def start_form() -> None:
    """Asks which table at which scale, and estimates or starts it."""
    what = st.segmented_control("Table", list(TABLES), default=PUBLISHED, required=True, key="reproduce.what") or PUBLISHED
    st.caption(TABLES[what])
    left, right = st.columns([2, 3])
    if manager().may(Action.READ_PATH):
        dataset = left.text_input(
            "Data",
            "cifar10",
            key="reproduce.dataset",
            help="cifar10 (downloaded once), or the path of a folder or archive with its images.",
        )
    else:
        known = list(list_datasets())
        dataset = left.selectbox("Data", known, index=known.index("cifar10"), key="reproduce.dataset.named")
    rows = right.multiselect(
        "Rows", list(REPORT_ROWS), key="reproduce.rows", placeholder="all nine", disabled=what == ON_AND_OFF
    )
    with st.grid(7, min_column_width=110):
        seeds = st.number_input("Seeds", 1, 64, 3, key="reproduce.seeds", help="The report uses 16.")
        subset = st.number_input(
            "Training images",
            0,
            50_000,
            2000,
            step=500,
            key="reproduce.subset",
            help="0 uses all images, as the report does (50,000).",
        )
        test = st.number_input("Test images", 0, 10_000, 2000, step=500, key="reproduce.test_subset", help="0 uses all images.")
        epochs = st.number_input("Epochs", 1, 200, 2, key="reproduce.epochs", help="The report uses 10.")
        width = st.number_input(
            "Width", 2, 256, 16, key="reproduce.width", help="Channels of the first block. The report uses 64."
        )
        batch = st.number_input("Batch size", 2, 1024, 128, key="reproduce.batch", help="The report uses 128.")
        minutes = st.number_input(
            "Minutes in all",
            1,
            100_000,
            None,
            key="reproduce.minutes",
            placeholder="no limit",
            help="How long the whole table may take on this machine, for example a lesson. Each row is timed first; then every "
            "run gets the same number of epochs: as many as fit, and at most those given here.",
        )
    scale = Scale(
        dataset=dataset.strip(), subset=subset or None, test_subset=test or None, epochs=epochs, width=width, batch_size=batch
    )
    with st.container(horizontal=True):
        start = st.button("Start", type="primary", icon=":material/play_arrow:", key="reproduce.start")
        estimate = st.button(
            "Estimate the time",
            icon=":material/timer:",
            key="reproduce.estimate",
            help="Times a few training steps of each row on this machine.",
        )
    if fit := st.session_state.get("reproduce.fit"):
        st.success(plain(fit), icon=":material/timer:")
    if not (start or estimate):
        return
    st.session_state.pop("reproduce.fit", None)
    began = time.monotonic()
    with told():
        if what == ON_AND_OFF:
            grid = departure_grid(seeds=seeds, scale=scale)
        else:
            grid = table1("published" if what == PUBLISHED else "described", rows=rows, seeds=seeds, scale=scale)
        if estimate or minutes:
            speeds = _time_rows(grid)
            grid = with_estimates(grid, speeds)
            if minutes:
                grid = fitted(grid, speeds, 60 * minutes, spent=time.monotonic() - began)
                st.session_state["reproduce.fit"] = words(grid, 60 * minutes)
        grid = continued(manager().home, grid)
        if start:
            manager().start_grid(grid)
        else:
            manager().save_grid(grid)
        st.session_state["reproduce.grid"] = grid.grid_id
        st.rerun()


def _time_rows(grid: Grid) -> dict[str, Speed]:
    """Times a few steps of each row on a worker.

    Raises:
        RunRefused: when the runs of a row could not be trained.
    """
    with st.status("Starting a worker", expanded=False) as status:
        try:
            speeds = manager().row_speeds(
                grid,
                tell=lambda row, done: status.update(label=f"Timing {plain(row)}: {done:.0%}"),
            )
        except ValueError:
            status.update(label="The steps could not be timed", state="error")
            raise
        status.update(label="The steps are timed", state="complete")
    return speeds


def tables() -> dict[str, Grid]:
    """Grid id -> grid: those of this server, newest first, then the shipped ones."""
    mine = {grid.grid_id: grid for grid in grids()}
    return mine | {grid_id: shipped.grid for grid_id, shipped in shipped_grids().items() if grid_id not in mine}


def choose_grid() -> GridView | None:
    """Asks which grid to show; `None` when there is none."""
    mine, shipped, known = {grid.grid_id for grid in grids()}, shipped_grids(), tables()
    if not known:
        return None
    if st.session_state.get("reproduce.grid") not in known:
        st.session_state["reproduce.grid"] = next(iter(known))
    chosen = st.selectbox(
        "Table",
        list(known),
        format_func=lambda grid_id: _grid_title(known[grid_id]) + ("" if grid_id in mine else " · shipped"),
        key="reproduce.grid",
    )
    if chosen in mine:
        progress = grid_progress(known[chosen], manager().runs())
        return GridView(known[chosen], progress, tuple(footnotes(progress)), shipped=False)
    table = shipped[chosen]
    for record, run in zip(table.records, table.entries, strict=True):
        if run.get("dataset"):
            add_data_summary(record.group, run["dataset"])
    return GridView(table.grid, grid_progress(table.grid, table.records), table.notes, shipped=True)


def _grid_title(grid: Grid) -> str:
    config = grid.rows[0].config
    images = "all images" if config.dataset.subset is None else f"{config.dataset.subset:,} images"
    size = f"{images}, {config.training.epochs} epochs, width {config.model.width or 'of the backbone'}"
    return f"{grid.title} · {len(grid.rows)} rows × {len(grid.seeds)} seeds · {size}"
