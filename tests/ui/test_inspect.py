"""Inspect: a run's test pictures, its probes while it learned, and what to do when there is nothing to look at."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest
from torch import nn

from attnlab.attention import build_attention
from attnlab.config import RunConfig
from attnlab.data.decode import decode_image
from attnlab.experiments.managers import get_manager
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.maps import MapKind
from attnlab.paths import DEMO_RUNS
from attnlab.recording import Recorder
from attnlab.runs.folder import RunFolder, run_folders
from attnlab.training.presets import one_minute
from attnlab.ui import background
from attnlab.ui.components.paste import pasted_bytes
from attnlab.ui.inspect import predictions
from attnlab.ui.inspect.network import raw_arrays
from attnlab.ui.network_panel import network_panel
from attnlab.ui.run_cache import run_dataset
from attnlab.viz.raw_maps import json_bytes, npz_bytes, panel_arrays
from attnlab.viz.snapshots import snapshot_panel
from tests.example_runs import finished_run
from tests.pages import INSPECT, open_page, texts
from tests.waiting import wait_until


def shown(app: AppTest) -> dict:
    """What the viewer on the page was given."""
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.mixed.json or element.proto.json or "{}")
        if "meta" in data:
            return data["meta"]
    raise AssertionError("there is no viewer on the page")


def test_a_recorded_run_is_shown_on_every_page_with_what_it_cannot_do(app: AppTest) -> None:
    recorded = []
    for network in (nn.Flatten(), nn.Identity()):  # with scores of classes, and without
        model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), build_attention("cbam", 4, (8, 8)), network)
        with Recorder(model, torch.rand(2, 3, 8, 8), mean=0, std=1, name="mine *x*") as recorder:
            for epoch in (1, 2):
                recorder.log(loss=1 / epoch)
                recorder.log(epoch=epoch, val_acc=0.5)
            recorder.close(test_accuracy=0.5)
        recorded.append(recorder.run_id)
    for run_id in recorded:
        app.query_params["run"] = run_id
        page = open_page(app, INSPECT)
        panel = shown(page)["panels"][0]
        assert panel["steps"] == [0, 1, 2] and panel["truth"] is None and len(panel["layers"]) == 2
        assert "cannot build its network" in texts(page)
    for file in ("pages/train.py", "pages/compare.py", "pages/home.py"):
        page = open_page(app, file)
        assert "Resume" not in [button.label for button in page.button]


def strip(app: AppTest) -> list[dict]:
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.mixed.json or element.proto.json or "{}")
        if "items" in data:
            return data["items"]
    raise AssertionError("there are no pictures to choose from")


def _shift(app: AppTest) -> dict:
    """What the bars of the surgery were given."""
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.mixed.json or element.proto.json or "{}")
        if "says" in data:
            return data
    raise AssertionError("there are no bars on the page")


def test_without_any_run_it_says_how_to_make_one(app: AppTest) -> None:
    open_page(app, INSPECT)
    assert "no trained run yet" in texts(app)
    assert "attnlab demo" in app.code[0].value


def test_a_test_picture_shows_every_map_and_the_prediction(app: AppTest, listed_run_id: str) -> None:
    app.query_params["run"] = listed_run_id
    open_page(app, INSPECT)
    (panel,) = shown(app)["panels"]
    kinds = [(layer["kind"], layer["title"], layer["scale"]) for layer in panel["layers"]]
    assert kinds == [
        ("channel", "block 1 · eca", "gate"),
        ("pairwise", "block 1 · self attention", "softmax"),
        ("channel", "block 2 · eca", "gate"),
        ("pairwise", "block 2 · self attention", "softmax"),
        ("spatial", "block 1 · self attention · what is added", "factor"),
        ("spatial", "block 2 · self attention · what is added", "factor"),
    ]
    assert panel["layers"][0]["window"] == 3
    assert panel["layers"][1]["rows"] == panel["layers"][1]["length"] == 15 * 15
    assert panel["truth"] is not None and panel["probabilities"]["rows"] == 1 and "mask" in panel
    assert "efficient" in texts(app).lower() or "ECA" in texts(app)
    assert "What a map does not say" in texts(app)
    assert len(app.latex) == 2


def test_pictures_are_found_by_class_and_outcome(app: AppTest, run_id: str) -> None:
    app.query_params["run"] = run_id
    open_page(app, INSPECT)
    everything = strip(app)
    assert len(everything) == 60
    app.segmented_control("outcome").set_value("wrong").run()
    wrong = strip(app)
    assert wrong == [item for item in everything if not item["right"]]
    app.selectbox("class").set_value("3").run()
    assert all(item["title"].startswith(f"Test image {item['index']}: 3,") for item in strip(app))


def test_the_first_map_is_there_before_the_test_images_are_predicted(
    app: AppTest, listed_run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    predict = predictions._predict

    def slow(opened: OpenRun, images: torch.Tensor, tell: Callable[[int, int], None]) -> predictions.Predictions:
        tell(32, len(images))
        released.wait(60)
        return predict(opened, images, tell)

    monkeypatch.setattr(background, "PATIENCE", 0.0)
    monkeypatch.setattr(predictions, "_predict", slow)
    predictions._predicting.clear()
    app.query_params["run"] = listed_run_id
    app.query_params["img"] = "17"
    open_page(app, INSPECT)
    assert shown(app)["panels"][0]["subtitle"] == "test image 17"
    assert shown(app)["panels"][0]["probabilities"] is not None
    first = strip(app)
    assert len(first) == 60 and {item["right"] for item in first} == {None}
    job = predictions.predicting(get_manager().get(listed_run_id))
    wait_until(lambda: job.total > 0, "the predictions begin")
    (bar,) = app.run().get("progress")
    assert bar.proto.text.startswith("Predicting test images: 32 of 60")
    assert app.segmented_control("outcome").disabled
    released.set()
    assert job.result(patience=60) is not None
    app.run()
    assert not app.get("progress") and not app.segmented_control("outcome").disabled
    assert {item["right"] for item in strip(app)} <= {True, False}
    assert "are predicted correctly" in texts(app)


def test_a_link_opens_its_picture(app: AppTest, run_id: str) -> None:
    app.query_params["run"] = run_id
    app.query_params["img"] = "17"
    open_page(app, INSPECT)
    assert shown(app)["panels"][0]["subtitle"] == "test image 17"


def test_several_pictures_of_one_run_lie_side_by_side(app: AppTest, run_id: str) -> None:
    app.query_params["run"] = run_id
    app.query_params["img"] = ["17", "3", "99999", "x", "17"]
    app.query_params["surgery"] = "true"
    app.query_params["way"] = "server"
    open_page(app, INSPECT)
    panels = shown(app)["panels"]
    assert [panel["title"] for panel in panels] == ["test image 17", "test image 3"]
    assert {panel["run"] for panel in panels} == {run_id}
    closer = next(control for control in app.segmented_control if control.label == "Used in the sections below")
    assert closer.options == ["test image 17", "test image 3"]
    record = get_manager().get(run_id)
    test = run_dataset(record).test
    arrays = raw_arrays([record] * 2, [test.images[17], test.images[3]], ["a", "b"])
    assert [panel["truth"] for panel in panels] == test.labels[[17, 3]].tolist()
    for place, name in ((0, "a"), (1, "b")):
        next(each for each in app.segmented_control if each.label == "Used in the sections below").set_value(
            closer.options[place]
        ).run()
        assert _shift(app)["before"] == pytest.approx(arrays[f"{name}/probabilities"], abs=1e-3)


def test_while_it_learned_needs_no_network(app: AppTest, run_id: str) -> None:
    app.query_params["run"] = run_id
    open_page(app, INSPECT)
    source = next(control for control in app.segmented_control if control.key.startswith("inspect.from"))
    source.set_value("learned").run()
    (panel,) = shown(app)["panels"]
    assert panel["steps"][0] == 0 and len(panel["steps"]) > 3
    assert panel["probabilities"]["rows"] == len(panel["steps"]) == panel["layers"][0]["moments"]
    assert len(strip(app)) == 8
    best = get_manager().get(run_id).result["best_epoch"]
    assert f"epoch {best}, which ends with step {panel['tested']:,} and is marked, is the one that was tested" in texts(app)


@pytest.mark.parametrize("attention", ["eca", "eca+cbam_spatial"])
def test_a_link_to_a_missing_run_says_how_to_make_it_again(app: AppTest, run_id: str, attention: str) -> None:
    app.query_params["run"] = one_minute(attention, 3).run_id
    open_page(app, INSPECT)
    assert "a run that is not on this server" in texts(app)
    assert app.code[0].value == f"attnlab train --attention {attention} --seed 3"
    assert shown(app)["panels"]


def test_a_link_to_a_run_of_other_settings_promises_no_command(app: AppTest, run_id: str) -> None:
    app.query_params["run"] = "digits-small_cnn-eca-s3-0123456789"
    open_page(app, INSPECT)
    assert "trained with the same ones, it gets this name again" in texts(app) and not app.code


def test_a_run_of_which_only_the_figures_are_here_is_not_called_missing(app: AppTest, run_id: str) -> None:
    figures = finished_run(get_manager().home, RunConfig(seed=7), 0.5)
    get_manager().store.sync()
    app.query_params["run"] = figures.run_id
    open_page(app, INSPECT)
    assert "only its figures are here" in texts(app) and "not on this server" not in texts(app)


def test_an_upload_is_fitted_like_the_training_pictures(small_maps_run: Path) -> None:
    opened = open_run(small_maps_run)
    image = torch.randint(0, 256, opened.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sharp = np.zeros((384, 384, 3), np.uint8)
    panel = network_panel(opened, image, title="t", picture=sharp)
    inspected = opened.inspect(image[None], derived=True)
    np.testing.assert_array_equal(panel.probabilities, inspected.probabilities[0])
    for layer, seen in zip(panel.layers, inspected.maps, strict=True):
        span = float((layer.peak - layer.floor).max())
        rows = seen.values[0].reshape(layer.codes.shape[1], -1).numpy()
        np.testing.assert_allclose(layer.weights(), rows, atol=span / 510 + 1e-6)
    assert panel.image is sharp


def test_snapshots_end_at_the_networks_own_maps(small_maps_run: Path) -> None:
    """The last snapshot is the trained network's map of the probe, to the byte it was stored with."""
    folder = RunFolder(small_maps_run)
    panel = snapshot_panel(folder, 2, title="t")
    probes = folder.probes()
    assert probes is not None
    opened = open_run(small_maps_run, "last")
    inspected = opened.inspect(torch.from_numpy(probes.images[2:3]))
    stored = next(layer for layer in panel.layers if layer.kind == "channel")
    seen = next(each for each in inspected.maps if each.name == stored.name)
    np.testing.assert_allclose(stored.weights(-1)[0], seen.values.flatten().numpy(), atol=float(stored.peak[-1, 0]) / 255)
    assert panel.steps[-1] == folder.snapshot_steps()[-1]


