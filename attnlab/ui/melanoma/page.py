"""The upper half of the Melanoma page: choose images and network, start runs, watch them, choose one to look at.

After "Image Classification with Attention": VGG16 with gates on pool-3 and pool-4. The results of a run are shown by
`attnlab.ui.melanoma.results`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import streamlit as st

from attnlab.data import DataError, TableColumns, options_of_a_new_run
from attnlab.models.melanoma import SMALL, melanoma_config
from attnlab.runs.folder import RunFolder
from attnlab.runs.naming import PLAIN, attention_name, run_name, run_names
from attnlab.runs.records import RunRecord, RunState
from attnlab.ui.form import own_images
from attnlab.ui.format import duration, plain
from attnlab.ui.reading import describe
from attnlab.ui.state import add_to_chart, manager

DRAWN, OWN = "drawn lesions", "my own images"
ARTICLE_COLUMNS = {"image_column": "image_id", "label_column": "target", "split_column": "split"}
ARTICLE_NAMES = {"0": "benign", "1": "malignant"}
NO_COLUMN = "none: make a random split"
MOST_OTHERS = 6
"""Other runs drawn in one chart; each has a colour of its own."""
ALL, EQUAL, AT_MOST = "all images", "same number per class", "at most"


@dataclass
class DataChoice:
    """The data chosen in the form: a name or path, options of the data set, and whether a run can start on them."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    ready: bool = True


def start_form() -> None:
    """Asks for the data and the size of the network, and starts a run and, if wanted, its twin without gates."""
    source = st.segmented_control("Data", [DRAWN, OWN], default=DRAWN, required=True, key="melanoma.source")
    if source == OWN:
        data = _own_images()
    else:
        data = DataChoice("lesions", options_of_a_new_run("lesions"))
        st.caption(
            "Synthetic images, drawn by a program after the ABCD rule, with a mask per lesion. They stand in for real data."
        )
    with st.grid(5, min_column_width=110):
        size = st.number_input(
            "Image size", 32, 448, SMALL["image_size"], step=32, key="melanoma.size", help="The article uses 224."
        )
        width = st.number_input(
            "Width",
            2,
            64,
            SMALL["width"],
            key="melanoma.width",
            help="Channels of the first block. VGG16 has 64, which is slow without a GPU.",
        )
        epochs = st.number_input("Epochs", 1, 200, SMALL["epochs"], key="melanoma.epochs", help="The article uses 2.")
        rate = st.number_input(
            "Learning rate", 1e-6, 1.0, SMALL["lr"], format="%.1e", key="melanoma.lr", help="The article uses 1e-4."
        )
        seed = st.number_input("Seed", 0, 10_000, 0, key="melanoma.seed")
    with st.container(horizontal=True, vertical_alignment="center"):
        start = st.button("Train", type="primary", icon=":material/play_arrow:", key="melanoma.start", disabled=not data.ready)
        twin = st.checkbox("also train it without attention", value=True, key="melanoma.twin")
    if start:
        _start(
            data,
            twin,
            image_size=size,
            width=width,
            epochs=epochs,
            lr=rate,
            seed=seed,
            batch_size=SMALL["batch_size"],
            schedule=SMALL["schedule"],
        )


def article_runs() -> list[RunRecord]:
    """All runs of the article's network, newest first."""
    records = [record for record in manager().runs() if record.config.model.backbone == "attention_vgg16"]
    return sorted(records, key=lambda record: record.created, reverse=True)


def progress(were_live: frozenset[str]) -> None:
    """The progress of the live runs; draws the page again when one ends or is started by another browser."""
    st.fragment(_progress, run_every=1.0 if were_live else 2.0)(were_live)


def _progress(were_live: frozenset[str]) -> None:
    live = [record for record in article_runs() if record.state.live]
    if {record.run_id for record in live} != were_live:
        st.rerun()
    for record in live:
        share = record.step / record.total_steps if record.total_steps else 0.0
        left = f", about {duration(record.eta_seconds)} left" if record.eta_seconds is not None else ""
        st.progress(min(share, 1.0), text=f"{plain(run_name(record))}: {record.state}{left}")


def choose_run(records: Sequence[RunRecord]) -> tuple[RunRecord, list[RunRecord]]:
    """The finished run to look at, and the others on the same data to draw in the same charts."""
    by_id = {record.run_id: record for record in records}
    names = run_names(records)
    linked = st.query_params.get("run", "")
    first = linked if linked in by_id else min(records, key=lambda record: not has_gates(record)).run_id
    chosen = st.selectbox(
        "Run",
        list(by_id),
        index=list(by_id).index(first),
        format_func=lambda run_id: names.get(run_id, run_id),
        key="melanoma.run",
    )
    st.query_params["run"] = chosen
    record = by_id[chosen]
    others = [other for other in records if other.run_id != chosen and other.config.dataset == record.config.dataset]
    return record, others[:MOST_OTHERS]


