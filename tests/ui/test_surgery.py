"""Surgery on the Inspect page: what a person does there is what is done to the network, and nothing runs while it is folded."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.attention import attention_taps
from attnlab.experiments.managers import get_manager
from attnlab.explain.in_browser import exported
from attnlab.explain.open_run import OpenRun, open_run
from attnlab.explain.surgery.effect import accuracy_change, operate, standard_interventions
from attnlab.explain.surgery.operations import OPERATIONS, Intervention, applicable
from attnlab.maps import MapScale, tap_behind
from attnlab.ui.components.mask_editor import Canvas, cells_from_link, cells_to_link, decode_cells
from attnlab.ui.inspect.surgery_on_server import field, target
from attnlab.ui.run_cache import opened_network, run_dataset
from attnlab.viz.panels import layer
from tests.example_runs import SMALL_MAPS, trained_run
from tests.pages import INSPECT, ROOT, open_page, texts


def component(app: AppTest, name: str) -> dict[str, Any] | None:
    """What the brush, the bars or the viewer was given; `None` where they are not on the page."""
    field_of = {"brush": "paintable", "shift": "says", "viewer": "meta", "browser": "operations"}[name]
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.mixed.json or element.proto.json or "{}")
        if field_of in data:
            return data
    return None


def bars(app: AppTest) -> dict[str, tuple[float, float]]:
    data = component(app, "shift")
    assert data is not None
    return {name: (was, now) for name, was, now in zip(data["classes"], data["before"], data["after"], strict=True)}


def unfolded(app: AppTest, run_id: str, operation: str = "Off", where: str = "every map", way: str = "server") -> AppTest:
    """Surgery as it is where the browser does not run the network."""
    app.query_params["way"] = way
    app.query_params["run"] = run_id
    app.query_params["surgery"] = "true"
    app.query_params["operation"] = operation
    app.query_params["where"] = where
    return open_page(app, INSPECT)


def expected(opened: OpenRun, image: torch.Tensor, given: Intervention) -> np.ndarray:
    return operate(opened.model, image[None], opened.mean, opened.std, given, probabilities=opened.probabilities).probabilities[
        0
    ]


def test_nothing_runs_while_folded(app: AppTest, listed_run_id: str) -> None:
    app.query_params["run"] = listed_run_id
    open_page(app, INSPECT)
    assert any(box.label.startswith("Surgery") for box in app.expander)
    assert component(app, "brush") is None and component(app, "shift") is None


def test_each_change_is_one_forward_and_moves_the_bars(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    unfolded(app, listed_run_id)
    record = get_manager().get(listed_run_id)
    opened, image = open_run(small_maps_run), run_dataset(record).test.images[0]
    before = opened.inspect(image[None]).probabilities[0]
    forwards: list[object] = []
    hook = opened_network(record).model.register_forward_hook(lambda *_: forwards.append(1))
    try:
        for chosen, given in [("uniform", Intervention("uniform")), ("invert", Intervention("invert"))]:
            forwards.clear()
            app.segmented_control("operation").set_value(chosen).run()
            assert not app.exception and len(forwards) == 1
            after = expected(opened, image, given)
            for name, (was, now) in bars(app).items():
                index = opened.class_names.index(name)
                assert (was, now) == (pytest.approx(before[index], abs=1e-4), pytest.approx(after[index], abs=1e-4))
    finally:
        hook.remove()


def test_gamma_starts_where_it_was_learned(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    unfolded(app, listed_run_id, "Gamma")
    assert all(abs(was - now) < 0.01 for was, now in bars(app).values())
    slider = next(each for each in app.slider if each.label == "Gamma")
    slider.set_value(0.9).run()
    opened = open_run(small_maps_run)
    after = expected(opened, run_dataset(get_manager().get(listed_run_id)).test.images[0], Intervention("gamma", 0.9))
    for name, (_, now) in bars(app).items():
        assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)


def test_what_the_brush_sent_is_painted(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    unfolded(app, listed_run_id, "Painted")
    given = component(app, "brush")
    assert given is not None and given["paintable"] and given["grid"] == [15, 15]
    cells = np.zeros((15, 15), np.uint8)
    cells[4:9, 4:9] = 2
    told = {"id": given["id"], "cells": base64.b64encode(cells.tobytes()).decode()}
    app.session_state["surgery.brush"] = {"painted": told}
    app.run()
    assert not app.exception
    wanted = torch.full((15, 15), torch.nan)
    wanted[4:9, 4:9] = 0
    opened = open_run(small_maps_run)
    after = expected(opened, run_dataset(get_manager().get(listed_run_id)).test.images[0], Intervention("paint", target=wanted))
    for name, (_, now) in bars(app).items():
        assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)


def test_the_link_holds_what_was_done(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    opened, image = open_run(small_maps_run), run_dataset(get_manager().get(listed_run_id)).test.images[0]

    def assert_shows(given: Intervention) -> None:
        after = expected(opened, image, given)
        for name, (_, now) in bars(app).items():
            assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)

    app.query_params["gamma"] = "0.9"
    unfolded(app, listed_run_id, "Gamma")
    assert_shows(Intervention("gamma", 0.9))
    next(each for each in app.slider if each.label == "Gamma").set_value(0.4).run()
    assert app.query_params["gamma"] == "0.400"

    cells = np.zeros((15, 15), np.uint8)
    cells[4:9, 4:9] = 2
    app.query_params["strokes"] = cells_to_link(cells)
    app.segmented_control("operation").set_value("paint").run()
    wanted = torch.full((15, 15), torch.nan)
    wanted[4:9, 4:9] = 0
    assert_shows(Intervention("paint", target=wanted))
    shown = component(app, "brush")
    assert shown is not None and base64.b64decode(shown["painted"]) == cells.tobytes()
    app.session_state["surgery.brush"] = {"painted": {"id": shown["id"], "cells": base64.b64encode(bytes(225)).decode()}}
    app.run()
    assert_shows(Intervention("paint", target=torch.full((15, 15), torch.nan)))
    assert "strokes" not in app.query_params  # wiped

    place = list(app.selectbox("where").options)[-1]
    again = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    again.query_params["temperature"] = "3.0"
    unfolded(again, listed_run_id, OPERATIONS["temperature"].title, place)
    assert again.select_slider("temperature").value == 3.0
    tap = again.selectbox("where").value
    assert tap.endswith("self_attention.tap") and tap in attention_taps(opened.model)
    after = expected(opened, image, Intervention("temperature", 3.0, (tap,)))
    for name, (_, now) in bars(again).items():
        assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)


def test_it_begins_with_the_map_in_view(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    opened, image = open_run(small_maps_run), run_dataset(get_manager().get(listed_run_id)).test.images[0]
    unfolded(app, listed_run_id, where="the map shown above")
    given = component(app, "brush")
    assert given is not None
    viewer = component(app, "viewer")
    assert viewer is not None and viewer["tells"]
    layers = viewer["meta"]["panels"][0]["layers"]
    assert given["label"] == layers[viewer["options"]["first"]]["title"]
    for shown in layers:
        app.session_state["inspect.viewer"] = {"layers": [shown["name"]]}
        app.run()
        assert not app.exception
        brush = component(app, "brush")
        tap = tap_behind(shown["name"], list(attention_taps(opened.model)))  # of what a block adds its own map
        title = next(layer["title"] for layer in layers if layer["name"] == tap)
        assert brush is not None and brush["label"] == title
        after = expected(opened, image, Intervention("off", taps=(tap,)))
        for name, (_, now) in bars(app).items():
            assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)


def test_an_image_whose_prediction_changes_is_offered(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    opened, images = open_run(small_maps_run), run_dataset(get_manager().get(listed_run_id)).test.images
    given = Intervention("invert")
    before = opened.inspect(images).probabilities.argmax(axis=1)
    after = [int(expected(opened, image, given).argmax()) for image in images]
    moved = [index for index in range(len(images)) if before[index] != after[index]]
    still = next(index for index in range(len(images)) if index not in moved)
    app.query_params["img"] = str(still)
    app.query_params["class"] = opened.class_names[int(run_dataset(get_manager().get(listed_run_id)).test.labels[still])]
    unfolded(app, listed_run_id, OPERATIONS["invert"].title)
    assert all(abs(was - now) < 0.5 or was < 0.5 for was, now in bars(app).values())
    buttons = [button for button in app.button if (button.key or "").startswith("surgery.moved.")]
    assert [int(button.key.rpartition(".")[2]) for button in buttons] == moved[:5] and moved
    buttons[0].click().run()
    assert not app.exception
    assert app.query_params["img"] == str(moved[0])
    shown = bars(app)
    was, now = (max(shown, key=lambda name: shown[name][side]) for side in (0, 1))
    assert [was, now] == [opened.class_names[classes[moved[0]]] for classes in (before, after)]
    assert "surgery.moved" not in " ".join(button.key or "" for button in app.button)


def test_of_several_runs_the_one_that_is_chosen_is_operated_on(app: AppTest, listed_run_id: str, private_home: Path) -> None:
    twin = trained_run(SMALL_MAPS.changed(seed=1), private_home / "runs")
    get_manager().store.refresh(twin)
    app.query_params["beside"] = twin.run_id
    unfolded(app, listed_run_id, "Uniform")
    image = run_dataset(get_manager().get(listed_run_id)).test.images[0]
    for seed, run_id_of in enumerate((listed_run_id, twin.run_id)):
        closer = next(each for each in app.segmented_control if each.label == "Used in the sections below")
        closer.set_value(f"eca + self_attention · seed {seed}").run()
        assert not app.exception, app.exception
        opened = open_run(private_home / "runs" / run_id_of)
        after = expected(opened, image, Intervention("uniform"))
        for name, (_, now) in bars(app).items():
            assert now == pytest.approx(after[opened.class_names.index(name)], abs=1e-4)


def test_all_operations_over_a_set(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    unfolded(app, listed_run_id)
    app.button("surgery.all").click().run()
    assert not app.exception, app.exception
    opened, split = open_run(small_maps_run), run_dataset(get_manager().get(listed_run_id)).test
    changes = accuracy_change(
        opened.model,
        split.images,
        split.labels,
        opened.mean,
        opened.std,
        standard_interventions(opened.model),
        probabilities=opened.probabilities,
    )
    table = app.dataframe[0].value
    assert list(table["operation"])[:5] == [
        "Off",
        "Uniform",
        "Shuffled",
        "Sharper (temperature 0.5)",
        "Flatter (temperature 2)",
    ]
    assert list(table["accuracy"]) == pytest.approx([100 * change.after for change in changes])
    assert list(table["lost"]) == [change.lost for change in changes]
    assert "The first 60 test images" in texts(app)  # this run's test set has no more


CANVAS = Canvas("map", np.zeros((2, 3), np.float32), np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        {"id": "of another canvas", "cells": base64.b64encode(bytes([1] * 6)).decode()},
        {"id": CANVAS.identity, "cells": base64.b64encode(bytes([1] * 5)).decode()},
        {"id": CANVAS.identity, "cells": base64.b64encode(bytes([3] * 6)).decode()},
        {"id": CANVAS.identity, "cells": "no base64!"},
    ],
)
def test_cells_that_are_not_of_this_canvas_paint_nothing(told: dict[str, str] | None) -> None:
    assert decode_cells(told, CANVAS) is None


def test_cells_become_weights() -> None:
    told = {"id": CANVAS.identity, "cells": base64.b64encode(bytes([0, 1, 2, 0, 0, 1])).decode()}
    cells = decode_cells(told, CANVAS)
    assert cells is not None
    np.testing.assert_array_equal(target(cells, CANVAS), [[np.nan, 1, 0], [np.nan, np.nan, 1]])
    pairs = Canvas("pairs", CANVAS.values, CANVAS.image, MapScale.SOFTMAX)
    np.testing.assert_array_equal(target(cells, pairs), [[np.nan, 4, 0], [np.nan, np.nan, 4]])
    factors = Canvas("factors", CANVAS.values, CANVAS.image, MapScale.FACTOR, neutral=1.0)
    np.testing.assert_array_equal(target(cells, factors), [[np.nan, 2, 0], [np.nan, np.nan, 2]])
    assert factors.ends == (0, 2) and pairs.ends == (0, 4) and CANVAS.ends == (0, 1)
    channels = Canvas("gates", CANVAS.values)
    np.testing.assert_array_equal(target(cells, channels), [np.nan, 1, 0, np.nan, np.nan, 1])


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=16), elements=st.integers(0, 2)))
def test_cells_come_back_from_a_link(cells: np.ndarray) -> None:
    canvas = Canvas("gate", np.zeros(cells.shape, np.float32))
    np.testing.assert_array_equal(cells_from_link(cells_to_link(cells), canvas), cells)


@pytest.mark.parametrize("text", ["", "x", "0x3", "3x2", "1x999999", "1x2.", "1x7", "1x-2", "\u0661x2"])
def test_a_link_that_is_not_of_this_canvas_paints_nothing(text: str) -> None:
    assert not cells_from_link(text, CANVAS).any()


def test_fields_are_in_the_units_people_read() -> None:
    pairs = layer(
        "p", "pairwise", [[0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [1, 0, 0, 0], [1, 0, 0, 0]], scale="softmax", grid=(2, 2)
    )
    np.testing.assert_allclose(field(pairs), [[3, 0.5], [0.5, 0]])  # column means are 3/4, 1/8, 1/8, 0
    assert field(layer("c", "channel", np.linspace(0, 1, 12))).shape == (3, 4)
    assert field(layer("c", "channel", np.linspace(0, 1, 7))).shape == (1, 7)


def test_the_browser_is_given_the_network_and_what_can_be_done_to_it(
    app: AppTest, listed_run_id: str, small_maps_run: Path
) -> None:
    unfolded(app, listed_run_id, way="")
    given, opened = component(app, "browser"), open_run(small_maps_run)
    assert given is not None and component(app, "shift") is None, "the server computes nothing"
    assert (paths.cache_dir() / "networks" / given["network"]).read_bytes() == exported(opened)
    assert [each["name"] for each in given["operations"]] == [each.name for each in applicable(opened.model)]
    assert {each["name"] for each in given["places"]} == set(attention_taps(opened.model))
    assert "on the server" not in texts(app)


def test_a_browser_that_cannot_run_it_says_why_and_the_server_does(app: AppTest, listed_run_id: str) -> None:
    unfolded(app, listed_run_id, way="")
    given = component(app, "browser")
    assert given is not None
    key = f"surgery.browser.{listed_run_id}"
    app.session_state[key] = {"failed": {"network": given["network"], "why": "this browser is too old"}}
    app.run()
    assert not app.exception
    assert "because this browser is too old" in texts(app) and bars(app)


def test_images_are_looked_for_when_the_browser_asks(app: AppTest, listed_run_id: str, small_maps_run: Path) -> None:
    unfolded(app, listed_run_id, way="")
    key = f"surgery.browser.{listed_run_id}"
    tap = next(iter(attention_taps(open_run(small_maps_run).model)))
    for asked, offered in (
        ({"operation": "invert", "amount": 1, "taps": None, "seed": 0}, True),
        ({"operation": "invert", "amount": 7, "taps": None, "seed": 0}, False),
        ({"operation": "invert", "amount": 1, "taps": [tap, "of another network"], "seed": 0}, False),
        ({"operation": "delete everything"}, False),
        ("no intervention", False),
    ):
        app.session_state[key] = {"asked": asked}
        app.run()
        assert not app.exception
        assert any((button.key or "").startswith("surgery.moved.") for button in app.button) == offered, asked
