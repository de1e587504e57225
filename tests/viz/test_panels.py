"""Panels as they are packed for the viewer, and the colours, stills and titles that go with them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from attnlab.geometry import picture_cells
from attnlab.maps import MAX_POSITIONS
from attnlab.viz import panels as viz_panels
from attnlab.viz.colour import DIVERGING, TITLES, colourise, table
from attnlab.viz.overlay import overlay, thumbnails
from attnlab.viz.panels import Panel, layer, layer_from_codes, pack

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)


def softmax(queries: int, keys: int) -> np.ndarray:
    weights = np.exp(RNG.normal(size=(queries, keys)))
    return weights / weights.sum(axis=1, keepdims=True)


def panels() -> list[Panel]:
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [1.0, 0.0]], np.float32)
    spatial = RNG.random((3, 3, 4)) * 0.01 + 0.4
    layers = [
        layer("a", "spatial", spatial, over_time=True),
        layer("b", "channel", RNG.random((5, 1, 1))),
        layer("c", "element", RNG.random((5, 3, 4))),
        layer("d", "pairwise", softmax(12, 12), scale="softmax", grid=(3, 4)),
        layer("e", "branch", softmax(5, 2).T[:, :, None, None], scale="softmax", branches=("3 x 3", "5 x 5")),
    ]
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:5] = True
    over_time = Panel("with", IMAGE, layers, classes=("x", "y"), probabilities=probabilities, steps=(0, 10, 100), mask=mask)
    return [over_time, Panel("without", IMAGE[:, :, 0])]


def test_the_packed_payload_has_exactly_the_keys_of_its_typedef() -> None:
    """What JavaScript is type-checked against, panels.d.ts, is what `pack` writes."""
    typedef = Path(viz_panels.__file__).with_suffix(".d.ts").read_text(encoding="utf-8")
    interfaces = {
        name: {key: optional == "?" for key, optional in re.findall(r"^  (\w+)(\??):", body, re.MULTILINE)}
        for name, body in re.findall(r"^export interface (\w+) \{\n(.*?)^\}", typedef, re.MULTILINE | re.DOTALL)
    }
    meta, _ = pack(panels())
    with_all, bare = meta["panels"]
    assert set(meta) == set(interfaces["PackedPanels"])
    assert set(with_all) == set(interfaces["PackedPanel"])
    assert set(bare) == {key for key, optional in interfaces["PackedPanel"].items() if not optional}
    assert set(with_all["image"]) == set(interfaces["PackedImage"])
    assert set(with_all["probabilities"]) == set(interfaces["PackedTable"])
    kinds = re.search(r"type Kind = ([^;]+);", typedef)
    assert kinds and {item["kind"] for item in with_all["layers"]} == set(re.findall(r'"(\w+)"', kinds[1]))
    for item in with_all["layers"]:
        assert set(item) == set(interfaces["PackedLayer"])


def test_snapshot_codes_stand_for_shares_of_their_peak() -> None:
    stored = layer_from_codes("tap", "spatial", np.array([[[0, 255], [51, 102]]], np.uint8), [0.5])
    np.testing.assert_allclose(stored.weights(0), [[0, 0.5, 0.1, 0.2]], atol=1e-6)


def test_a_layer_says_what_part_of_the_picture_its_cells_fill() -> None:
    cells = picture_cells().after(3).after(2, 2)  # 16 x 12 pixels -> 14 x 10 -> 7 x 5 cells of 2 pixels, from 1.0 on
    placed = layer("tap", "spatial", np.zeros((7, 5)), cells=cells, picture=(16, 12))
    meta, _ = pack([Panel("p", np.zeros((16, 12, 3), np.uint8), [placed, layer("free", "spatial", np.zeros((7, 5)))])])
    known, unknown = meta["panels"][0]["layers"]
    assert known["frame"] == [1 / 12, 1 / 16, 11 / 12, 15 / 16] and known["field"] == [4, 4] and known["picture"] == [16, 12]
    assert unknown["frame"] is None and unknown["field"] is None
    many = layer("all", "pairwise", softmax(40 * 36, 40 * 36).astype(np.float32), scale="softmax", grid=(40, 36), cells=cells)
    assert many.cells == cells.merged(2)


def test_large_pairwise_maps_are_coarsened_and_rows_still_sum_to_one() -> None:
    height, width = 40, 36
    weights = softmax(height * width, height * width).astype(np.float32)
    coarse = layer("tap", "pairwise", weights, scale="softmax", grid=(height, width))
    assert coarse.codes.shape == (1, 20 * 18, 20 * 18)
    assert coarse.grid == coarse.queries == (20, 18)
    assert max(coarse.codes.shape) <= MAX_POSITIONS
    assert "2 times coarser" in coarse.note
    block = weights.reshape(20, 2, 18, 2, 20, 2, 18, 2).sum(axis=(5, 7)).mean(axis=(1, 3)).reshape(360, 360)
    np.testing.assert_allclose(coarse.weights(0), block, atol=2e-4)


def test_queries_may_be_finer_than_keys() -> None:
    """Keys pooled by two, as in SAGAN's own code: 16 queries look at 4 keys."""
    assert layer("tap", "pairwise", softmax(16, 4), scale="softmax", grid=(2, 2)).queries == (4, 4)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("tap", "spatial", np.zeros((2, 3, 4))), "spatial map is"),
        (("tap", "channel", np.zeros((2, 3))), "channel map is"),
        (("tap", "element", np.zeros((2, 3))), "element map is"),
        (("tap", "pairwise", np.zeros((4, 4))), "grid of its keys"),
        (("tap", "nonsense", np.zeros(4)), "unknown kind"),
        (("tap", "spatial", np.array([[np.nan, 1]])), "finite"),
    ],
)
def test_wrong_maps_are_refused_with_their_name(arguments: tuple, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"'tap'.*{complaint}"):
        layer(*arguments)