def finished(records: Sequence[RunRecord]) -> list[RunRecord]:
    """The runs that were tested on two classes, first those whose weights are there."""
    tested = [record for record in records if record.state is RunState.FINISHED and record.test_auc is not None]
    return sorted(tested, key=lambda record: not has_weights(record))


def has_weights(record: RunRecord) -> bool:
    """Whether the network can be opened; of most shipped seeds only the figures are there."""
    return RunFolder(record.folder).has_weights


def has_gates(record: RunRecord) -> bool:
    """Whether the network has gates to look at."""
    return attention_name(record.config) != PLAIN


def _start(data: DataChoice, twin: bool, **settings: Any) -> None:
    try:
        configs = [
            melanoma_config(data.name, attention=attention, options=data.options, **settings)
            for attention in ([True, False] if twin else [True])
        ]
    except ValueError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    new = [config for config in configs if config.seed not in manager().same_settings(config)]
    if not new:
        taken = {seed for config in configs for seed in manager().same_settings(config)}
        free = next(seed for seed in count() if seed not in taken)
        st.info(
            f"Seed {configs[0].seed} of these settings has been trained already: choose it below. Seed {free} is free.",
            icon=":material/info:",
        )
        return
    try:
        add_to_chart([manager().submit(config) for config in new])
    except ValueError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.rerun()


def _own_images() -> DataChoice:
    """Asks for a folder or archive with a CSV file, and for its columns and classes."""
    name = own_images.choose_archive(
        "melanoma", holds="Images, and a CSV file with the name and label of each.", placeholder="/data/melanoma.zip"
    )
    if not name:
        return DataChoice("", ready=False)
    try:
        path = own_images.absolute_path(name)
        options = _columns(own_images.tables(path)) | _balance()
        reading = own_images.reading({"name": str(path), "options": options})
    except DataError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return DataChoice(name, ready=False)
    describe(reading, "melanoma", "lesion mask")
    if len(reading.class_names) != 2:
        st.error(
            f"The article's network has two classes, but these images have {len(reading.class_names)}. Choose another column."
        )
        return DataChoice(str(path), ready=False)
    return DataChoice(str(path), options | {"class_names": _class_names(reading.class_names)})


def _columns(tables: Mapping[str, TableColumns]) -> dict[str, Any]:
    """Asks which table and columns to read; choices that are the default are left out."""
    if not tables:
        return {}
    options: dict[str, Any] = {}
    with st.grid(4, min_column_width=150):
        file = next(iter(tables))
        if len(tables) > 1:
            file = options["csv_file"] = st.selectbox("Table", list(tables), key="melanoma.csv_file")
        columns = tables[file].columns
        for option, label in (("image_column", "Image"), ("label_column", "Label")):
            default = ARTICLE_COLUMNS[option]
            found = default if default in columns else getattr(tables[file], option)
            index = columns.index(found) if found else 0
            chosen = st.selectbox(f"{label} column", columns, index=index, key=f"melanoma.{option}.{file}")
            if chosen != default:
                options[option] = chosen
        default, found = ARTICLE_COLUMNS["split_column"], tables[file].split_column
        offered = [NO_COLUMN, *columns]
        split = st.selectbox(
            "Split column",
            offered,
            index=offered.index(found) if found else 0,
            key=f"melanoma.split_column.{file}",
            help="A column with words such as train, val and test. Without one, a random fifth of each class is used for "
            "testing (seed 1234).",
        )
        if split == NO_COLUMN and found:
            options["split_column"] = ""
        elif split not in (NO_COLUMN, default):
            options["split_column"] = split
    return options


def _balance() -> dict[str, Any]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        how = st.segmented_control(
            "Images of the larger class",
            [ALL, EQUAL, AT_MOST],
            default=ALL,
            required=True,
            key="melanoma.balance",
            help="The images to keep are chosen at random (seed 42). The article keeps at most 6,000.",
        )
        if how == EQUAL:
            return {"balance": "equal"}
        if how == AT_MOST:
            return {"balance": st.number_input("Images", 2, 1_000_000, 6000, key="melanoma.balance.most", width=140)}
    return {}


def _class_names(labels: Sequence[str]) -> dict[str, str]:
    """Asks for the names of the classes; the curves are about the second one."""
    with st.grid(4, min_column_width=150):
        names = {
            label: st.text_input(
                f"Name of class {plain(label)}", ARTICLE_NAMES.get(label, label), key=f"melanoma.class.{label}"
            )
            for label in labels
        }
    return {label: name.strip() for label, name in names.items() if name.strip() and name.strip() != label}
