"""Exports: what a table rests on is said, text is harmless, JSON comes back as it went out."""

import csv
import io
import json
import zipfile
from pathlib import Path

import pytest

from attnlab.cli.app import main
from attnlab.config import RunConfig
from attnlab.experiments import tensorboard
from attnlab.experiments.exports import (
    footnotes,
    grid_json,
    import_grid,
    runs_csv,
    table_csv,
    table_latex,
    table_markdown,
)
from attnlab.experiments.grid import Grid, GridError, GridRow, Progress, load_grid, make_grid, progress, save_grid
from attnlab.experiments.grid_table import grid_table
from attnlab.experiments.tensorboard import events_zip, write_events
from attnlab.runs.folder import RunFolder
from attnlab.runs.index import Index, to_record
from attnlab.runs.records import RunRecord
from tests.example_runs import finished_run

GRID = make_grid(
    [GridRow("plain", RunConfig()), GridRow("50% & _more_ | =x", RunConfig().changed(model__attention="eca"))],
    (0, 1, 2),
    title="A 100 % test",
    grid_id="test-grid",
)


def records(home: Path) -> list[RunRecord]:
    index = Index(None, write=True)
    for path in sorted((home / "runs").iterdir()):
        index.refresh(RunFolder(path))
    found = [to_record(row, home / "runs" / row["run_id"], demo=False) for row in index.rows()]
    index.close()
    return found


def filled(home: Path, grid: Grid = GRID) -> Progress:
    for (row, seed), config in grid.cells.items():
        finished_run(home, config, (0.5 if row == "plain" else 0.6) + seed / 100)
    save_grid(home, grid)
    return progress(grid, records(home))


def test_tables_say_what_they_rest_on_and_escape_what_would_break_them(private_home: Path) -> None:
    found = filled(private_home)
    table, notes = grid_table(GRID, found), footnotes(found)
    assert notes[0] == "6 of 6 runs finished; seeds 0 to 2."
    assert any(note.startswith("Exported with attnlab") and "torch" in note for note in notes)
    latex = table_latex(table, GRID.title, notes)
    assert r"50\% \& \_more\_ | =x & 61.0 & 1.0 & 3 & 60.0 & 62.0 & +10.0" in latex
    assert r"\caption{A 100 \% test}" in latex
    for word in (r"\toprule", r"\midrule", r"\bottomrule", r"$\pm$ std"):
        assert word in latex
    markdown = table_markdown(table, notes).splitlines()
    assert markdown[2].startswith("| plain | 51.0 | 1.0 | 3 |")
    assert r"50% & _more_ \| =x" in markdown[3]
    rows = list(csv.DictReader(io.StringIO(table_csv(table))))
    assert [float(row["test accuracy (%)"]) for row in rows] == pytest.approx([51.0, 61.0])


def test_single_runs_are_listed_cell_by_cell(private_home: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(runs_csv(filled(private_home)))))
    assert [(row["row"], row["seed"], row["state"]) for row in rows][:2] == [
        ("plain", "0", "finished"),
        ("plain", "1", "finished"),
    ]
    assert float(rows[1]["test accuracy"]) == pytest.approx(0.51)


def test_a_grid_comes_back_from_json_with_its_results_on_another_machine(private_home: Path, tmp_path: Path) -> None:
    found = filled(private_home)
    text = grid_json(GRID, found)
    elsewhere = tmp_path / "elsewhere"
    grid, made = import_grid(elsewhere, text)
    assert (grid.grid_id, made) == ("test-grid", 6)
    assert load_grid(elsewhere, "test-grid").cells == GRID.cells
    again = progress(grid, records(elsewhere))
    here, there = grid_table(GRID, found), grid_table(grid, again)
    assert here.equals(there)
    assert [row["kind"] for row in RunFolder(again.cells[0].run.folder).metrics()] == ["epoch", "epoch"]  # type: ignore[union-attr]
    _, made = import_grid(elsewhere, text, records(elsewhere))
    assert made == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ("[]", "not an exported grid"),
        ('{"attnlab_grid": 1}', "grid_id"),
        ('{"attnlab_grid": 1, "grid_id": "x", "grid": {"format": 1}, "runs": []}', "rows"),
        ('{"attnlab_grid": 1, "grid_id": "../../x", "grid": {"format": 1}, "runs": []}', "not a valid grid name"),
        ('{"attnlab_grid": 1, "grid_id": "..", "grid": {"format": 1}, "runs": []}', "not a valid grid name"),
    ],
)
def test_a_file_that_is_no_grid_is_refused(text: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(GridError, match=why):
        import_grid(tmp_path, text)
    assert list(tmp_path.rglob("config.json")) == []


def test_an_accuracy_that_cannot_be_is_refused(private_home: Path, tmp_path: Path) -> None:
    tree = json.loads(grid_json(GRID, filled(private_home)))
    tree["runs"][0]["result"]["test_accuracy"] = 51
    with pytest.raises(GridError, match="outside"):
        import_grid(tmp_path / "x", json.dumps(tree))


@pytest.mark.parametrize(
    ("part", "name", "value"), [("progress", "step", "many"), ("progress", "parameters", [1]), ("result", "seconds", "long")]
)
def test_a_figure_of_the_wrong_kind_is_refused(private_home: Path, tmp_path: Path, part: str, name: str, value: object) -> None:
    tree = json.loads(grid_json(GRID, filled(private_home)))
    tree["runs"][0][part][name] = value
    with pytest.raises(GridError, match=name):
        import_grid(tmp_path / "x", json.dumps(tree))
    assert not (tmp_path / "x").exists()


def test_tensorboard_reads_back_what_the_run_told(private_home: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="the package tensorboard is not installed"
    )
    folder = finished_run(private_home, RunConfig(), 0.75, epochs=(0.3, 0.5))
    path = write_events(folder, tmp_path / "events")
    events = accumulator.EventAccumulator(str(path)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("validation/accuracy")] == [
        (1, pytest.approx(0.3)),
        (2, pytest.approx(0.5)),
    ]
    assert [event.value for event in events.Scalars("train/loss_of_step")] == [1.0, 0.5]
    assert events.Scalars("test/accuracy")[0].value == 0.75


def test_events_of_several_runs_are_one_archive_and_writing_again_adds_nothing(private_home: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the package tensorboard is not installed")
    folders = [finished_run(private_home, RunConfig().changed(seed=seed), 0.5) for seed in (0, 1)]
    for _ in range(2):
        path = write_events(folders[0], tmp_path)
    assert len(list(path.iterdir())) == 1
    names = zipfile.ZipFile(io.BytesIO(events_zip(folders))).namelist()
    assert [name.partition("/")[0] for name in names] == [folder.run_id for folder in folders]


def test_without_the_package_it_is_said_how_to_get_it(
    private_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = finished_run(private_home, RunConfig(), 0.5)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    assert main(["tensorboard", folder.run_id, "--to", str(tmp_path)]) == 2
    assert "pip install -r requirements-tensorboard.txt" in capsys.readouterr().err
