"""Every variant on its way from the network to what people see and take away, over the registry and without a browser: the
panel, the page that works offline, the raw maps, the maps kept during training, and surgery."""

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from attnlab.attention import attention_taps, list_attention
from attnlab.config import ModelConfig
from attnlab.explain.baselines import attention_map, spatial_taps
from attnlab.explain.open_run import OpenRun
from attnlab.explain.surgery.effect import operate, standard_interventions
from attnlab.maps import derived, tap_behind, tap_of
from attnlab.models import ImageShape, build_model
from attnlab.training.losses import Objective
from attnlab.training.snapshots import Snapshots, choose_probes
from attnlab.training.snapshots_io import read_snapshot, write_snapshot
from attnlab.ui.components.offline import offline_page
from attnlab.ui.inspect.surgery_on_server import _as_layer, _drawn_layer, field
from attnlab.ui.network_panel import network_panel
from attnlab.viz.first_layer import first_layer
from attnlab.viz.panels import Panel, layer_from_codes
from attnlab.viz.raw_maps import json_bytes, npz_bytes, panel_arrays
from attnlab.viz.snapshots import map_note
from tests.explain.examples import CONFIG, DATA, opened

SHAPE = ImageShape(3, 14, 12)


@pytest.fixture(params=list_attention(), scope="module")
def run(request: pytest.FixtureRequest) -> OpenRun:
    """A small network with one variant, every parameter away from a value such as gamma = 0."""
    torch.manual_seed(0)
    few = {request.param: {"heads": 2}} if "heads" in list_attention()[request.param].options else {}
    model = ModelConfig(attention=request.param, attention_options=few, width=8, options={"blocks": 1, "hidden": 64})
    network = build_model(model, SHAPE, 2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return opened(network, SHAPE, CONFIG.changed(model=model.model_dump()))


@pytest.fixture(scope="module")
def panel(run: OpenRun) -> Panel:
    return network_panel(run, DATA.test.images[0], title="one run")


def test_the_panel_shows_the_weights_of_the_network_and_what_they_make(run: OpenRun, panel: Panel) -> None:
    seen = run.inspect(DATA.test.images[:1], derived=True)
    assert [layer.name for layer in panel.layers] == [each.name for each in seen.maps]
    assert {tap_of(layer.name) for layer in panel.layers if derived(layer.name) is None} == set(attention_taps(run.model))
    for layer, attention in zip(panel.layers, seen.maps, strict=True):
        told = layer.weights()
        reach = float((layer.peak - layer.floor).max())
        values = attention.values[0].flatten().numpy()
        if layer.kind != "pairwise" and layer.kind != "branch":  # these are turned, or leave out what has no place
            assert np.abs(told.flatten() - values).max() <= reach / 510 + 1e-6
        assert layer.title and (derived(layer.name) is None) == (layer.name.split("#")[0] in attention_taps(run.model))
        assert layer.cells is not None or not layer.kind.placed
    made = [each for each in panel.layers if derived(each.name)]
    assert all(each.note for each in made)
    assert tap_behind(panel.layers[first_layer([panel])].name, list(attention_taps(run.model))) in attention_taps(run.model)


def test_the_page_and_the_files_hold_every_map(panel: Panel) -> None:
    page = offline_page([panel], title="one run")
    packed = json.loads(re.search(r'getElementById\("viewer"\), (\{.*\}), "[^"]*"\);', page, re.DOTALL)[1])  # type: ignore[index]
    assert [each["name"] for each in packed["meta"]["panels"][0]["layers"]] == [layer.name for layer in panel.layers]
    assert "http" not in re.sub(r"https?://(www\.)?(w3|arxiv)\S+", "", page), "it loads nothing"
    arrays = panel_arrays([panel])
    with np.load(io.BytesIO(npz_bytes(arrays))) as stored:
        assert all(any(layer.name in name for name in stored.files) for layer in panel.layers)
    assert all(any(layer.name in name for name in json.loads(json_bytes(arrays))) for layer in panel.layers)


def test_the_maps_kept_during_training_have_the_same_names_and_are_drawn(run: OpenRun, panel: Panel, tmp_path: Path) -> None:
    snapshots = Snapshots(choose_probes(DATA), DATA, 10)
    write_snapshot(tmp_path / "1.npz", snapshots.take(run.model, Objective(run.config), 1, torch.device("cpu")))
    stored = read_snapshot(tmp_path / "1.npz")
    assert [each.name for each in stored.maps] == [layer.name for layer in panel.layers]
    for each in stored.maps:
        floor = 0.0 if each.floors is None else each.floors[:1]
        kind = each.kind if not each.kind.placed else "spatial"
        about = {"scale": each.scale, "neutral": each.neutral, "note": map_note(each.name, each.kind, each.scale, each.grid)}
        drawn = layer_from_codes(each.name, kind, each.codes[:1], each.peaks[:1], floor=floor, **about)  # type: ignore[arg-type]
        assert np.isfinite(drawn.weights()).all()


def test_surgery_acts_on_the_taps_and_never_on_what_they_make(run: OpenRun, panel: Panel) -> None:
    image, before = DATA.test.images[:1], run.inspect(DATA.test.images[:1])
    changed = []
    for intervention in standard_interventions(run.model):
        result = operate(run.model, image, run.mean, run.std, intervention)
        drawn = _drawn_layer(panel.layers, intervention)
        if drawn is None:
            continue
        edited = next(each for each in result.maps if each.name == drawn.name)
        assert derived(drawn.name) is None and np.isfinite(field(_as_layer(edited))).all()
        changed.append(not np.array_equal(result.probabilities, before.probabilities))
    assert any(changed)
    assert np.array_equal(run.inspect(image).probabilities, before.probabilities), "nothing stays behind"


def test_every_map_with_positions_can_be_measured(run: OpenRun) -> None:
    taps = spatial_taps(run)
    assert all(derived(tap) is None for tap in taps)
    for tap in taps:
        assert attention_map(run, DATA.test.images[:2], tap).on(DATA.test.images[:2]).isfinite().all()
