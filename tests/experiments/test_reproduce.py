"""Table 1 and its departures as grids: the right cells, the right figures beside them, from the command line to the end."""

import json
from pathlib import Path

import pytest

from attnlab import paths
from attnlab.cli.app import main
from attnlab.experiments.grid import Grid, GridError, GridKind, ReportedResult, continued, list_grids, progress
from attnlab.experiments.grid_table import compared, grid_table, row_groups
from attnlab.experiments.managers import shutdown_all
from attnlab.experiments.reproduce import DEPARTURES, PLAIN, Scale, departure_grid, report_comparisons, table1
from attnlab.experiments.shipped import shipped_grids
from attnlab.runs.records import RunRecord, RunState


def run_of(grid: Grid, row: str, seed: int, accuracy: float) -> RunRecord:
    config = grid.cells[row, seed]
    return RunRecord(
        config.run_id, config.group, "", config, RunState.FINISHED, Path(config.run_id), test_accuracy=accuracy, seconds=1.0
    )


def test_the_whole_table_is_nine_rows_of_sixteen_runs_as_the_report_did_them() -> None:
    grid = table1()
    assert (len(grid.rows), len(grid.seeds), len(grid.wanted)) == (9, 16, 144)
    config = grid.cells[PLAIN, 0]
    training = config.training
    assert (training.epochs, training.batch_size, training.lr, training.optimizer) == (10, 128, 0.1, "sgd")
    assert (config.dataset.name, config.dataset.subset, config.model.width) == ("cifar10", None, 64)


def test_protocols_share_no_cell_and_rows_can_be_chosen_by_label_or_attention() -> None:
    published, described = (table1(name, seeds=1) for name in ("published", "described"))
    assert not published.wanted.keys() & described.wanted.keys()
    chosen = table1(rows=["three_blocks", "eca", "cnn"], seeds=1)
    assert [row.label for row in chosen.rows] == ["CNN", "CNN + ECA", "CNN with three hidden layers"]
    with pytest.raises(GridError, match="no row 'resnet'"):
        table1(rows=["resnet"])


def test_a_scale_changes_size_and_nothing_else() -> None:
    full, small = table1(seeds=1).cells[PLAIN, 0], table1(seeds=1, scale=Scale(subset=100, epochs=2, width=8)).cells[PLAIN, 0]
    back = small.changed(dataset__subset=None, training__epochs=10, model__width=64)
    assert back == full


@pytest.mark.parametrize("departure", DEPARTURES, ids=lambda departure: departure.title)
def test_each_departure_differs_from_the_published_row_in_its_settings_alone(departure: object) -> None:
    number = departure.number  # type: ignore[attr-defined]
    grid = departure_grid(seeds=1, departures=[number])
    rows = {row.label: row for row in grid.rows}
    right = next(row for row in grid.rows if row.departure == number)
    assert right.against is not None
    published = rows[right.against]
    before, after = published.config.model_dump(), right.config.model_dump()
    changed = [
        f"{part}.{name}"
        for part in before
        if isinstance(before[part], dict)
        for name in before[part]
        if before[part][name] != after[part][name]
    ]
    assert changed == [path.replace("__", ".") for path in departure.described]  # type: ignore[attr-defined]
    described = grid.rows[-1]
    assert described.config.protocol.loss_head == "logits" and described.config.protocol.optimizer_scope == "run"


def test_departures_are_seven_and_a_wrong_number_is_refused() -> None:
    assert [departure.number for departure in DEPARTURES] == [1, 2, 3, 4, 5, 6, 7]
    with pytest.raises(GridError, match="no departure 9"):
        departure_grid(departures=[9])


def test_rows_are_compared_with_what_they_name_paired_by_seed() -> None:
    grid = departure_grid(seeds=3, departures=[2, 3])
    runs = []
    for seed in range(3):
        runs += [run_of(grid, "CNN, as published", seed, 0.40 + seed / 100)]
        runs += [run_of(grid, "CNN: softmax once", seed, (0.60, 0.62, 0.61)[seed])]  # +20, +21, +19 points
        runs += [run_of(grid, "CNN + CBAM, as published", seed, 0.30)]
        runs += [run_of(grid, "CNN + CBAM: after both convolutions", seed, (0.30, 0.31, 0.29)[seed])]
    found = progress(grid, runs)
    comparisons = compared(grid, row_groups(grid, found))
    assert comparisons["CNN: softmax once"].difference == pytest.approx(0.20)
    assert comparisons["CNN: softmax once"].verdict == "better"
    assert comparisons["CNN + CBAM: after both convolutions"].difference == pytest.approx(0.0)
    assert "not significant" in comparisons["CNN + CBAM: after both convolutions"].words
    table = grid_table(grid, found).set_index("row")
    assert table.loc["CNN: softmax once", "p_holm"] == pytest.approx(2 * comparisons["CNN: softmax once"].p)  # type: ignore[operator]
    assert table.loc["CNN + CBAM, as published", "verdict"] == "the baseline"


def test_the_reports_figures_stand_beside_ours() -> None:
    grid = table1(rows=["none", "conv_autoencoder"], seeds=3)
    runs = [run_of(grid, PLAIN, seed, 0.6 + seed / 100) for seed in range(3)]
    table = grid_table(grid, progress(grid, runs)).set_index("row")
    assert table.loc[PLAIN, "report_accuracy"] == pytest.approx(66.7)
    assert table.loc[PLAIN, "report_std"] == pytest.approx(1.8)
    assert (table.loc[PLAIN, "accuracy"], table.loc[PLAIN, "n"]) == (pytest.approx(61.0), 3)
    low, high = table.loc[PLAIN, "low"], table.loc[PLAIN, "high"]
    assert 60.0 <= low < 61.0 < high <= 62.0
    assert table.loc["CNN + conv. autoencoder"].isna()["accuracy"]


