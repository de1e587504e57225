"""The words for maps: how weights are shown and stored, and what maps are called."""

import subprocess
import sys

import numpy as np
import pytest

from attnlab.maps import (
    MapKind,
    MapScale,
    colour_ends,
    over_one_position,
    quantise,
    relative_weights,
    tap_of,
    tap_titles,
    unique_names,
)

RNG = np.random.default_rng(0)


def test_gates_are_shown_as_they_are_and_softmax_weights_relative_to_uniform_ones() -> None:
    np.testing.assert_allclose(relative_weights(np.array([0.25, 1.0]), MapScale.GATE, 2), [0.25, 1])
    np.testing.assert_allclose(relative_weights(np.array([0.5, 0.25, 0.25, 0]), MapScale.SOFTMAX, 4), [2, 1, 1, 0])


def test_weights_lose_less_than_a_510th_of_their_own_range() -> None:
    rows = np.stack([RNG.random(100) * 1e-3 + 0.5, RNG.random(100), np.full(100, 0.25)])[None].astype(np.float32)
    codes, floor, peak = quantise(rows)
    restored = floor[..., None] + codes / 255 * (peak - floor)[..., None]
    assert (np.abs(restored - rows) <= (peak - floor)[..., None] / 510 + 1e-7).all()
    assert (restored[0, 2] == 0.25).all()


def test_quantised_weights_come_back_within_half_a_level() -> None:
    weights = RNG.random((4, 30), dtype=np.float32) * np.array([[1.0], [0.01], [3.0], [0.0]], np.float32)
    codes, _, peaks = quantise(weights, floor=0)
    assert codes.dtype == np.uint8 and codes[:3].max(axis=1).tolist() == [255] * 3
    error = np.abs(codes / 255 * peaks[:, None] - weights).max(axis=1)
    assert (error <= peaks / 255 / 2 + 1e-7).all()


def test_maps_of_one_forward_have_names_of_their_own() -> None:
    assert unique_names(["a.tap", "b.tap", "a.tap", "a.tap"]) == ["a.tap", "b.tap", "a.tap#2", "a.tap#3"]


def test_titles_of_taps_are_words() -> None:
    names = ["blocks.0.attention1.eca.tap", "blocks.1.attention_end.cbam.spatial.tap", "attend.layer7.readout.tap#2"]
    assert list(tap_titles(names).values()) == ["block 1 · conv 1 · eca", "block 2 · end · cbam spatial", "layer 7 (2)"]
    assert list(tap_titles(["blocks.0.attention1.eca.tap", "blocks.1.attention2.eca.tap"]).values()) == [
        "block 1 · conv 1",
        "block 2 · conv 2",
    ]
    assert list(tap_titles(["blocks.0.attention1.eca.tap", "blocks.1.attention1.eca.tap"]).values()) == ["block 1", "block 2"]
    assert tap_titles(["attend.layer7.readout.tap"]) == {"attend.layer7.readout.tap": "layer 7"}


def test_the_tap_behind_a_name_is_found_again() -> None:
    assert {tap_of(name) for name in unique_names(["a.tap", "a.tap"])} == {"a.tap"}


def test_only_softmax_attention_over_one_position_is_the_identity() -> None:
    assert over_one_position(MapKind.PAIRWISE, MapScale.SOFTMAX, (1, 1))
    assert not over_one_position(MapKind.PAIRWISE, MapScale.SOFTMAX, (1, 2))
    assert not over_one_position(MapKind.SPATIAL, MapScale.GATE, (1, 1))
    assert not over_one_position(MapKind.CHANNEL, MapScale.SOFTMAX, (1, 1))


def test_the_words_need_no_torch() -> None:
    code = "import sys, attnlab.maps, attnlab.viz.panels; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_one_outlier_does_not_stretch_the_colours_of_softmax_maps() -> None:
    others = np.linspace(0, 2, 63, dtype=np.float32)
    outlier = np.append(others, np.float32(61))
    assert colour_ends(outlier[None]) == (0, 4)
    assert colour_ends(others[None] * 2.5) == pytest.approx((0, 5))  # nothing to cut
    assert colour_ends(np.append(others * 2.5, 61).astype(np.float32)[None]) == pytest.approx((0, 10))
    calm, wild = np.ones((5, 64), np.float32), np.zeros((1, 64), np.float32)
    wild[0, :4] = 16  # one map among many
    assert colour_ends(np.concatenate([calm, wild])) == (0, 4)
