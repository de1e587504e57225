"""Networks and data sets are read once for all pages and sessions, and again when the weights change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from attnlab.experiments.managers import get_manager
from attnlab.explain.open_run import OpenRun
from attnlab.models.melanoma import melanoma_config
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord
from attnlab.ui.run_cache import network_stamp, opened_network, run_dataset, separate_network
from tests.example_runs import trained_run
from tests.pages import open_page, texts

CONFIG = melanoma_config("lesions", attention=True, image_size=32, width=2, epochs=1, batch_size=8).changed(
    dataset__subset=40, dataset__test_subset=16
)
"""A run that both Inspect and Melanoma show."""


@pytest.fixture(scope="module")
def lesions_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(CONFIG, tmp_path_factory.mktemp("lesions")).path


@pytest.fixture
def record(app: AppTest, lesions_run: Path, private_home: Path) -> RunRecord:
    """The run, in the home of this test."""
    shutil.copytree(lesions_run, private_home / "runs" / lesions_run.name)
    return get_manager().get(lesions_run.name)


def prediction(run: OpenRun) -> np.ndarray:
    return run.inspect(torch.full((1, *run.shape), 90, dtype=torch.uint8)).probabilities


def damage(path: Path) -> None:
    """Makes the weights unreadable, without a change that a cache could notice."""
    times = path.stat()
    path.write_bytes(b"no weights")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_every_page_uses_the_network_that_is_open(app: AppTest, record: RunRecord) -> None:
    app.query_params["run"] = record.run_id
    open_page(app, "pages/inspect_attention.py")
    network, dataset = opened_network(record), run_dataset(record)
    damage(RunFolder(record.folder).best_path)  # whoever reads the file again from here on fails
    app.query_params["honesty"] = "true"
    app.query_params["surgery"] = "true"
    app.run()
    assert not app.exception and not app.error, texts(app)
    app.switch_page("pages/melanoma.py").run()
    assert not app.exception and "How good is the classifier?" in texts(app)
    assert not app.error, texts(app)
    assert opened_network(record) is network and run_dataset(record) is dataset


def test_a_run_that_is_trained_again_is_read_again(record: RunRecord) -> None:
    before, stamp = opened_network(record), network_stamp(record)
    weights = RunFolder(record.folder).best_path
    content = weights.read_bytes()
    weights.write_bytes(b"no weights")
    assert opened_network(record) is not before, "the newest checkpoint stands in for damaged weights"
    weights.write_bytes(content)
    os.utime(weights, ns=(0, stamp + 1))
    again = opened_network(record)
    assert again is not before
    np.testing.assert_array_equal(prediction(again), prediction(before))


def test_a_separate_network_computes_the_same_and_shares_no_hook(record: RunRecord) -> None:
    run = opened_network(record)
    assert run.cells  # found by a forward of its own, once
    forwards: list[object] = []
    hook = run.model.register_forward_hook(lambda *_: forwards.append(1))
    try:
        separate = separate_network(run)
        np.testing.assert_array_equal(prediction(separate), prediction(run))
        assert len(forwards) == 1
    finally:
        hook.remove()
