"""The networks and data sets that are open, shared by all pages and sessions.

A network is kept under its run folder and the stamp of its weights, so that a run that has learned more, or was trained
again, is read anew. Both caches are bounded; what was used longest ago is dropped first. What a page computes from a
network it may cache under the same `network_stamp`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import streamlit as st

from attnlab.config import DatasetConfig
from attnlab.data import DataError, ImageDataset, Progress, content_stamp, list_datasets, load_dataset
from attnlab.explain.baselines import untrained_twin
from attnlab.explain.in_browser import kept_export
from attnlab.explain.open_run import OpenError, OpenRun, open_run
from attnlab.paths import written_path
from attnlab.runs.errors import FolderError
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord
from attnlab.ui.background import Job


def network_stamp(record: RunRecord) -> int:
    """A number that changes when the weights of the run do."""
    return RunFolder(record.folder).weights_stamp


def opened_network(record: RunRecord) -> OpenRun:
    """The network of the run: its best epoch, or its newest checkpoint while there is no best epoch yet.

    All sessions share it. Whoever puts hooks on it that another session must not meet takes a `separate_network`.

    Raises:
        OpenError: when a file of the run is missing or damaged.
    """
    return _network(str(record.folder), network_stamp(record))


def separate_network(run: OpenRun) -> OpenRun:
    """A second network with the same weights, made without reading a file again."""
    copy = untrained_twin(run)
    copy.model.load_state_dict(run.model.state_dict())
    return copy


def network_file(record: RunRecord) -> Job[Path]:
    """The file with which a browser runs the network of the run, under way or done.

    Its result raises a `NotExportedError` that says why there is none.
    """
    return _network_file(str(record.folder), network_stamp(record), record)


def run_dataset(record: RunRecord) -> ImageDataset:
    """The data set of the run.

    Raises:
        DataError: when it cannot be read.
    """
    job = dataset_job(record)
    try:
        if job.ended:
            return job.wait()
        with st.spinner("Reading the images"):
            return job.wait()
    except DataError:
        _dataset.clear(*_of_dataset(record))  # what is missing may come
        raise


def dataset_job(record: RunRecord) -> Job[ImageDataset]:
    """The same, under way or done: drawn images take seconds, which a page need not wait for."""
    return _dataset(*_of_dataset(record))


def _of_dataset(record: RunRecord) -> tuple[str, str]:
    return record.config.dataset.model_dump_json(), source_stamp(record.config.dataset.name)


def pictures_stamp(record: RunRecord) -> str:
    """Changes when the weights of the run or the images of its data set do."""
    return f"{network_stamp(record)} {source_stamp(record.config.dataset.name)}"


def pictures_changed(record: RunRecord, dataset: ImageDataset) -> str:
    """A sentence when the images of the run's folder or archive are not those it was trained on; empty when they are."""
    about = RunFolder(record.folder).dataset_summary() or {}
    if about.get("split_digest", {}).get("test", dataset.test.digest) == dataset.test.digest:
        return ""
    return (
        "The pictures have changed since this run was trained. The test pictures here may be among those it was trained on. "
        "Train again to compare."
    )


@st.cache_data(ttl=2, max_entries=64, show_spinner=False)
def source_stamp(name: str) -> str:
    """Changes when the content of the folder or archive of this name does; empty for anything else.

    It is taken anew after two seconds, not each time, since walking a large folder takes a moment.
    """
    return "" if name in list_datasets() else content_stamp(written_path(name))


@st.cache_resource(max_entries=8, show_spinner="Opening the network")
def _network(folder: str, stamp: int) -> OpenRun:
    path = Path(folder)
    try:
        which = RunFolder(path).best_or_last
    except FolderError as error:
        raise OpenError(str(error)) from error
    try:
        return open_run(path, which)
    except OpenError as error:
        if which == "last":
            raise
        try:
            last = open_run(path, "last")
        except OpenError:
            raise error from None
        return replace(last, notice=f"{error}. Shown instead: the network as the newest checkpoint has it.")


@st.cache_resource(max_entries=32, show_spinner=False)
def _network_file(folder: str, stamp: int, _record: RunRecord) -> Job[Path]:
    run = separate_network(opened_network(_record))  # pages run the other one at the same time
    return Job(lambda tell: kept_export(run))


@st.cache_resource(max_entries=4, show_spinner=False)
def _dataset(config: str, stamp: str) -> Job[ImageDataset]:
    return Job(lambda tell: load_dataset(DatasetConfig.model_validate_json(config), progress=_in_percent(tell)))


def _in_percent(tell: Callable[[int, int], None]) -> Progress:
    return lambda what, share: tell(round(100 * share), 100)
