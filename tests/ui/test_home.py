"""The first page: there before torch, moving, and leading on."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.attention import list_attention
from attnlab.config import RunConfig
from attnlab.experiments.managers import get_manager
from attnlab.maps import MapKind, MapScale
from attnlab.runs.folder import RunFolder
from attnlab.training.events import ProbeEvent, SnapshotEvent, SnapshotMap
from attnlab.ui.home import demo_strip
from tests.example_runs import finished_run
from tests.example_showcase import SURE, UNSURE, confirmed, write_showcase
from tests.pages import INSPECT, ROOT, open_page, texts

WITHOUT_TORCH = """
import sys
from attnlab.ui import warmup
warmup.AFTER_FIRST_PAINT = 600
from streamlit.testing.v1 import AppTest
page = AppTest.from_file("app.py", default_timeout=60).run()
assert not page.exception, page.exception
assert page.title[0].value
sys.exit("torch is loaded" if "torch" in sys.modules else 0)
"""


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for shipped runs in place of the project's."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    monkeypatch.setattr(demo_strip, "DEMO_RUNS", folder)
    return folder


def test_the_first_page_is_there_before_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def test_without_shipped_runs_it_tells_the_command(app: AppTest, shipped: Path) -> None:
    app.run()
    assert not app.exception
    assert [code.value for code in app.code] == ["attnlab demo"]


def test_shipped_runs_move_on_the_picture_that_is_chosen(app: AppTest, shipped: Path, tmp_path: Path) -> None:
    for attention, kind in (("cbam_spatial", MapKind.SPATIAL), ("eca", MapKind.CHANNEL)):
        folder = finished_run(tmp_path, RunConfig().changed(model__attention=attention), 0.9)
        images = np.stack([np.full((3, 8, 8), 10), np.full((3, 8, 8), 20)]).astype(np.uint8)
        folder.write_probes(ProbeEvent(images=images, labels=np.array([1, 7]), masks=None, names=("a", "b")))
        for step in (0, 5, 9):
            folder.write_snapshot(_snapshot(attention, kind, step))
        shutil.move(folder.path, shipped / folder.run_id)
    app.run()
    assert not app.exception
    shown = _viewer(app)
    assert [panel["title"] for panel in shown["panels"]] == ["cbam_spatial"]  # gates of channels alone make no picture
    assert shown["panels"][0]["steps"] == [0, 5, 9]
    assert shown["panels"][0]["truth"] == 1
    app.segmented_control("picture").set_value(1).run()
    assert _viewer(app)["panels"][0]["truth"] == 7


@pytest.fixture
def pointing_runs(shipped: Path, tmp_path: Path) -> dict[str, str]:
    """Two shipped runs, one of which points at the object in its images: attention -> group."""
    masks = np.zeros((2, 8, 8), bool)
    masks[:, 2:4, 2:4] = True
    groups = {}
    for attention, places in (("cbam_spatial", [(0, 0), (3, 3)]), ("eca+cbam_spatial", [(3, 3), (1, 1)])):
        folder = finished_run(tmp_path, RunConfig().changed(model__attention=attention), 0.9)
        images = np.zeros((2, 3, 8, 8), np.uint8)
        folder.write_probes(ProbeEvent(images=images, labels=np.array([1, 7]), masks=masks, names=("a", "b")))
        maps = []
        for block, (row, column) in enumerate(places):
            codes = np.full((2, 4, 4), 50, np.uint8)
            codes[:, row, column] = 200
            name = f"blocks.{block}.attention1.{attention}.tap"
            maps.append(SnapshotMap(name, MapKind.SPATIAL, MapScale.GATE, (4, 4), codes, np.ones(2, np.float32)))
        folder.write_snapshot(SnapshotEvent(step=9, maps=maps, probabilities=np.full((2, 10), 0.1, np.float16)))
        groups[attention] = folder.config.group
        shutil.move(folder.path, shipped / folder.run_id)
    return groups


def test_the_map_that_finds_the_object_comes_first_and_is_explained(app: AppTest, pointing_runs: dict[str, str]) -> None:
    app.run()
    assert not app.exception
    guide, other = (json.loads(element.proto.mixed.json) for element in app.get("bidi_component"))
    assert [shown["meta"]["panels"][0]["title"] for shown in (guide, other)] == ["eca + cbam_spatial", "cbam_spatial"]
    assert guide["options"]["first"] == 1 and other["options"]["first"] == 0
    text = texts(app)
    assert "Its highest weight lies on the object in 2 of the 2 images; a random position would in 6%." in text
    for term in ("Position", "Channel", "Gate", "Block and map", "Outline", "N × weight"):
        assert f"**{term}.**" in text
    assert "4 × 4 positions" in text and "is the map of" in text
    assert "Its highest weight lies on the object in 0 of the 2 images, about as often as chance; a random position" in text
    assert "These find the object" in text and "These do not" in text and "Holm" not in text


def test_what_was_tested_over_several_trainings_decides_and_is_said(
    app: AppTest, pointing_runs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The images that the runs kept say the opposite, and they are only two."""
    tap = "blocks.0.attention1.cbam_spatial.tap"
    found = confirmed(SURE, group=pointing_runs["cbam_spatial"], tap=tap)
    other = confirmed(
        UNSURE, group=pointing_runs["eca+cbam_spatial"], tap="blocks.1.attention1.eca+cbam_spatial.tap", pointing=0.1
    )
    monkeypatch.setattr(paths, "SHOWCASE", tmp_path / "showcase.json")
    write_showcase(paths.SHOWCASE, other, found)
    app.run()
    assert not app.exception
    first, second = (json.loads(element.proto.mixed.json) for element in app.get("bidi_component"))
    assert [shown["meta"]["panels"][0]["title"] for shown in (first, second)] == ["cbam_spatial", "eca + cbam_spatial"]
    assert (first["options"]["first"], second["options"]["first"]) == (0, 1)
    text = texts(app)
    order = ["These find the object", found.sentence(), "These do not", other.sentence()]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)
    assert "of the 2 images" not in text and "in every training it beats" in text
    assert "Not shown: eca" in text