@pytest.mark.parametrize(
    ("panel", "complaint"),
    [
        (Panel("p", IMAGE.astype(float)), "image must be uint8"),
        (Panel("p", IMAGE, mask=np.zeros((2, 2), bool)), "mask"),
        (Panel("p", IMAGE, classes=("x",), probabilities=[0.5, 0.5]), "probabilities"),
        (Panel("p", IMAGE, [layer("a", "spatial", np.zeros((3, 2, 2)), over_time=True)], steps=(0, 1)), "3 moments"),
        (
            Panel("p", IMAGE, [layer("a", "channel", np.zeros(3), features=layer("f", "element", np.zeros((2, 1, 1))))]),
            "gates 3",
        ),
    ],
)
def test_panels_that_do_not_fit_are_refused(panel: Panel, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"'p'.*{complaint}"):
        pack([panel])


def test_the_same_image_travels_once() -> None:
    _, once = pack([Panel("a", IMAGE)])
    _, twice = pack([Panel("a", IMAGE), Panel("b", IMAGE)])
    assert twice.size == once.size == IMAGE.size


def test_colour_maps_rise_evenly_in_lightness_and_jet_does_not() -> None:
    def lightness(name: str) -> np.ndarray:
        linear = (table(name) / 255) ** 2.2
        return (linear @ [0.2126, 0.7152, 0.0722]) ** (1 / 2.2)

    for name in ("viridis", "cividis", "magma", "grey"):
        assert (np.diff(lightness(name)) >= -0.004).all(), name
    assert (np.diff(lightness("jet")) < -0.004).any()
    assert table("viridis")[0].tolist() == [68, 1, 84] and table("viridis")[-1].tolist() == [253, 231, 37]


def test_the_colours_of_factors_have_two_equally_long_sides() -> None:
    """Lightest in the middle, alike at both ends, and blue against orange."""
    luminance = table(DIVERGING).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[:128]) >= 0).all() and (np.diff(luminance[128:]) <= 0).all()
    assert abs(luminance[0] - luminance[-1]) < 15
    blue, red = table(DIVERGING)[[0, -1]][:, [2, 0]].astype(int)
    assert blue[0] > blue[1] and red[0] < red[1]
    assert DIVERGING not in TITLES  # nobody can choose it for gates, or another one for factors


def test_overlay_mixes_image_and_colour() -> None:
    image = np.full((2, 2, 3), 100, np.uint8)
    mixed = overlay(image, np.ones((1, 1)), opacity=0.25)
    expected = np.rint(100 * 0.75 + colourise(np.ones(1))[0] * 0.25)
    assert mixed.shape == (2, 2, 3) and (mixed == expected).all()


def test_thumbnails_are_square_rgb() -> None:
    grey = RNG.integers(0, 256, (3, 1, 100, 160), dtype=np.uint8)
    small = thumbnails(grey, 50)
    assert small.shape == (3, 50, 50, 3)
    np.testing.assert_allclose(small[0, 0, 0], np.full(3, grey[0, 0, :2, 30:32].mean()), atol=0.5)


def test_keys_and_queries_without_a_position_are_left_out_and_it_is_said_what_they_get() -> None:
    """One key in front, as a class token or all beyond the edge, gets a quarter of each weight; its own query comes first."""
    weights = np.full((5, 5), 0.1875)
    weights[:, 0] = 0.25
    shown = layer("p", "pairwise", weights, scale="softmax", grid=(2, 2), queries=(2, 2), prefix=1)
    assert (shown.codes.shape, shown.grid, shown.queries) == ((1, 4, 4), (2, 2), (2, 2))
    assert np.allclose(shown.weights(), 0.1875, atol=0.002)
    assert "25%" in shown.note and shown.class_token is None


def test_the_row_of_a_class_token_is_sent_beside_the_rows_of_the_patches() -> None:
    weights = np.full((6, 6), 0.125)  # a class token and a register in front of 2 x 2 patches
    weights[0] = [0, 0.25, 0.5, 0.125, 0.125, 0]
    shown = layer("p", "pairwise", weights, scale="softmax", grid=(2, 2), queries=(2, 2), prefix=2, class_token=True)
    assert shown.class_token is not None and (shown.codes.shape, shown.class_token.grid) == ((1, 4, 4), (2, 2))
    assert np.allclose(shown.class_token.weights()[0], [0.5, 0.125, 0.125, 0], atol=0.002)
    assert np.allclose(shown.weights(), 0.125, atol=0.002)
    meta, _ = pack([Panel("run", np.zeros((8, 8), np.uint8), [shown])])
    assert meta["panels"][0]["layers"][0]["class_token"]["kind"] == "spatial"


def test_a_branch_map_has_one_row_per_channel() -> None:
    shares = softmax(3, 2)  # of three channels
    shown = layer("b", "branch", shares.T, scale="softmax")
    assert np.allclose(shown.weights(), shares, atol=0.002)
