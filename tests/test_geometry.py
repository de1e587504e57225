"""Maps laid over a picture by hand-computed places."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attnlab.geometry import Axis, Cells, centre_pixels, nearest_cells, picture_cells, place_map, shift_of_stretch, stretched

RNG = np.random.default_rng(0)


def report_network() -> Cells:
    """The 6 x 6 map of the report's network at 32 x 32."""
    block = picture_cells().after(3, padding=1).after(3).after(2, 2)
    return block.after(3, padding=1).after(3).after(2, 2)


def test_the_six_cells_of_the_report_network() -> None:
    rows = report_network().rows
    assert rows == Axis(5.0, 4, 16)
    # Pixel k is centred at k + 0.5, so counted in pixels the cells are centred at 4 k + 4.5; stretched at 5.33 k + 2.17.
    assert (rows.centres(6) - 0.5).tolist() == [4.5, 8.5, 12.5, 16.5, 20.5, 24.5]
    np.testing.assert_allclose(stretched((6, 6), (32, 32)).rows.centres(6) - 0.5, 16 / 3 * np.arange(6) + 13 / 6)
    mean, largest = shift_of_stretch(report_network(), (6, 6), (32, 32))
    assert largest == pytest.approx(13 / 3) and mean == pytest.approx(np.mean(np.abs(7 / 3 - 4 / 3 * np.arange(6))))
    assert report_network().frame((6, 6), (32, 32)) == (3 / 32, 3 / 32, 27 / 32, 27 / 32)


@pytest.mark.parametrize("shape", [(7, 5), (30, 40), (64, 48), (1, 3)])
def test_a_stretched_map_is_bilinear_between_centres(shape: tuple[int, int]) -> None:
    """The viewer draws the same, so stills and viewer agree."""
    values = RNG.random(shape)

    def weights(size: int, target: int) -> np.ndarray:
        at = np.clip((np.arange(target) + 0.5) * size / target - 0.5, 0, size - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(size)))

    expected = weights(shape[0], 30) @ values @ weights(shape[1], 24).T
    np.testing.assert_allclose(place_map(values, None, (30, 24)), expected, atol=1e-12)
    np.testing.assert_allclose(place_map(values, stretched(shape, (30, 24)), (30, 24)), expected, atol=1e-12)


def test_a_placed_map_by_hand() -> None:
    cells = Cells(Axis(2.5, 2, 3), Axis(0.5, 1, 1))
    row = place_map(np.array([[0.0], [1.0]]), cells, (7, 1))[:, 0]
    assert row.tolist() == [0, 0, 0, 0.5, 1, 1, 1]  # held beyond the centres of the outermost cells, at 2.5 and 4.5
    assert (place_map(np.ones((2, 3, 1)), cells, (9, 5)) == 1).all()  # a uniform map stays uniform
    assert centre_pixels(cells, (4, 2), (7, 3)).tolist() == [[6, 7], [12, 13], [18, 19], [18, 19]]  # 8.5 lies outside


def test_pixels_know_their_cell() -> None:
    assert Axis(2.5, 2, 3).cells_at(2, 7).tolist() == [-1, 0, 0, 1, 1, -1, -1]
    assert stretched((3, 3), (6, 6)).rows.cells_at(3, 6).tolist() == [0, 0, 1, 1, 2, 2]


def test_cells_of_one_map_find_the_nearest_of_another() -> None:
    six = report_network()  # centred at 5, 9, ... 25
    pixels = picture_cells()
    rows, columns = nearest_cells(six, (6, 6), pixels, (32, 32))
    assert rows[:, 0].tolist() == columns[0].tolist() == [0] * 7 + np.repeat([1, 2, 3, 4], 4).tolist() + [5] * 9
    back, _ = nearest_cells(pixels, (32, 32), six, (6, 6))
    assert back[:, 0].tolist() == [5, 9, 13, 17, 21, 25]


def test_cells_survive_files_and_merging() -> None:
    cells = report_network()
    assert Cells.from_tree(json.loads(json.dumps(cells.to_tree()))) == cells
    assert cells.merged(2).rows == Axis(7.0, 8, 20)
