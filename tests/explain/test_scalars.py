"""Learned numbers that weigh whole maps, and maps of one position: found, kept, and told to people."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.attention import attention_scalars, build_attention, list_attention
from attnlab.config import ModelConfig, RunConfig
from attnlab.explain import open_run
from attnlab.explain.cost import single_positions
from attnlab.maps import derived, scalar_titles
from attnlab.models import ImageShape, build_model
from attnlab.runs.folder import RunFolder
from attnlab.training.events import SnapshotEvent
from attnlab.training.snapshots_io import read_snapshot, write_snapshot
from attnlab.ui.network_panel import network_panel
from attnlab.viz.snapshots import ONE_POSITION, snapshot_panel
from tests.example_runs import trained_run
from tests.pages import open_page, texts

DRAWN = {"train_images": 100, "test_images": 40}


def attending(**dataset: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "dataset": {"name": "digits", "options": DRAWN, "subset": 64, "test_subset": 20, **dataset},
            "model": {"attention": "self_attention", "width": 8},
            "training": {"epochs": 1, "batch_size": 16},
        }
    )


@pytest.fixture(scope="module")
def attending_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_run(attending(), tmp_path_factory.mktemp("attending")).path


def test_only_what_adds_attended_features_has_a_number_that_weighs_its_map() -> None:
    found = {name: attention_scalars(build_attention(name, 16, (8, 8), {})) for name in list_attention()}
    assert {name: scalars for name, scalars in found.items() if scalars} == {
        "dual": {"dual.channel.gamma": 0.0, "dual.position.gamma": 0.0},
        "self_attention": {"self_attention.gamma": 0.0},
    }
    network = build_model(ModelConfig(backbone="attention_vgg16", width=2), ImageShape(3, 32, 32), 2)
    assert attention_scalars(network) == {}, "the bias of a gate's score weighs no map"


def test_a_number_is_called_by_its_place() -> None:
    names = [f"blocks.{block}.attention1.self_attention.gamma" for block in (0, 1)]
    assert list(scalar_titles(names).values()) == ["gamma · block 1", "gamma · block 2"]


def test_snapshots_keep_the_numbers_and_those_without_are_read_too() -> None:
    event = SnapshotEvent(step=3, maps=(), probabilities=np.zeros((2, 2), np.float16), scalars={"a.gamma": -0.12345678})
    file = io.BytesIO()
    write_snapshot(file, event)
    assert read_snapshot(file.getvalue()).scalars == {"a.gamma": pytest.approx(-0.12345678, rel=1e-5)}
    stored = dict(np.load(io.BytesIO(file.getvalue())))
    stored["header"] = np.frombuffer(stored["header"].tobytes().replace(b',"scalars":{"a.gamma":-0.123457}', b""), np.uint8)
    older = io.BytesIO()
    np.savez(older, **stored)
    assert read_snapshot(older.getvalue()).scalars == {}


def test_gamma_is_shown_while_it_grows(app: AppTest, attending_run: Path, private_home: Path) -> None:
    folder = RunFolder(shutil.copytree(attending_run, private_home / "runs" / attending_run.name))
    grown = [list(folder.snapshot(step).scalars.values()) for step in folder.snapshot_steps()]
    assert grown[0] == [0.0] * 4 and all(value != 0 for value in grown[-1])
    page = open_page(app, "pages/inspect_attention.py")
    page.selectbox("inspect.run").select(folder.run_id).run()
    page.segmented_control("inspect.from.test.learned.own").set_value("learned").run()
    assert not page.exception, page.exception
    assert "Gamma starts at 0" in texts(page)


def test_the_variants_page_shows_what_its_benchmark_measured(app: AppTest, attending_run: Path, private_home: Path) -> None:
    folder = RunFolder(shutil.copytree(attending_run, private_home / "runs" / attending_run.name))
    app.query_params["run"] = folder.run_id
    page = open_page(app, "pages/inspect_attention.py")
    assert "benchmarks/self_attention.py" in texts(page) and (paths.ROOT / "benchmarks" / "self_attention.py").exists()


@pytest.mark.parametrize(
    ("backbone", "side", "idle"),
    [
        ("resnet18", 32, ["layer4.0.attention.self_attention.tap", "layer4.1.attention.self_attention.tap"]),
        ("resnet18", 64, []),
    ],
)
def test_places_where_a_map_has_one_position_are_found(backbone: str, side: int, idle: list[str]) -> None:
    config = ModelConfig(backbone=backbone, attention="self_attention", width=8, placement="block_end")
    assert single_positions(config, ImageShape(3, side, side), 10) == idle


def test_a_map_of_one_position_says_so_beside_the_picture(private_home: Path) -> None:
    """Maps of a ResNet-18 on 32 x 32 pixels end at one position; those of its third stage have four."""
    config = attending(image_size=32).changed(model__backbone="resnet18", model__width=4, model__placement="block_end")
    for stage, told in (("4", True), ("3", False)):
        folder = trained_run(config.changed(model__options={"stages": stage}), private_home / "runs")
        opened = open_run(folder.path)
        image = torch.zeros(opened.shape, dtype=torch.uint8)
        now = network_panel(opened, image, title="now")
        before = snapshot_panel(folder, 0, title="while it learned")
        for layer in (*now.layers, *before.layers):
            assert (layer.note == ONE_POSITION) == (told and derived(layer.name) is None)


def test_over_one_position_self_attention_adds_gamma_times_the_value() -> None:
    """As a network that gives (B, 2048, 1, 1) would hand it on."""
    block = build_attention("self_attention", 2048, (1, 1), {}).double()
    inner = next(module for module in block.modules() if hasattr(module, "gamma"))
    torch.nn.init.constant_(inner.gamma, 0.5)
    x = torch.randn(3, 2048, 1, 1, dtype=torch.float64)
    torch.testing.assert_close(block(x), x + 0.5 * inner.value(x))


def test_the_form_says_that_attention_over_one_position_is_the_identity(app: AppTest) -> None:
    page = open_page(app, "pages/train.py")
    page.selectbox("form.model.backbone").select("resnet18").run()
    page.multiselect("form.variants").set_value(["self_attention"]).run()
    page.selectbox("form.model.resnet18.stages").select_index(0).run()  # all
    page.number_input("form.dataset.image_size").set_value(32).run()
    assert "Attention over one position is the identity" in texts(page)
    page.number_input("form.dataset.image_size").set_value(64).run()
    assert "Attention over one position is the identity" not in texts(page)
