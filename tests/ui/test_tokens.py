"""All layers of a transformer on the Inspect page, as arrays and as a person opens it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from attnlab.experiments.managers import get_manager
from attnlab.explain.token_maps import TOKEN_MAPS
from attnlab.explain.token_view import view_tokens
from attnlab.runs.folder import RunFolder
from attnlab.viz.token_figures import distance_plot, tiles
from tests.example_runs import SMALL_MAPS, trained_run
from tests.explain.examples import FirstPixels, opened
from tests.explain.token_network import TokenNetwork
from tests.pages import INSPECT, open_page, texts

VIT = SMALL_MAPS.changed(
    dataset__subset=40,
    dataset__test_subset=20,
    model__backbone="vit",
    model__attention="none",
    model__width=8,
    model__options={"depth": 2, "heads": 2, "registers": 4},
)


def test_the_arrays_of_a_network_are_those_of_its_maps() -> None:
    torch.manual_seed(4)
    run = opened(TokenNetwork((3, 16, 12), prefix=2), (3, 16, 12))
    image = torch.randint(0, 256, (1, 3, 16, 12), dtype=torch.uint8)
    view = view_tokens(run, image)
    assert view is not None and view.class_token and view.grid == (4, 3)
    inspected = run.inspect(image)
    by_name = {each.name: each.values for each in inspected.maps}
    for layer in range(3):
        for head in range(2):
            row = by_name[view.map_name(layer, head)][0, 0, 2:].unflatten(0, (4, 3)) * 12
            np.testing.assert_allclose(view.rows[layer, head], row, rtol=1e-4)
    assert view.patches is not None and view.lengths is not None and view.others is not None and view.similarity is not None
    assert view.patches.shape == (3, 4, 3, 2) and np.allclose(view.patches.sum(axis=-1), 1, atol=1e-5)
    assert view.lengths.shape == (3, 4, 3) and view.others.shape == (3, 2) and view.similarity.shape == (4, 3, 4, 3)
    assert 0 < view.distances.max() < 16 and set(view.maps) == set(TOKEN_MAPS)
    assert view_tokens(opened(FirstPixels()), torch.zeros(1, 3, 14, 12, dtype=torch.uint8)) is None


def test_many_small_maps_stand_apart_in_one_picture_and_tell_which_was_clicked() -> None:
    maps = np.arange(2 * 3 * 2 * 2).reshape(2, 3, 2, 2).astype(float)
    picture, points = tiles(maps, ["layer 1", "layer 2"], ["a", "b", "c"], (0, 4), title="weight").data
    assert picture.z.shape == (5, 8) and picture.z[3, 6] == maps[1, 2, 0, 0] and np.isnan(picture.z[2]).all()
    assert picture.customdata[0, 3] == "layer 1, b" and [*points.customdata[4]] == [1, 1]
    assert (points.x[4], points.y[4]) == (3.5, 3.5)
    dots, mean = distance_plot(np.array([[2.0, 4.0], [6.0, 6.0]]), 8.0).data
    assert [*dots.x] == [1, 1, 2, 2] and [*mean.y] == [3.0, 6.0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return trained_run(VIT, tmp_path_factory.mktemp("runs"))


def test_a_person_opens_all_layers_and_enlarges_a_head(app: AppTest, private_home: Path, trained: RunFolder) -> None:
    shutil.copytree(trained.path, private_home / "runs" / trained.run_id)
    get_manager().store.sync()
    app.query_params["run"] = trained.run_id
    app.query_params["tokens"] = "true"
    open_page(app, INSPECT)
    said = texts(app)
    for heading in ("Every head of every block", "All blocks put together", "How far heads look", "What each patch would be"):
        assert heading in said
    chosen = app.selectbox(key="tokens.head")
    assert [*chosen.options] == [f"block {layer} · head {head}" for layer in (1, 2) for head in (1, 2)]
    chosen.select_index(1).run()
    assert not app.exception and app.selectbox(key="tokens.head").value == (0, 1)