@pytest.mark.parametrize(
    "folder", [folder for folder in run_folders(DEMO_RUNS) if folder.has_weights], ids=lambda folder: folder.run_id
)
def test_shipped_runs_are_drawn_from_their_stored_maps(folder: RunFolder) -> None:
    """Files of the first version give the gates of channels a grid of 1 x 1; all channels are there all the same."""
    panel = snapshot_panel(folder, 0, title="t")
    assert [layer.name for layer in panel.layers] == [stored.name for stored in folder.snapshot(panel.steps[-1]).maps]
    assert not [layer.note for layer in panel.layers if layer.kind is MapKind.CHANNEL and layer.note]
    best = folder.end()["result"]["best_epoch"]
    assert panel.tested == next(row["step"] for row in folder.metrics() if row["kind"] == "epoch" and row["epoch"] == best)


def test_raw_maps_are_saved_in_full_precision(run_id: str, app: AppTest) -> None:
    record = get_manager().get(run_id)
    opened = open_run(record.folder)
    image = torch.randint(0, 256, opened.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    arrays = raw_arrays([record], [image], [record.run_id])
    told = json.loads(json_bytes(arrays))
    with np.load(io.BytesIO(npz_bytes(arrays))) as saved:
        for seen in opened.inspect(image[None]).maps:
            weights = seen.values[0].numpy()
            name = f"{run_id}/{seen.name}"
            np.testing.assert_array_equal(saved[name], weights)
            np.testing.assert_array_equal(np.array(told[name]["values"], told[name]["dtype"]), weights)
        assert saved[f"{run_id}/probabilities"].sum() == pytest.approx(1, abs=1e-5)


def test_maps_of_a_time_lapse_are_saved_at_every_step(small_maps_run: Path) -> None:
    folder = RunFolder(small_maps_run)
    panel = snapshot_panel(folder, 0, title="t")
    saved = panel_arrays([panel])
    assert saved[f"{folder.run_id}/steps"].tolist() == folder.snapshot_steps()
    for layer in panel.layers:
        assert saved[f"{folder.run_id}/{layer.name}"].shape == layer.codes.shape
    np.testing.assert_array_equal(saved[f"{folder.run_id}/image"], panel.image)


def encoded(kind: str) -> bytes:
    """A picture of each sort that people hand in; its upper left quarter is red where it has colours."""
    image = Image.new("RGB", (48, 32), "white")
    image.paste((255, 0, 0), (0, 0, 24, 16))
    options: dict = {}
    if kind == "turned by EXIF":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 3
        image = image.rotate(180)
    elif kind == "transparent":
        image.putalpha(Image.new("L", image.size, 128))
    elif kind == "16-bit":
        image = Image.fromarray(np.full((32, 48), 40_000, np.uint16))
    elif kind == "CMYK":
        image = image.convert("CMYK")
    elif kind == "animated":
        options = {"save_all": True, "append_images": [Image.new("RGB", image.size, "blue")]}
    buffer = io.BytesIO()
    image.save(buffer, {"CMYK": "JPEG", "animated": "GIF"}.get(kind, "PNG"), **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "colour", "words"),
    [
        (encoded("turned by EXIF"), (255, 0, 0), ""),
        (encoded("transparent"), (255, 127, 127), "placed on white"),
        (encoded("16-bit"), (156, 156, 156), "scaled to 8"),
        (encoded("CMYK"), (254, 0, 0), ""),
        (encoded("animated"), (255, 0, 0), "its first frame is used"),
        (encoded("plain")[:90], None, "This image cannot be used: "),
        (b"no picture", None, "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PGM/PPM image"),
        (b"", None, "the file is empty"),
    ],
    ids=["EXIF", "alpha", "16-bit", "CMYK", "animated", "cut off", "foreign", "empty"],
)
def test_pictures_from_the_clipboard_are_decoded_or_refused_with_a_reason(
    app: AppTest, run_id: str, monkeypatch: pytest.MonkeyPatch, content: bytes, colour: tuple[int, ...] | None, words: str
) -> None:
    sent = base64.b64encode(content).decode()
    monkeypatch.setattr("attnlab.ui.inspect.own_image.paste", lambda **_: pasted_bytes(sent))  # AppTest has no clipboard
    app.query_params["run"] = run_id
    open_page(app, INSPECT)
    source = next(control for control in app.segmented_control if control.key.startswith("inspect.from"))
    source.set_value("own").run()
    assert words in texts(app)
    assert not app.exception
    if colour is None:
        with pytest.raises(AssertionError, match="no viewer"):
            shown(app)
        return
    opened = open_run(RunFolder(get_manager().get(run_id).folder).path)
    pixels = decode_image(content).pixels
    assert pixels.shape == (32, 48, 3)
    assert pixels[4, 4] == pytest.approx(np.array(colour), abs=4)
    (panel,) = shown(app)["panels"]
    assert panel["image"]["width"] >= 384 and panel["truth"] is None
    assert panel["subtitle"] == f"the network sees it at {opened.shape[1]} × {opened.shape[2]} pixels"
    assert "The network knows only its 10 classes" in texts(app).replace("\\", "")
    assert "The network sees the bright part: 32 × 32 of 48 × 32 pixels." in texts(app)
    app.segmented_control("inspect.own.fit").set_value("pad").run()
    assert "The network sees all 48 × 32 pixels" in texts(app)
