"""Reproduce: start a table, see its matrix, pause it, read the report's figures beside ours."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab.runs.grid import GridState, list_grids, load_grid, save_grid
from attnlab.runs.manager import get_manager
from attnlab.runs.reproduce import Scale, table1
from tests.page_support import app, finished_run, open_page, texts

__all__ = ["app"]

PAGE = "pages/reproduce.py"


def test_a_table_shows_the_reports_figures_beside_ours(app: AppTest, private_home: Path) -> None:
    grid = table1(rows=["none", "eca"], seeds=3, scale=Scale(dataset="digits", width=4, epochs=2))
    save_grid(private_home, grid)
    for seed, (plain, eca) in enumerate([(0.50, 0.52), (0.52, 0.55), (0.51, 0.55)]):
        finished_run(private_home, grid.cells["CNN", seed], plain)
        finished_run(private_home, grid.cells["CNN + ECA", seed], eca)
    get_manager().store.sync()
    open_page(app, PAGE)
    frame = next(each.value for each in app.dataframe if "report_accuracy" in each.value)
    table = frame.set_index("row")
    assert table.loc["CNN", "report_accuracy"] == 66.7
    assert table.loc["CNN", "accuracy"] == pytest.approx(51.0)
    assert table.loc["CNN + ECA", "n"] == 3
    assert table.loc["CNN + ECA", "difference"] == pytest.approx(3.0)
    assert table.loc["CNN", "verdict"] == "the baseline"
    assert "6 of 6 runs finished" in texts(app)
    told = next(each.value for each in app.dataframe if "the code" in each.value)
    assert len(told) == 7 and "never called" in told["the code"][0]


def test_the_form_makes_a_grid_and_pause_holds_it(app: AppTest, private_home: Path) -> None:
    open_page(app, PAGE)
    assert "its matrix of runs" in texts(app)
    app.text_input("reproduce.dataset").set_value("digits")
    app.multiselect("reproduce.rows").set_value(["CNN"])
    for name, value in {"seeds": 2, "subset": 100, "test_subset": 40, "epochs": 150, "width": 2}.items():
        app.number_input(f"reproduce.{name}").set_value(value)
    app.button("reproduce.start").click().run()
    assert not app.exception, app.exception
    (grid,) = list_grids(private_home)
    assert grid.state is GridState.ACTIVE
    assert (list(grid.seeds), [row.label for row in grid.rows]) == ([0, 1], ["CNN"])
    config = grid.rows[0].config
    assert (config.dataset.subset, config.training.epochs, config.model.width) == (100, 150, 2)
    app.button("reproduce.pause").click().run()
    assert load_grid(private_home, grid.grid_id).state is GridState.PAUSED
    assert app.button("reproduce.resume").label in ("Start", "Go on")


def test_an_unknown_data_set_is_said_before_anything_starts(app: AppTest, private_home: Path) -> None:
    open_page(app, PAGE)
    app.text_input("reproduce.dataset").set_value("/nowhere/at/all")
    app.button("reproduce.estimate").click().run()
    assert "nowhere" in texts(app)
    assert list_grids(private_home) == []
