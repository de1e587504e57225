"""Reproduce: start a table, see its matrix, pause it, read the report's figures beside ours."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from attnlab import paths
from attnlab.experiments.exports import grid_json
from attnlab.experiments.grid import GridState, list_grids, load_grid, progress, save_grid
from attnlab.experiments.managers import get_manager
from attnlab.experiments.reproduce import Scale, departure_grid, table1
from attnlab.runs.folder import RunFolder
from attnlab.runs.records import RunRecord, RunState
from tests.example_runs import finished_run
from tests.pages import open_page, texts

PAGE = "pages/reproduce.py"


@pytest.fixture(autouse=True)
def nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DEMO_TABLES", tmp_path / "no-shipped-tables")


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
    said = texts(app)
    assert "(67% to 67% there, 51% to 54% here)" in said
    for reason in ("the images are from digits", "train for 2 epochs, in the report for 10", "4 channels, in the report 64"):
        assert reason in said
    assert "With 3 seeds, a difference between a row" in said and "The difference varies by 1.0 points" in said
    assert "6 of 6 runs finished" in texts(app)
    told = next(each.value for each in app.dataframe if "the code" in each.value)
    assert len(told) == 7 and "never called" in told["the code"][0]


def test_the_form_makes_a_grid_and_pause_holds_it(app: AppTest, private_home: Path) -> None:
    open_page(app, PAGE)
    assert "its matrix of runs" in texts(app)
    app.text_input("reproduce.dataset").set_value("digits")
    app.multiselect("reproduce.rows").set_value(["CNN"])
    long = {"seeds": 2, "subset": 1000, "test_subset": 40, "epochs": 200, "width": 16}  # at work when it is paused
    for name, value in long.items():
        app.number_input(f"reproduce.{name}").set_value(value)
    app.button("reproduce.start").click().run()
    assert not app.exception, app.exception
    (grid,) = list_grids(private_home)
    assert grid.state is GridState.ACTIVE
    assert (list(grid.seeds), [row.label for row in grid.rows]) == ([0, 1], ["CNN"])
    config = grid.rows[0].config
    assert (config.dataset.subset, config.training.epochs, config.model.width) == (1000, 200, 16)
    app.button("reproduce.pause").click().run()
    assert load_grid(private_home, grid.grid_id).state is GridState.PAUSED
    assert app.button("reproduce.resume").label in ("Start", "Resume")


def test_an_unknown_data_set_is_said_before_anything_starts(app: AppTest, private_home: Path) -> None:
    open_page(app, PAGE)
    app.text_input("reproduce.dataset").set_value("/nowhere/at/all")
    app.button("reproduce.estimate").click().run()
    assert "nowhere" in texts(app)
    assert list_grids(private_home) == []


def test_a_shipped_table_is_shown_where_nothing_was_trained(
    app: AppTest, private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = departure_grid(departures=[3], seeds=3, scale=Scale(dataset="digits", width=4, epochs=2))
    for (row, seed), config in grid.cells.items():
        finished_run(
            tmp_path / "elsewhere", config, (0.5 if "published" in row else 0.6) + (seed * (1 + ("once" in row))) / 100
        )
    records = [to_finished(path) for path in sorted((tmp_path / "elsewhere" / "runs").iterdir())]
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "departures.json").write_text(grid_json(grid, progress(grid, records)))
    monkeypatch.setattr(paths, "DEMO_TABLES", tmp_path / "tables")
    open_page(app, PAGE)
    assert "shipped" in app.selectbox("reproduce.grid").options[0]
    frame = next(each.value for each in app.dataframe if "accuracy" in each.value)
    table = frame.set_index("row")
    assert table.loc["CNN: softmax once", "difference"] == pytest.approx(11.0)
    assert "better" in table.loc["CNN: softmax once", "verdict"]
    assert "9 of 9 runs finished" in texts(app)
    with pytest.raises(KeyError):
        app.button("reproduce.resume")
    app.button("reproduce.measure").click().run()
    assert not app.exception, app.exception
    timed = next(each.value for each in app.dataframe if "accuracy" in each.value).set_index("row")
    assert (timed["milliseconds"] > 0).all()


def to_finished(path: Path) -> RunRecord:
    folder = RunFolder(path)
    config, end = folder.config, folder.end()
    assert end is not None
    accuracy = end["result"]["test_accuracy"]
    return RunRecord(
        config.run_id, config.group, "", config, RunState.FINISHED, path, test_accuracy=accuracy, result=end["result"]
    )