@pytest.mark.slow
@pytest.mark.data
def test_the_command_trains_both_protocols_on_real_images_and_asking_twice_trains_nothing(
    shared_data: Path, private_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "DEMO_RUNS", tmp_path / "no-shipped-runs")
    monkeypatch.setenv("ATTNLAB_THREADS", "1")
    command = ["reproduce", "table1", "--dataset", str(shared_data / "cifar10-mini.tar.gz"), "--subset", "100"]
    command += ["--test-subset", "50", "--epochs", "1", "--seeds", "1", "--width", "2", "--batch-size", "32", "--json"]
    for protocol in ("published", "described"):
        assert main([*command, "--protocol", protocol]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [cell["state"] for cell in told["cells"]] == ["finished"] * 9
        assert told["state"] == "done"
        assert {row["n"] for row in told["rows"]} == {1}
        assert any("cifar10-mini.tar.gz" in note for note in told["notes"])
    before = {path.name: path.stat().st_mtime_ns for path in (private_home / "runs").glob("*/end.json")}
    assert main([*command, "--protocol", "published"]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (private_home / "runs").glob("*/end.json")} == before
    assert len(list((private_home / "grids").iterdir())) == 2
    shutdown_all()


def test_the_time_is_estimated_before_anything_is_trained(
    private_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_EXECUTOR", "thread")
    command = ["reproduce", "table1", "--dataset", "digits", "--rows", "none", "eca", "--seeds", "3", "--subset", "60"]
    command += ["--test-subset", "20", "--epochs", "2", "--width", "2"]
    assert main([*command, "--batch-size", "16", "--estimate", "--no-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    (grid,) = list_grids(private_home)
    assert set(grid.estimates or {}) == {"CNN", "CNN + ECA"}
    assert told["left_seconds"] == pytest.approx(3 * sum((grid.estimates or {}).values()))
    assert {cell["state"] for cell in told["cells"]} == {"waiting"}


def test_shipped_tables_are_whole_or_their_document_says_what_is_missing_and_say_what_they_rest_on() -> None:
    shipped = shipped_grids()
    document = (paths.ROOT / "docs" / "table1.md").read_text()
    for told in shipped.values():
        found = progress(told.grid, told.records)
        missing = len(found.cells) - found.finished
        assert not missing or f"{missing} of its {len(found.cells)} runs have not been trained yet" in document
        assert any("Hardware" in note for note in told.notes) and any("cifar10" in note for note in told.notes)
    kinds = [told.grid.kind for told in shipped.values()]
    assert kinds.count("table1") == 2 and kinds.count("departures") == 2


def test_shipped_tables_hold_the_reports_figures_and_what_is_compared_with_what() -> None:
    """These files are of the first version, in which a grid of departures was called "the finding"."""
    (published, described), departures = (
        [told.grid for told in shipped_grids().values() if told.grid.kind is kind]
        for kind in (GridKind.TABLE1, GridKind.DEPARTURES)
    )
    for grid in (published, described):
        rows = {row.label: row for row in grid.rows}
        assert rows[PLAIN].reported == ReportedResult(0.667, 0.018, 2_620_000)
        assert {row.against for row in grid.rows} == {PLAIN}
    assert {grid.title for grid in departures} == {"Departures, on and off"}
    assert {row.departure for grid in departures for row in grid.rows} == {None, 1, 2, 3, 4, 5, 6, 7}


def test_a_grid_of_the_first_version_is_continued(private_home: Path) -> None:
    grid = departure_grid(seeds=1, departures=[3], scale=Scale(dataset="digits", width=4))
    tree = grid.to_tree()
    assert Grid.from_tree("again", tree).rows == grid.rows
    older = tree | {"kind": "finding", "title": "The finding"}
    (private_home / "grids" / "the-finding-20260101-000000").mkdir(parents=True)
    (private_home / "grids" / "the-finding-20260101-000000" / "grid.json").write_text(json.dumps(older))
    assert continued(private_home, grid).grid_id == "the-finding-20260101-000000"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["reproduce", "table1", "--dataset", "/nowhere", "--no-run"], "'/nowhere' is neither a data set nor a path"),
        (["tensorboard", "--to", "x"], "at least one run"),
        (["reproduce", "table1", "--rows", "resnet"], "no row 'resnet'"),
        (["reproduce", "departures", "--departures", "9"], "no departure 9"),
        (["reproduce", "finding", "--departures", "9"], "no departure 9"),
        (["grid", "show", "nothing"], "no grid 'nothing'"),
        (["grid", "new", "x", "--vary", "colour=red"], "setting=value"),
        (["reproduce", "table1", "--epochs", "0", "--no-run"], "training.epochs"),
    ],
)
def test_wrong_requests_are_refused_in_words(arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert why in capsys.readouterr().err


def test_by_the_reports_own_figures_only_three_rows_differ_from_the_plain_network() -> None:
    found = report_comparisons()
    assert len(found) == 8
    assert {row for row, comparison in found.items() if comparison.verdict == "worse"} == {
        "CNN + CBAM",
        "CNN + linear autoencoder",
        "CNN + linear autoencoder + ECA",
    }
    assert not [row for row, comparison in found.items() if comparison.verdict == "better"]
