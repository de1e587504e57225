"""Rows of large maps on the Inspect page: there when a map is too large for the viewer, and one answer to one question."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from attnlab.attention.self_attention import SelfAttention
from attnlab.data import normalise
from attnlab.experiments.managers import get_manager
from attnlab.explain.open_run import open_run
from attnlab.ui.run_cache import opened_network, run_dataset
from tests.example_runs import LARGE_MAPS, trained_run
from tests.pages import INSPECT, open_page, texts


def components(app: AppTest) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What the picture and the wire were given; `None` where they are not on the page."""
    picture = wire = None
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.mixed.json or element.proto.json or "{}")
        if "layers" in data and "size" in data:
            picture = data
        elif set(data) <= {"id", "answer"} and "id" in data:
            wire = data
    return picture, wire


def test_the_first_block_is_asked_and_the_second_is_in_the_viewer(
    app: AppTest, large_maps_run: Path, private_home: Path
) -> None:
    run_id = shutil.copytree(large_maps_run, private_home / "runs" / large_maps_run.name).name
    app.query_params["run"] = run_id
    open_page(app, INSPECT)
    assert "Above 1,024 positions" in texts(app) and "computed on demand" in texts(app)
    picture, wire = components(app)
    assert picture is not None and wire is not None and picture["id"] == wire["id"] and "answer" not in wire
    assert [(each["grid"], each["key_grid"], each["heads"]) for each in picture["layers"]] == [([36, 36], [36, 36], 2)]

    opened, image = open_run(large_maps_run), run_dataset(get_manager().get(run_id)).test.images[:1]
    with torch.inference_mode():
        block = next(module for module in opened.model.modules() if isinstance(module, SelfAttention))
        entered = opened.model.get_submodule("blocks.0.conv1")(normalise(image, opened.mean, opened.std))
        rows = block.row(entered, [(30, 7)])[0, :, 0].numpy() * 1296
        column = block.column(entered, (30, 7))[0].numpy() * 1296
    forwards: list[object] = []
    hook = opened_network(get_manager().get(run_id)).model.register_forward_hook(lambda *_: forwards.append(1))
    ask = {"id": picture["id"], "layer": 0, "row": 30, "col": 7, "column": False, "head": -1}
    try:
        for change, expected in [
            ({}, rows.mean(axis=0)),
            ({"head": 1}, rows[1]),
            ({"column": True}, column.mean(axis=0)),
        ]:
            app.session_state["rows.wire"] = {"asked": ask | change}
            app.run()
            assert not app.exception, app.exception
            wire = components(app)[1]
            assert wire is not None and wire["answer"]["place"] == [30, 7]
            told = np.frombuffer(base64.b64decode(wire["answer"]["shares"]), "<f2").astype(np.float32) * wire["answer"]["peak"]
            assert told.reshape(36, 36) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    finally:
        hook.remove()
    assert not forwards, "what a row needs is kept after the first forward"

    app.session_state["rows.wire"] = {"asked": ask | {"row": 36}}
    app.run()
    assert not app.exception and "answer" not in (components(app)[1] or {})


@pytest.mark.slow
def test_nothing_is_offered_where_every_map_is_in_the_viewer(app: AppTest, private_home: Path) -> None:
    app.query_params["run"] = trained_run(LARGE_MAPS.changed(dataset__image_size=32), private_home / "runs").run_id
    open_page(app, INSPECT)
    assert components(app) == (None, None) and "on demand" not in texts(app)