@pytest.mark.parametrize("finds", ["cbam_spatial", "eca+cbam_spatial"])
def test_inspect_begins_with_the_shipped_run_whose_map_finds_the_object(
    finds: str, app: AppTest, pointing_runs: dict[str, str], shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "DEMO_RUNS", shipped)
    monkeypatch.setattr(paths, "SHOWCASE", tmp_path / "showcase.json")
    found = [
        confirmed(SURE if name == finds else UNSURE, group=group, tap=f"blocks.0.attention1.{name}.tap")
        for name, group in pointing_runs.items()
    ]
    write_showcase(paths.SHOWCASE, *found)
    get_manager().store.sync()
    open_page(app, INSPECT)
    group = app.selectbox("inspect.run").value.rsplit("-", 2)[0]
    assert pointing_runs[finds].startswith(group)


def test_every_registered_variant_has_a_card(app: AppTest, shipped: Path) -> None:
    app.run()
    text = "".join(texts(app.segmented_control("home.kind").set_value(kind).run()) for kind in MapKind)
    for variant in list_attention().values():
        assert f"**{variant.title}**" in text
        assert variant.summary in text


def _snapshot(attention: str, kind: MapKind, step: int) -> SnapshotEvent:
    name = f"blocks.0.attention1.{attention}.tap"
    shape, grid = ((2, 4, 4), (4, 4)) if kind is MapKind.SPATIAL else ((2, 12), (1, 12))
    codes, peaks = np.full(shape, step, np.uint8), np.ones(2, np.float32)
    return SnapshotEvent(
        step=step,
        maps=[SnapshotMap(name, kind, MapScale.GATE, grid, codes, peaks)],
        probabilities=np.full((2, 10), 0.1, np.float16),
    )


def _viewer(app: AppTest) -> dict:
    """What the viewer was given, without the pictures' bytes."""
    (element,) = app.get("bidi_component")
    return json.loads(element.proto.mixed.json)["meta"]


def test_folders_are_real_runs(tmp_path: Path) -> None:
    assert RunFolder(finished_run(tmp_path, RunConfig(), 0.5).path).observe().state == "finished"
